//! Reads the PROXY protocol header, version 1 or 2, that a load balancer puts before a connection.
//!
//! The header is read from the socket's buffer and nothing behind it is touched: the bytes of the TLS hello or the request
//! may come in the same packet (haproxy.org, proxy-protocol.txt, sections 2.1 and 2.2).

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

use super::stream::Socket;

/// The longest header of version 1, with its CR and LF (section 2.1).
const MAX_V1: usize = 107;
/// The longest header of version 2 that is accepted. Addresses take up to 216 bytes; what a client certificate adds
/// in TLVs stays well below this.
const MAX_V2: usize = 4096;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = v2::PROTOCOL_PREFIX;

/// Why a connection that must start with a PROXY header is closed. The load balancer's or the client's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The first bytes are something else: a client that went around the load balancer, or one set up without it.
    #[error("the connection does not start with a PROXY protocol header")]
    Missing,
    /// Version 1, malformed.
    #[error("the PROXY protocol header is malformed: {0}")]
    V1(#[from] v1::BinaryParseError),
    /// Version 2, malformed.
    #[error("the PROXY protocol header is malformed: {0}")]
    V2(v2::ParseError),
    /// Over [`MAX_V1`] or [`MAX_V2`].
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// The end of the stream.
    #[error("the connection was closed before its PROXY protocol header was complete")]
    Closed,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header, and nothing behind it. None means that the connection is the load balancer's own (`LOCAL`, a
/// health check) or that it does not know the client (`UNKNOWN`): the socket's address stands.
pub(super) async fn read(socket: &mut Socket) -> Result<Option<SocketAddr>, HeaderError> {
    loop {
        if let Some(header) = parse(socket.buffered())? {
            socket.consume(header.length);
            return Ok(header.client);
        }
        if socket.fill().await? == 0 {
            return Err(HeaderError::Closed);
        }
    }
}

#[derive(Debug, PartialEq)]
struct Header {
    length: usize,
    client: Option<SocketAddr>,
}

/// None means that more bytes are needed.
fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let starts = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    if starts(V1_START) {
        parse_v1(bytes)
    } else if starts(V2_START) {
        parse_v2(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    // The crate takes a header that was cut inside a number for a malformed one, so it is shown whole lines only.
    let line = bytes.iter().take(MAX_V1).position(|&byte| byte == b'\n');
    if line.is_none() {
        return if bytes.len() < MAX_V1 { Ok(None) } else { Err(HeaderError::TooLong) };
    }
    let header = v1::Header::try_from(bytes)?;
    let client = match header.addresses {
        v1::Addresses::Tcp4(ends) => Some((IpAddr::from(ends.source_address), ends.source_port)),
        v1::Addresses::Tcp6(ends) => Some((IpAddr::from(ends.source_address), ends.source_port)),
        v1::Addresses::Unknown => None,
    };
    Ok(Some(Header { length: header.header.len(), client: client.map(SocketAddr::from) }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(v2::ParseError::Partial(_, length)) if length > MAX_V2 => return Err(HeaderError::TooLong),
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => return Ok(None),
        Err(error) => return Err(HeaderError::V2(error)),
    };
    let client = match (header.command, header.addresses) {
        (v2::Command::Local, _) | (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(ends)) => Some((IpAddr::from(ends.source_address), ends.source_port)),
        (v2::Command::Proxy, v2::Addresses::IPv6(ends)) => Some((IpAddr::from(ends.source_address), ends.source_port)),
    };
    Ok(Some(Header { length: header.len(), client: client.map(SocketAddr::from) }))
}

#[cfg(test)]
mod tests;
