//! An upstream that does what a test tells it, and remembers what it was sent.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::DEADLINE;
use super::message::{Body, Broken, Head, Peer};

/// A request as the upstream read it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// On which connection, counted from 0.
    pub(crate) connection: usize,
    /// The head, byte for byte.
    pub(crate) head: Head,
    /// The body and its trailers.
    pub(crate) body: Body,
}

impl Request {
    /// The request target, byte for byte.
    pub(crate) fn target(&self) -> &str {
        let start = self.head.start.as_str();
        let (first, last) = (start.find(' ').unwrap(), start.rfind(' ').unwrap());
        &start[first + 1..last]
    }

    /// The method.
    pub(crate) fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap()
    }
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// It waits for the next request.
    Next,
    /// It is closed.
    Close,
    /// It stays open and silent until the other end closes it.
    Hold,
}

/// One connection, as the script sees it.
pub(crate) struct Connection {
    /// Counted from 0.
    pub(crate) number: usize,
    /// To be read from and written to.
    pub(crate) peer: Peer,
    seen: Arc<Seen>,
}

impl Connection {
    /// Reads a head and remembers it as a request without a body.
    pub(crate) fn head(&mut self) -> Result<Head, Broken> {
        let head = self.peer.head()?;
        self.record(head.clone(), Body::default());
        Ok(head)
    }

    /// Reads a whole request, as Twisted does: a client that waits for 100 is told to go on.
    pub(crate) fn request(&mut self) -> Result<Request, Broken> {
        let head = self.peer.head()?;
        if head.one("expect").is_some() {
            let _ = self.peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = self.peer.request_body(&head)?;
        Ok(self.record(head, body))
    }

    fn record(&self, head: Head, body: Body) -> Request {
        let request = Request { connection: self.number, head, body };
        self.seen.change(|state| state.requests.push(request.clone()));
        request
    }
}

/// What an upstream has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Whole requests, in the order in which they came.
    pub(crate) requests: Vec<Request>,
    /// Connections accepted.
    pub(crate) accepted: usize,
    /// Of those, how many have ended.
    pub(crate) ended: usize,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

impl Seen {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        changed
    }
}

/// An upstream on a port or socket of its own; it stops when it is dropped.
pub(crate) struct Upstream {
    place: Place,
    seen: Arc<Seen>,
    stopping: Arc<AtomicBool>,
    accepting: Option<thread::JoinHandle<()>>,
}

#[derive(Clone)]
enum Place {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
}

impl Upstream {
    /// Reads whole requests, one after the other, and lets `script` answer each.
    pub(crate) fn new(script: impl Fn(&Request, &mut Peer) -> Then + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), each(script))
    }

    /// Gives each request this answer.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, peer| match peer.send(&answer) {
            Ok(()) => Then::Next,
            Err(_) => Then::Close,
        })
    }

    /// Lets `script` do what it likes with each connection.
    pub(crate) fn raw(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// Listens on a socket that the test has bound.
    pub(crate) fn on(listener: TcpListener, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::busy(listener, Duration::ZERO, script)
    }

    /// As [`Upstream::on`], with something else to do before it lets each connection in.
    pub(crate) fn busy(
        listener: TcpListener,
        otherwise: Duration,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Self {
        let place = Place::Tcp(listener.local_addr().unwrap());
        Self::start(place, script, move || {
            thread::sleep(otherwise);
            let (stream, _) = listener.accept().ok()?;
            stream.set_nodelay(true).ok()?;
            stream.set_read_timeout(Some(DEADLINE)).ok()?;
            stream.set_write_timeout(Some(DEADLINE)).ok()?;
            Some(Peer::new(stream))
        })
    }

    /// Listens on a Unix socket.
    pub(crate) fn on_unix(path: &Path, script: impl Fn(&Request, &mut Peer) -> Then + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::start(Place::Unix(path.to_owned()), each(script), move || {
            let (stream, _) = listener.accept().ok()?;
            stream.set_read_timeout(Some(DEADLINE)).ok()?;
            Some(Peer::new(stream))
        })
    }

    fn start(
        place: Place,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
        accept: impl Fn() -> Option<Peer> + Send + 'static,
    ) -> Self {
        let (seen, stopping, script) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)), Arc::new(script));
        let (accepted, stop) = (Arc::clone(&seen), Arc::clone(&stopping));
        let accepting = thread::spawn(move || {
            loop {
                let peer = accept();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Some(peer) = peer else { continue };
                let number = accepted.change(|state| {
                    state.accepted += 1;
                    state.accepted - 1
                });
                let mut connection = Connection { number, peer, seen: Arc::clone(&accepted) };
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    script(&mut connection);
                    let Connection { peer, seen, .. } = connection;
                    drop(peer);
                    seen.change(|state| state.ended += 1);
                });
            }
        });
        Self { place, seen, stopping, accepting: Some(accepting) }
    }

    /// Where it listens, as the configuration has it.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> State {
        self.seen.state.lock().unwrap().clone()
    }

    /// Whether nobody has asked for anything. The gateway of another test may still look for a process that had this port
    /// before: such a probe names a host that no client of the tests names.
    pub(crate) fn is_unasked(&self) -> bool {
        let is_probe =
            |request: &Request| request.target() == "/health" && request.head.one("host") == Some("localhost");
        self.requests().iter().all(is_probe)
    }

    /// The requests that it has seen so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen().requests
    }

    /// The only request that it has seen so far.
    #[track_caller]
    pub(crate) fn only_request(&self) -> Request {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// Waits until what it has seen is `enough`.
    #[track_caller]
    pub(crate) fn wait(&self, enough: impl Fn(&State) -> bool) -> State {
        self.wait_within(DEADLINE, enough)
    }

    /// Waits until what it has seen is `enough`, but not for longer than `deadline`.
    #[track_caller]
    pub(crate) fn wait_within(&self, deadline: Duration, enough: impl Fn(&State) -> bool) -> State {
        let state = self.seen.state.lock().unwrap();
        let waited = self.seen.changed.wait_timeout_while(state, deadline, |state| !enough(state)).unwrap();
        assert!(!waited.1.timed_out(), "the upstream has only seen {:?}", *waited.0);
        waited.0.clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = match &self.place {
            Place::Tcp(address) => TcpStream::connect(address).map(drop),
            Place::Unix(path) => UnixStream::connect(path).map(drop),
        };
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn each(script: impl Fn(&Request, &mut Peer) -> Then + Send + Sync) -> impl Fn(&mut Connection) + Send + Sync {
    move |connection| {
        while let Ok(request) = connection.request() {
            match script(&request, &mut connection.peer) {
                Then::Next => {}
                Then::Close => return,
                Then::Hold => {
                    let _ = connection.peer.rest();
                    return;
                }
            }
        }
    }
}

/// A whole answer with a status line, `Content-Length` and JSON.
pub(crate) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// 200 and an empty object.
pub(crate) fn fine() -> String {
    answer("200 OK", "{}")
}
