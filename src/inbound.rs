//! A request head as facts: what was asked, under which name, by whom, on which listener.
//!
//! Host and path get their one meaning here. Paths stay raw, since Synapse matches raw paths and federation signatures
//! cover the raw target; whatever cannot be forwarded exactly as it came is refused before anything is decided.

use std::net::IpAddr;
use std::path::PathBuf;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Version};

use crate::matrix::{Cause, ErrCode, MatrixError};

/// How the client reached us, or the trusted proxy in front of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In the clear.
    Http,
}

impl Scheme {
    /// As in a URL and in `X-Forwarded-Proto`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// The groups of paths that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four independent switches, as the operator writes them")]
pub struct Serve {
    /// The client-server API, with media, rendezvous, calls and `/_synapse/client`.
    pub client: bool,
    /// The server-server and key APIs.
    pub federation: bool,
    /// `/.well-known/matrix`.
    pub well_known: bool,
    /// `/_synapse/admin` and `/_synapse/mas`, which also need `admin_api` and `mas`.
    pub admin: bool,
}

impl Serve {
    /// What a listener serves when its `serve` is not set: whether there is an admin API is for `admin_api` to say, and
    /// so on.
    pub const ALL: Self = Self { client: true, federation: true, well_known: true, admin: true };
    /// What a listener serves that is not for clients at all.
    pub const NONE: Self = Self { client: false, federation: false, well_known: false, admin: false };
}

/// What a listener knows about a connection before the first request on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The listener's address as configured, for `explain` and the access log.
    pub listener: String,
    /// Whether the listener speaks TLS.
    pub scheme: Scheme,
    /// What the listener serves.
    pub serve: Serve,
    /// The port of the listener, if it has one: a redirect names it unless it is the scheme's own.
    pub port: Option<u16>,
    /// The address at the other end, in canonical form: the socket's, or the PROXY header's. None on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Whether forwarding headers from this connection are believed: a Unix socket, or `trusted: true`.
    pub trusted: bool,
    /// The TLS port that everything is redirected to, on a listener with `redirect_https`.
    pub redirect_https: Option<u16>,
    /// Where the files of `/.well-known/acme-challenge/` are.
    pub acme_webroot: Option<PathBuf>,
}

/// The largest request head that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadBounds {
    /// Bytes of the request target.
    pub target: usize,
    /// Bytes of the target and of all header names and values, with four for each field's separators.
    pub head: usize,
    /// Number of header fields.
    pub fields: usize,
}

/// A request head that is fit to be decided on.
#[derive(Clone, Debug)]
pub struct Inbound<'a> {
    /// The method, as sent.
    pub method: &'a Method,
    /// The path of the target, as sent; starts with `/`.
    pub path: &'a str,
    /// What follows the first `?`, as sent.
    pub query: Option<&'a str>,
    /// The one Host, as sent: a name or address, with a port where the client named one.
    pub authority: &'a str,
    /// The declared length of the body.
    pub content_length: Option<u64>,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// The protocol version between the client and us.
    pub version: Version,
    /// How it came.
    pub arrival: &'a Arrival,
}

/// Why a request head is not fit to be decided on. Always the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Absolute-form, asterisk-form or authority-form: Synapse's listeners treat them as something else than a path.
    #[error("The request target must be a path")]
    TargetForm,
    /// Bytes that no two parsers read alike.
    #[error("The request target has characters that must be percent-encoded")]
    TargetBytes,
    /// Over [`HeadBounds::target`].
    #[error("The request target is too long")]
    TargetTooLong,
    /// Over [`HeadBounds::head`] or [`HeadBounds::fields`].
    #[error("The request headers are too large")]
    HeadersTooLarge,
    /// RFC 9112, section 3.2: exactly one Host; the same as `:authority` in HTTP/2.
    #[error("There must be exactly one Host header")]
    HostCount,
    /// Not a host with an optional port (RFC 3986, section 3.2).
    #[error("The Host header is not a host name with an optional port")]
    HostForm,
    /// RFC 9110, section 8.6.
    #[error("Content-Length must be one decimal number, and not stand beside Transfer-Encoding")]
    Length,
    /// A list of codings, or another one than `chunked`, which no two servers read alike (RFC 9112, section 6.1).
    #[error("Transfer-Encoding must be chunked")]
    Coding,
    /// A `+`, NUL, CR or LF, or a name that is not a token.
    #[error("A header has characters that are not allowed")]
    HeaderBytes,
    /// CONNECT and TRACE have no meaning for Matrix.
    #[error("Unrecognized request")]
    Method,
}

