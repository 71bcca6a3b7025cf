//! One client connection: deadlines that Pingora does not have, around the proxy that it does.
//!
//! Pingora bounds single reads, not whole heads, and does not bound HTTP/2 bodies at all. Every request therefore runs
//! beside a deadline that its own progress moves; when it passes, the request is dropped: an HTTP/1.1 connection closes,
//! an HTTP/2 stream is reset, the upstream is freed. Requests on an HTTP/1.1 connection come one by one and share its
//! deadline, so that a request sets no timer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::proxy::Proxy;
use super::state::State;

tokio::task_local! {
    /// The deadline of the request that this task serves.
    static DEADLINE: Arc<Deadline>;
}

/// Flow-control windows: a client uploads at most one window for each round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// How long an HTTP/2 connection on which nothing is under way stays open after its client was told that it will close:
/// a request may have been sent before that was heard. A phone that sleeps never answers.
const FAREWELL: Duration = Duration::from_secs(2);

/// A deadline is looked at this many times within the shortest that there is, and so is kept with that precision.
const LOOKS: u32 = 4;

/// A point in time that only the request's own progress moves.
#[derive(Debug)]
pub(super) struct Deadline {
    start: Instant,
    millis: AtomicU64,
    /// How long may pass before it is looked at again.
    look: Duration,
}

impl Deadline {
    /// The deadline of the request that runs in this task. Pingora makes a request's context once its head is read.
    pub(super) fn current() -> Option<Arc<Self>> {
        DEADLINE.try_with(Arc::clone).ok()
    }

    fn after(wait: Duration, look: Duration) -> Self {
        Self { start: Instant::now(), millis: AtomicU64::new(millis(wait)), look }
    }

    /// Moves the deadline to `wait` from now.
    pub(super) fn extend(&self, wait: Duration) {
        self.millis.store(millis(self.start.elapsed() + wait), Ordering::Relaxed);
    }

    /// Whether it has passed.
    pub(super) fn has_passed(&self) -> bool {
        Instant::now() >= self.at()
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Returns once the deadline has passed. It is looked at again and again, so moving it costs nothing.
    async fn passed(&self) {
        while !self.has_passed() {
            tokio::time::sleep_until(self.at().min(Instant::now() + self.look)).await;
        }
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// Serves client connections with one proxy.
pub(super) struct Front {
    proxy: Arc<HttpProxy<Proxy>>,
    state: Arc<State>,
}

impl Front {
    /// Serves with `proxy`, which shares `state`.
    #[must_use]
    pub(super) fn new(proxy: Arc<HttpProxy<Proxy>>, state: Arc<State>) -> Self {
        Self { proxy, state }
    }

    /// Serves a connection until it closes.
    pub(super) async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let running = self.state.running();
        let timeouts = running.gateway.timeouts;
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let look = timeouts.client_header.min(timeouts.body_idle) / LOOKS;
        let deadline = (!http2).then(|| Arc::new(Deadline::after(timeouts.client_header, look)));
        let app = Arc::new(Connection {
            proxy: Arc::clone(&self.proxy),
            deadline: deadline.clone(),
            look,
            header: timeouts.client_header,
            keep_alive: timeouts.keep_alive,
            reused: AtomicBool::new(false),
            started: Notify::new(),
            streams: AtomicUsize::new(0),
            ended: Notify::new(),
            h2: http2.then(|| h2_options(running.gateway.limits.http2_streams)),
            options: options(timeouts.keep_alive),
        });
        drop(running);
        if let Some(deadline) = deadline {
            tokio::select! {
                biased;
                _ = app.process_new(stream, shutdown) => {}
                () = deadline.passed() => {}
            }
            return;
        }
        let silent = async {
            if tokio::time::timeout(timeouts.http2_first_stream, app.started.notified()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = app.process_new(stream, shutdown) => {}
            () = silent => {}
            () = app.forsaken(shutdown.clone()) => {}
        }
    }
}

fn h2_options(streams: u32) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(streams)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    options
}

fn options(keep_alive: Duration) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(keep_alive);
    options
}

/// One connection, as Pingora's HTTP server sees it.
struct Connection {
    proxy: Arc<HttpProxy<Proxy>>,
    /// That of the request in progress, or to come; None for HTTP/2, where each request has its own.
    deadline: Option<Arc<Deadline>>,
    look: Duration,
    header: Duration,
    keep_alive: Duration,
    reused: AtomicBool,
    started: Notify,
    /// Requests under way on an HTTP/2 connection.
    streams: AtomicUsize,
    /// Wakes who waits for the last of them.
    ended: Notify,
    h2: Option<H2Options>,
    options: HttpServerOptions,
}

impl Connection {
    /// Returns when the process is stopping and nothing is under way any more.
    async fn forsaken(&self, mut shutdown: ShutdownWatch) {
        if shutdown.wait_for(|stopping| *stopping).await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(FAREWELL).await;
        loop {
            let ended = self.ended.notified();
            if self.streams.load(Ordering::Relaxed) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// One request under way, however it ends.
struct Underway<'a>(&'a Connection);

impl<'a> Underway<'a> {
    fn on(connection: &'a Connection) -> Self {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl HttpServerApp for Connection {
    /// As `async_trait` has it, but for one thing: a session is large, and this future does not hold it as well as the
    /// one that it is moved into.
    fn process_new_http<'this, 'shutdown, 'served>(
        self: &'this Arc<Self>,
        session: ServerSession,
        shutdown: &'shutdown ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'served>>
    where
        'this: 'served,
        'shutdown: 'served,
    {
        let request = self.proxy.process_new_http(session, shutdown);
        Box::pin(async move {
            if let Some(deadline) = &self.deadline {
                // An idle connection may wait before the next head begins.
                let idle = if self.reused.swap(true, Ordering::Relaxed) { self.keep_alive } else { Duration::ZERO };
                deadline.extend(idle + self.header);
                return DEADLINE.scope(Arc::clone(deadline), request).await;
            }
            let _underway = Underway::on(self);
            self.started.notify_one();
            let deadline = Arc::new(Deadline::after(self.header, self.look));
            tokio::select! {
                biased;
                reused = DEADLINE.scope(Arc::clone(&deadline), request) => reused,
                () = deadline.passed() => None,
            }
        })
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.h2.clone()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
