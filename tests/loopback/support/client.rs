//! A client that sends what a test says, byte for byte, and reads answers strictly.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::DEADLINE;
use super::message::{Broken, Head, Heard, Peer};

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// Status line and fields.
    pub(crate) head: Head,
    /// The body, without the framing of chunks.
    pub(crate) body: Vec<u8>,
    /// Fields after the last chunk.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Response {
    /// The status.
    pub(crate) fn status(&self) -> u16 {
        self.head.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.head.one(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection to the gateway.
pub(crate) struct Client {
    peer: Peer,
    /// The socket below, for its deadline.
    socket: Socket,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects in the clear.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = connect(address);
        Self { peer: Peer::new(stream.try_clone().unwrap()), socket: Socket::Tcp(stream) }
    }

    /// Connects to a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { peer: Peer::new(stream.try_clone().unwrap()), socket: Socket::Unix(stream) }
    }

    /// Connects over TLS. The handshake is complete when this returns; the error is what the TLS library says of it.
    pub(crate) fn tls(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::tls_after(b"", address, name, config)
    }

    /// As [`Client::tls`], with bytes in the clear before the handshake.
    pub(crate) fn tls_after(
        first: &[u8],
        address: SocketAddr,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<Self> {
        let mut stream = connect(address);
        stream.write_all(first)?;
        let socket = Socket::Tcp(stream.try_clone()?);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(config, name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self { peer: Peer::new(StreamOwned::new(connection, stream)), socket })
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.peer.send(bytes).unwrap();
        self
    }

    /// Sends bytes to a gateway that may have closed the connection already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.peer.send(bytes)
    }

    /// Reads one answer to anything but HEAD. Answers below 200 are answers too.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().unwrap_or_else(|broken| panic!("{broken:?}"))
    }

    /// Reads one answer to anything but HEAD, or what is left of it.
    pub(crate) fn try_response(&mut self) -> Result<Response, Broken> {
        let head = self.response_head()?;
        let status = head.start.split(' ').nth(1).unwrap_or_default();
        let body = match status {
            "204" | "304" => Ok(super::message::Body::default()),
            _ if status.starts_with('1') => Ok(super::message::Body::default()),
            _ => self.peer.response_body(&head),
        };
        body.map(|body| Response { head, body: body.bytes, trailers: body.trailers })
    }

    /// Reads one answer to anything but HEAD, if it begins to come within this time.
    #[track_caller]
    pub(crate) fn response_within(&mut self, within: Duration) -> Option<Response> {
        self.patience(within);
        let response = self.try_response();
        self.patience(DEADLINE);
        match response {
            Err(Broken::TimedOut) => None,
            response => Some(response.unwrap_or_else(|broken| panic!("{broken:?}"))),
        }
    }

    fn patience(&self, patience: Duration) {
        match &self.socket {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(patience)).unwrap(),
            Socket::Unix(socket) => socket.set_read_timeout(Some(patience)).unwrap(),
        }
    }

    /// Reads the head of an answer; what follows it is the test's business, as in an answer to HEAD.
    pub(crate) fn response_head(&mut self) -> Result<Head, Broken> {
        let head = self.peer.head()?;
        let version = head.start.get(..9);
        let status = head.start.get(9..12).and_then(|status| status.parse::<u16>().ok());
        match (version, status) {
            (Some("HTTP/1.1 "), Some(100..=599)) => Ok(head),
            _ => Err(Broken::Malformed(head.start)),
        }
    }

    /// Sends bytes and reads one answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes).response()
    }

    /// Sends a GET request for a target and reads one answer.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.ask(get(target))
    }

    /// Reads so many bytes.
    #[track_caller]
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.peer.bytes(length).unwrap().bytes
    }

    /// Waits until the gateway closes the connection, without another byte; how long that took.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> Duration {
        let started = Instant::now();
        assert_eq!(self.peer.closed(), Ok(()));
        started.elapsed()
    }

    /// What comes from the gateway within `wait`. Paces what a slow client sends.
    #[track_caller]
    pub(crate) fn listen(&mut self, wait: Duration) -> Heard {
        self.socket.set_read_timeout(wait);
        let heard = self.peer.listen();
        self.socket.set_read_timeout(DEADLINE);
        heard
    }
}

impl Socket {
    fn set_read_timeout(&self, wait: Duration) {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(wait)).unwrap(),
            Self::Unix(socket) => socket.set_read_timeout(Some(wait)).unwrap(),
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Header lines of these names and values.
pub(crate) fn lines(fields: &[(&str, &str)]) -> String {
    fields.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect()
}

/// A GET request without anything to spare.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n")
}

/// A POST request with a body of the given length, without the body.
pub(crate) fn post(target: &str, length: usize) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: {length}\r\n\r\n")
}