impl From<Refusal> for MatrixError {
    fn from(refusal: Refusal) -> Self {
        let (status, errcode, cause) = match refusal {
            Refusal::TargetForm | Refusal::TargetBytes => {
                (StatusCode::BAD_REQUEST, ErrCode::Unknown, Cause::InvalidTarget)
            }
            Refusal::TargetTooLong => (StatusCode::URI_TOO_LONG, ErrCode::Unknown, Cause::UriTooLong),
            Refusal::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ErrCode::Unknown, Cause::HeadersTooLarge)
            }
            Refusal::HostCount | Refusal::HostForm => (StatusCode::BAD_REQUEST, ErrCode::Unknown, Cause::InvalidHost),
            Refusal::Length | Refusal::Coding => (StatusCode::BAD_REQUEST, ErrCode::Unknown, Cause::InvalidFraming),
            Refusal::HeaderBytes => (StatusCode::BAD_REQUEST, ErrCode::Unknown, Cause::InvalidHeader),
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, ErrCode::Unrecognized, Cause::MethodNotAllowed),
        };
        Self::new(status, errcode, cause, refusal.to_string())
    }
}

impl<'a> Inbound<'a> {
    /// Reads the facts off a request head.
    ///
    /// `target` is the request target as it came over the wire, which `parts.uri` may hold in another form.
    pub fn read(
        parts: &'a Parts,
        target: &'a [u8],
        arrival: &'a Arrival,
        bounds: &HeadBounds,
    ) -> Result<Self, Refusal> {
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        if target.len() > bounds.target {
            return Err(Refusal::TargetTooLong);
        }
        let (path, query) = split_target(target)?;
        check_headers(target.len(), &parts.headers, bounds)?;
        Ok(Self {
            method: &parts.method,
            path,
            query,
            authority: authority(parts)?,
            content_length: body_length(&parts.headers)?,
            headers: &parts.headers,
            version: parts.version,
            arrival,
        })
    }

    /// The host without its port, as sent.
    #[must_use]
    pub fn host(&self) -> &'a str {
        split_port(self.authority).0
    }

    /// The first value of a query parameter, as sent: not percent-decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<&'a str> {
        self.query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

fn split_target(target: &[u8]) -> Result<(&str, Option<&str>), Refusal> {
    if target.first() != Some(&b'/') {
        return Err(Refusal::TargetForm);
    }
    // `#` never belongs to a request target, and a proxy that cuts it off changes what was signed.
    if target.iter().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'#')) {
        return Err(Refusal::TargetBytes);
    }
    let target = std::str::from_utf8(target).map_err(|_| Refusal::TargetBytes)?;
    Ok(match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    })
}

fn check_headers(target: usize, headers: &HeaderMap, bounds: &HeadBounds) -> Result<(), Refusal> {
    const SEPARATORS: usize = ": \r\n".len();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS).sum();
    if target + size > bounds.head || headers.len() > bounds.fields {
        return Err(Refusal::HeadersTooLarge);
    }
    let forbidden = |byte: &u8| matches!(byte, b'\r' | b'\n' | b'\0');
    if headers.values().any(|value| value.as_bytes().iter().any(forbidden)) {
        return Err(Refusal::HeaderBytes);
    }
    // A token allows `"` in no name (RFC 9110, section 5.6.2), but not every HTTP/2 parser knows.
    if headers.keys().any(|name| name.as_str().contains('"')) {
        return Err(Refusal::HeaderBytes);
    }
    Ok(())
}

fn authority(parts: &Parts) -> Result<&str, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    // HTTP/2 has `:authority` in place of Host, and may have both if they are equal (RFC 9113, section 8.3.1).
    let pseudo = parts.uri.authority().filter(|_| parts.version == Version::HTTP_2);
    let host = match (pseudo, hosts.next(), hosts.next()) {
        (None, Some(host), None) => host.to_str().map_err(|_| Refusal::HostForm)?,
        (Some(authority), None, None) => authority.as_str(),
        (Some(authority), Some(host), None) if authority.as_str().as_bytes() == host.as_bytes() => authority.as_str(),
        _ => return Err(Refusal::HostCount),
    };
    let (name, port) = split_port(host);
    let port_is_valid = match port {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => true,
    };
    if port_is_valid && is_host(name) { Ok(host) } else { Err(Refusal::HostForm) }
}

/// Splits `host:port` and `[v6]:port`; the port is whatever follows the colon.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => {
            let (host, port) = authority.split_at(colon);
            (host, port.strip_prefix(':'))
        }
        _ => (authority, None),
    }
}

/// A name or address as RFC 3986, section 3.2.2, has it, without percent-encoding and without an empty name.
fn is_host(name: &str) -> bool {
    if let Some(literal) = name.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// The one declared length, if it is not chunks that tell where the body ends.
fn body_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next(), headers.contains_key(CONTENT_LENGTH)) {
        (None, ..) => content_length(headers),
        (Some(_), _, true) => Err(Refusal::Length),
        (Some(coding), None, false) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(None),
        (Some(_), _, false) => Err(Refusal::Coding),
    }
}

/// Bounded by 2^53, beyond which lengths lose digits in half of the world's software.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    const MAX_DIGITS: usize = "9007199254740992".len();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    if lengths.next().is_some() || length.len() > MAX_DIGITS {
        return Err(Refusal::Length);
    }
    let digits = length.to_str().map_err(|_| Refusal::Length)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::Length);
    }
    digits.parse().map(Some).map_err(|_| Refusal::Length)
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
