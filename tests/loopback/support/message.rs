//! Messages of HTTP/1.1 as they stand on the wire, read by the letter of RFC 9112.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use super::DEADLINE;

/// A connection of any kind. Its reads must time out.
pub(crate) trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// Why there is no whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The other end closed the connection before the first byte.
    Closed,
    /// The other end closed the connection in the midst of a message, after these bytes of its current part.
    Truncated(Vec<u8>),
    /// This is not HTTP.
    Malformed(String),
    /// Nothing came for too long.
    TimedOut,
}

/// A start line and header fields.
#[derive(Clone)]
pub(crate) struct Head {
    /// As it came, with the empty line.
    pub(crate) raw: Vec<u8>,
    /// The first line, without its end.
    pub(crate) start: String,
    /// Names and values, in the order in which they came.
    pub(crate) fields: Vec<(String, String)>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.raw))
    }
}

impl Head {
    fn parse(raw: Vec<u8>) -> Result<Self, Broken> {
        let malformed = |what: &str| Broken::Malformed(format!("{what}: {:?}", String::from_utf8_lossy(&raw)));
        let text = std::str::from_utf8(&raw).map_err(|_| malformed("not UTF-8"))?;
        let text = text.strip_suffix("\r\n\r\n").ok_or_else(|| malformed("no end"))?;
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a line without a colon"))?;
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| b"\r\n\0".contains(&byte)) {
                return Err(malformed("a field that is none"));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Ok(Self { raw, start, fields })
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect()
    }

    /// The value of a field that stands at most once.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} stands more than once: {all:?}");
        all.first().copied()
    }

    /// The length that the head announces.
    fn framing(&self) -> Result<Framing, Broken> {
        match (self.all("transfer-encoding").as_slice(), self.all("content-length").as_slice()) {
            ([], []) => Ok(Framing::None),
            (["chunked"], []) => Ok(Framing::Chunked),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map(Framing::Length).map_err(|_| Broken::Malformed(format!("length {length}")))
            }
            both => Err(Broken::Malformed(format!("framing {both:?}"))),
        }
    }
}

enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// A body and what follows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Without the framing of chunks.
    pub(crate) bytes: Vec<u8>,
    /// Fields after the last chunk.
    pub(crate) trailers: Vec<(String, String)>,
}

/// What is to be heard on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is open and silent.
    Nothing,
    /// There is something to be read.
    Bytes,
    /// The other end has closed it.
    End,
}

/// One end of a connection.
pub(crate) struct Peer {
    wire: Box<dyn Wire>,
    read: Vec<u8>,
}

impl Peer {
    /// Takes over a connection whose reads time out.
    pub(crate) fn new(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire), read: Vec::new() }
    }

    /// Writes all.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write_all(bytes.as_ref())?;
        self.wire.flush()
    }

    /// Reads up to the empty line.
    pub(crate) fn head(&mut self) -> Result<Head, Broken> {
        let end = self.until(|read| read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4))?;
        Head::parse(self.take(end))
    }

    /// Reads the body of a request: none unless the head announces one.
    pub(crate) fn request_body(&mut self, head: &Head) -> Result<Body, Broken> {
        match head.framing()? {
            Framing::None => Ok(Body::default()),
            Framing::Length(length) => self.bytes(length),
            Framing::Chunked => self.chunks(),
        }
    }

    /// Reads the body of a response to anything but HEAD: up to the end of the connection unless the head says otherwise.
    pub(crate) fn response_body(&mut self, head: &Head) -> Result<Body, Broken> {
        match head.framing()? {
            Framing::None => self.rest(),
            Framing::Length(length) => self.bytes(length),
            Framing::Chunked => self.chunks(),
        }
    }

    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<Body, Broken> {
        let end = self.until(|read| (read.len() >= length).then_some(length)).map_err(Broken::within)?;
        Ok(Body { bytes: self.take(end), trailers: Vec::new() })
    }

    /// Reads up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Result<Body, Broken> {
        match self.until(|_| None) {
            Err(Broken::Closed) => Ok(Body::default()),
            Err(Broken::Truncated(bytes)) => {
                self.read.clear();
                Ok(Body { bytes, trailers: Vec::new() })
            }
            Err(error) => Err(error),
            Ok(_) => unreachable!("there is no end to be found"),
        }
    }

    fn chunks(&mut self) -> Result<Body, Broken> {
        let mut body = Body::default();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(|_| Broken::Malformed(format!("chunk size {line}")))?;
            if size == 0 {
                break;
            }
            body.bytes.extend(self.bytes(size)?.bytes);
            let end = self.line()?;
            if !end.is_empty() {
                return Err(Broken::Malformed(format!("chunk ends with {end}")));
            }
        }
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => body.trailers.push((name.to_owned(), value.trim().to_owned())),
                None if line.is_empty() => return Ok(body),
                None => return Err(Broken::Malformed(format!("trailer {line}"))),
            }
        }
    }

    fn line(&mut self) -> Result<String, Broken> {
        let find = |read: &[u8]| read.windows(2).position(|two| two == b"\r\n");
        let end = self.until(find).map_err(Broken::within)?;
        let line = self.take(end + 2);
        String::from_utf8(line[..end].to_vec()).map_err(|_| Broken::Malformed("a line that is no UTF-8".to_owned()))
    }

    /// Whether the other end closes the connection without another byte.
    pub(crate) fn closed(&mut self) -> Result<(), Broken> {
        match self.rest()?.bytes {
            bytes if bytes.is_empty() => Ok(()),
            bytes => Err(Broken::Malformed(format!("instead of an end: {:?}", String::from_utf8_lossy(&bytes)))),
        }
    }

    /// Waits for the next byte, which stays to be read.
    pub(crate) fn listen(&mut self) -> Heard {
        match self.until(|read| (!read.is_empty()).then_some(0)) {
            Ok(_) => Heard::Bytes,
            Err(Broken::TimedOut) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.read.split_off(length);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads on until `find` knows where the part ends.
    fn until(&mut self, find: impl Fn(&[u8]) -> Option<usize>) -> Result<usize, Broken> {
        let mut buffer = [0; 1 << 14];
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = find(&self.read) {
                return Ok(end);
            }
            if Instant::now() > deadline {
                return Err(Broken::TimedOut);
            }
            match self.wire.read(&mut buffer) {
                Ok(0) => return Err(self.ended()),
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Broken::TimedOut);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A reset, or TLS that ends without a close_notify.
                Err(_) => return Err(self.ended()),
            }
        }
    }

    fn ended(&self) -> Broken {
        if self.read.is_empty() { Broken::Closed } else { Broken::Truncated(self.read.clone()) }
    }
}

impl Broken {
    /// Within a message every end is too early.
    fn within(self) -> Self {
        if self == Self::Closed { Self::Truncated(Vec::new()) } else { self }
    }
}
