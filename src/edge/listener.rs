//! Accepts connections: counts them, reads what comes before HTTP, and hands them over.
//!
//! Pingora's own listening service is not used: it panics in a task when it cannot bind and stays up without a listener,
//! its handshake deadline is a fixed 60 s, plain listeners have no hook before HTTP, and the application is not told which
//! listener a connection came to.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::network::Network;
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use pingora_core::protocols::Stream;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bind::{BindError, BoundListener, BoundSocket};
use super::metrics::GatewayMetrics;
use super::service_manager::Watchdog;
use super::stream::{RawSocket, Socket};
use super::tls::TlsServer;
use crate::inbound::Arrival;
use crate::listen::{Listener, Transport};
use crate::observe::Handshake;

mod connection;

use connection::Live;

/// How long a listener rests when the system has no descriptors or memory for another connection.
const REST: Duration = Duration::from_millis(100);
/// How long it must have gone well for the next shortage to be worth a line in the log.
const RECOVERED: Duration = Duration::from_secs(10);

/// Serves connections that are ready for HTTP.
#[async_trait]
pub trait Connected: Send + Sync {
    /// Serves one connection until it ends. Dropping the stream closes it.
    async fn serve(&self, stream: Stream, arrival: Arc<Arrival>, shutdown: &ShutdownWatch);
}

/// Is told what happens to connections, for metrics. `listener` is the address as configured.
pub trait AcceptEvents: Send + Sync {
    /// A connection was accepted and counts against the limit. What is returned is dropped when it ends.
    fn opened(&self, listener: &str) -> Box<dyn Any + Send + Sync>;
    /// A TLS handshake ended, `taken` after the connection came.
    fn handshake(&self, result: Handshake, taken: Duration);
    /// A connection ended before HTTP, or was not let in.
    fn refused(&self, _listener: &str, _reason: Refused) {}
}

impl AcceptEvents for GatewayMetrics {
    fn opened(&self, listener: &str) -> Box<dyn Any + Send + Sync> {
        Box::new(self.connection(&self.listener(listener)))
    }

    fn handshake(&self, result: Handshake, taken: Duration) {
        self.handshake(result, taken);
    }
}

/// Why a connection did not get as far as HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many connections as allowed are open.
    Full,
    /// The PROXY protocol header is missing, malformed or late, or comes from somebody who may not send it.
    ProxyHeader,
    /// The client asked for a name that is in no certificate.
    UnknownName,
    /// The TLS handshake failed.
    Handshake,
    /// The TLS handshake took too long.
    HandshakeTimeout,
}

/// How long a client may take for what comes before HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptDeadlines {
    /// From the connection to the end of the PROXY protocol header.
    pub proxy_header: Duration,
    /// From the connection to the end of the TLS handshake, the PROXY protocol header included.
    pub handshake: Duration,
}

/// The bounds for connections, replaceable at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptPolicy {
    /// How long a client may take.
    pub deadlines: AcceptDeadlines,
    /// Connections that may be open at once, over all listeners; more are closed as they come.
    pub max_connections: usize,
    /// Who may send a PROXY protocol header. Empty means whoever can connect. Unix sockets always may.
    pub proxies: Vec<Network>,
}

/// All listeners of the gateway and the connections that came through them.
pub struct Listeners {
    open: watch::Sender<Vec<Arc<BoundListener>>>,
    tls: ArcSwapOption<TlsServer>,
    policy: ArcSwap<AcceptPolicy>,
    live: watch::Sender<usize>,
    /// How many accept loops run.
    accepting: watch::Sender<usize>,
    /// How many of them have begun to accept.
    ready: watch::Sender<usize>,
    app: Arc<dyn Connected>,
    events: Arc<dyn AcceptEvents>,
    full: AtomicBool,
}

impl Listeners {
    /// Joins bound sockets with what serves them. Nothing is accepted before [`Listeners::service`] runs.
    ///
    /// `tls` must be there if any listener speaks TLS.
    #[must_use]
    pub fn new(
        bound: Vec<BoundListener>,
        tls: Option<Arc<TlsServer>>,
        policy: AcceptPolicy,
        app: Arc<dyn Connected>,
        events: Arc<dyn AcceptEvents>,
    ) -> Arc<Self> {
        Arc::new(Self {
            open: watch::Sender::new(bound.into_iter().map(Arc::new).collect()),
            tls: ArcSwapOption::new(tls),
            policy: ArcSwap::from_pointee(policy),
            live: watch::Sender::new(0),
            accepting: watch::Sender::new(0),
            ready: watch::Sender::new(0),
            app,
            events,
            full: AtomicBool::new(false),
        })
    }

    /// The service that accepts, for Pingora's server to run.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> AcceptService {
        AcceptService { listeners: self.clone(), watchdog: None }
    }

    /// As [`Listeners::service`], with signs of life from where connections are served.
    pub(super) fn watched_service(self: &Arc<Self>, watchdog: Option<Watchdog>) -> AcceptService {
        AcceptService { listeners: self.clone(), watchdog }
    }

    /// The open listeners.
    pub(super) fn sockets(&self) -> Vec<Arc<BoundListener>> {
        self.open.borrow().clone()
    }

    /// Returns once every listener accepts.
    pub(super) async fn all_accept(&self) {
        let wanted = self.open.borrow().len();
        // Fails only if the sender is gone, which is a field of `self`.
        let _ = self.ready.subscribe().wait_for(|count| *count >= wanted).await;
    }

    /// Goes over to a new configuration: binds what is new, keeps the sockets of what stays, closes the rest.
    /// Connections that are open stay open. If anything cannot be bound, nothing changes.
    pub fn apply(
        &self,
        listeners: &[Listener],
        tls: Option<Arc<TlsServer>>,
        policy: AcceptPolicy,
    ) -> Result<(), BindError> {
        let mut old = self.open.borrow().clone();
        let mut keep = |listener: &Listener| {
            let index = old.iter().position(|bound| bound.fits(listener))?;
            Some(old.swap_remove(index))
        };
        let kept: Vec<_> = listeners.iter().map(|listener| (keep(listener), listener.clone())).collect();
        let next = kept.iter().map(|(bound, listener)| match bound {
            Some(bound) => Ok(Arc::clone(bound)),
            None => BoundListener::bind_beside(listener.clone(), &old).map(Arc::new),
        });
        let next = next.collect::<Result<_, _>>()?;
        // First TLS, so that no connection meets a listener that wants it and finds none.
        self.tls.store(tls);
        self.policy.store(Arc::new(policy));
        for (bound, listener) in kept {
            if let Some(bound) = bound {
                bound.update(listener);
            }
        }
        self.open.send_replace(next);
        Ok(())
    }

    /// Closes all listeners, and returns once none of them can accept any more. Connections that are open stay open.
    pub async fn close(&self) {
        self.open.send_replace(Vec::new());
        // Fails only if the sender is gone, which is a field of `self`.
        let _ = self.accepting.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The addresses in use, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.open.borrow().iter().map(ToString::to_string).collect()
    }

    /// The number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.live.borrow()
    }

    /// Waits until no connection is open.
    pub async fn wait_idle(&self) {
        // Fails only if the sender is gone, which is a field of `self`.
        let _ = self.live.subscribe().wait_for(|count| *count == 0).await;
    }

    fn enter(self: &Arc<Self>, settings: Arc<Listener>) -> Option<Live> {
        let max = self.policy.load().max_connections;
        let mut roomy = false;
        let entered = self.live.send_if_modified(|count| {
            let free = *count < max;
            roomy = *count < max - max / 10;
            *count += usize::from(free);
            free
        });
        if roomy {
            self.full.store(false, Ordering::Relaxed);
        }
        let listener = settings.address.to_string();
        if entered {
            let counted = self.events.opened(&listener);
            return Some(Live {
                listeners: self.clone(),
                settings,
                listener,
                accepted: Instant::now(),
                _counted: counted,
            });
        }
        self.events.refused(&listener, Refused::Full);
        if !self.full.swap(true, Ordering::Relaxed) {
            log::warn!(
                "{max} connections are open, as many as `limits.connections` allows; more are closed as they come"
            );
        }
        None
    }

    async fn accept(self: Arc<Self>, bound: Arc<BoundListener>, shutdown: ShutdownWatch) {
        let acceptor = match Acceptor::new(&bound.socket) {
            Ok(acceptor) => acceptor,
            Err(error) => return log::error!("cannot accept connections on {bound}: {error}"),
        };
        log::info!(
            "listening on {bound}{}",
            if bound.settings().transport == Transport::Plain { "" } else { " (tls)" }
        );
        self.ready.send_modify(|count| *count += 1);
        let mut shortage: Option<Instant> = None;
        loop {
            match acceptor.accept().await {
                Ok((socket, peer)) => {
                    if shortage.is_some_and(|last| last.elapsed() > RECOVERED) {
                        log::info!("accepting connections on {bound} again");
                        shortage = None;
                    }
                    if let Some(live) = self.enter(bound.settings()) {
                        let (port, shutdown) = (bound.port(), shutdown.clone());
                        tokio::spawn(async move { live.run(Socket::new(socket), peer, port, shutdown).await });
                    }
                }
                Err(error) if concerns_one_connection(&error) => {
                    log::debug!("a connection on {bound} is gone: {error}");
                }
                Err(error) => {
                    if shortage.replace(Instant::now()).is_none() {
                        log::error!(
                            "cannot accept connections on {bound}: {error}; they wait until others end (LimitNOFILE= in \
                             the unit sets how many there may be)"
                        );
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

/// Runs one accept loop for each open listener until shutdown. Then closes the sockets; connections go on.
pub struct AcceptService {
    listeners: Arc<Listeners>,
    watchdog: Option<Watchdog>,
}

#[async_trait]
impl Service for AcceptService {
    /// `fds` is not used: it holds bare numbers, which safe code cannot make sockets of.
    async fn start_service(&mut self, _fds: Option<ListenFds>, mut shutdown: ShutdownWatch, _listeners_per_fd: usize) {
        let listeners = &self.listeners;
        let mut open = listeners.open.subscribe();
        if let Some(watchdog) = self.watchdog.take() {
            tokio::spawn(watchdog.run());
        }
        let mut running: Vec<(Arc<BoundListener>, JoinHandle<()>)> = Vec::new();
        loop {
            let wanted = open.borrow_and_update().clone();
            let (stay, go) = running.into_iter().partition(|(bound, _)| wanted.iter().any(|it| Arc::ptr_eq(it, bound)));
            running = stay;
            stop(go).await;
            listeners.accepting.send_replace(wanted.len());
            for bound in wanted {
                if !running.iter().any(|(it, _)| Arc::ptr_eq(it, &bound)) {
                    let task = tokio::spawn(listeners.clone().accept(bound.clone(), shutdown.clone()));
                    running.push((bound, task));
                }
            }
            tokio::select! {
                changed = open.changed() => if changed.is_err() { break },
                _ = shutdown.wait_for(|shutting_down| *shutting_down) => break,
            }
        }
        listeners.open.send_replace(Vec::new());
        stop(running).await;
        listeners.accepting.send_replace(0);
    }

    fn name(&self) -> &'static str {
        "listeners"
    }
}

async fn stop(running: Vec<(Arc<BoundListener>, JoinHandle<()>)>) {
    for (bound, task) in running {
        task.abort();
        if let Err(error) = task.await
            && error.is_panic()
        {
            log::error!("the listener on {bound} had crashed: {error}");
        }
        let address = bound.to_string();
        drop(bound);
        log::info!("no longer listening on {address}");
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(socket: &BoundSocket) -> io::Result<Self> {
        match socket {
            BoundSocket::Tcp(listener) => Ok(Self::Tcp(TcpListener::from_std(listener.try_clone()?)?)),
            BoundSocket::Unix(listener, _) => Ok(Self::Unix(UnixListener::from_std(listener.try_clone()?)?)),
        }
    }

    async fn accept(&self) -> io::Result<(RawSocket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((RawSocket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((RawSocket::Unix(stream), None))
            }
        }
    }
}

/// Errors that Linux hands over from the connection being accepted (accept(2)). All others are about the listener or
/// the system.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    )
}

#[cfg(test)]
mod tests;
