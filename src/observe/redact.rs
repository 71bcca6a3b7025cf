//! Which parts of a request may be written down.
//!
//! Everything here is an allow-list: a query value is shown only under a name that is known to be harmless, and only
//! where the value cannot hide a second parameter. Text is bounded and escaped, so that no client can forge a line or
//! send control sequences to a terminal.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str;

use serde::{Serialize, Serializer};

use self::rules::{write_path, write_query, write_word};
use self::text::{Bounded, escape, is_quoting};
use super::section::ClientAddresses;

mod rules;
mod text;

/// Bytes of a target that are written at most; what is cut off is marked with `…`.
pub const MAX_TARGET: usize = 2048;
/// Bytes of a header value that are written at most; what is cut off is marked with `…`.
pub const MAX_TEXT: usize = 512;
/// Bytes of a message of foreign code that are written at most.
const MAX_MESSAGE: usize = 2048;
/// Where a word of a message ends.
const WORD_ENDS: [char; 6] = [' ', ',', '"', '\'', '(', ')'];

const REDACTED: &str = "<redacted>";

/// A request target that shows no secret when it is written.
///
/// A byte that is not visible ASCII, and `"`, `\`, `<` and `>`, are written percent-encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RedactedTarget<'a> {
    path: &'a str,
    query: Option<&'a str>,
    hidden: &'a [String],
}

impl<'a> RedactedTarget<'a> {
    /// `hidden` are the path prefixes below which everything is secret, such as the configured rendezvous prefix.
    #[must_use]
    pub const fn new(path: &'a str, query: Option<&'a str>, hidden: &'a [String]) -> Self {
        Self { path, query, hidden }
    }

    /// For a request that was refused before its target was understood.
    #[must_use]
    pub fn raw(target: &'a str, hidden: &'a [String]) -> Self {
        match target.split_once('?') {
            Some((path, query)) => Self::new(path, Some(query), hidden),
            None => Self::new(target, None, hidden),
        }
    }
}

impl fmt::Display for RedactedTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Bounded::new(f, MAX_TARGET);
        if self.path.starts_with('/') {
            write_path(&mut out, self.path, self.hidden)?;
        } else {
            // An absolute target may hold a password; `*` is the only harmless one.
            out.write_str(if self.path == "*" { "*" } else { REDACTED })?;
        }
        if let Some(query) = self.query {
            out.write_char('?')?;
            write_query(&mut out, query)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedactedTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client's header value: bytes outside of printable ASCII, `"` and `\` are written as `\xNN`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EscapedText<'a>(&'a [u8]);

impl<'a> EscapedText<'a> {
    /// Of any bytes; headers need not be UTF-8.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EscapedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&mut Bounded::new(f, MAX_TEXT), self.0, "\\x", |byte| matches!(byte, b' '..=b'~') && !is_quoting(byte))
    }
}

impl fmt::Debug for EscapedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The scheme, host and port of a `Referer`. The path of the page before may hold a login token or a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefererOrigin<'a> {
    scheme: &'static str,
    authority: &'a str,
}

impl<'a> RefererOrigin<'a> {
    /// None where the header is not a web address.
    #[must_use]
    pub fn read(header: &'a [u8]) -> Option<Self> {
        let header = str::from_utf8(header).ok()?;
        let (scheme, rest) = match header.strip_prefix("https://") {
            Some(rest) => ("https", rest),
            None => ("http", header.strip_prefix("http://")?),
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let is_host =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        // A user name or password before the host has an `@`, and is no host.
        let shown = !authority.is_empty() && authority.len() <= MAX_TEXT && authority.bytes().all(is_host);
        shown.then_some(Self { scheme, authority })
    }
}

impl fmt::Display for RefererOrigin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// A client's address as far as the operator wants it written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownAddress(Option<IpAddr>);

impl ShownAddress {
    /// Applies the operator's choice. An address is absent on a Unix socket.
    #[must_use]
    pub fn new(address: Option<IpAddr>, choice: ClientAddresses) -> Self {
        Self(match choice {
            ClientAddresses::Full => address,
            ClientAddresses::Truncated => address.map(network),
            ClientAddresses::None => None,
        })
    }
}

impl fmt::Display for ShownAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => fmt::Display::fmt(&address, f),
            None => f.write_char('-'),
        }
    }
}

impl Serialize for ShownAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// A log message of code that is not ours, which may quote a request.
///
/// Whatever looks like a target or a parameter is redacted like one. Quoted heads of requests and answers are cut off:
/// they hold tokens.
#[derive(Clone, Copy)]
pub struct RedactedMessage<'a>(&'a str);

impl<'a> RedactedMessage<'a> {
    /// Of the message as it was formatted.
    #[must_use]
    pub const fn new(message: &'a str) -> Self {
        Self(message)
    }
}

impl fmt::Display for RedactedMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Bounded::new(f, MAX_MESSAGE);
        // Pingora quotes heads that it cannot parse after this word.
        let (message, head) = match self.0.split_once("buf: ") {
            Some((message, _)) => (message, true),
            None => (self.0, false),
        };
        let mut after_bearer = false;
        for part in message.split_inclusive(WORD_ENDS) {
            let word = part.strip_suffix(WORD_ENDS).unwrap_or(part);
            if after_bearer && !word.is_empty() {
                out.write_str(REDACTED)?;
                after_bearer = false;
            } else {
                write_word(&mut out, word)?;
                after_bearer |= word.eq_ignore_ascii_case("bearer");
            }
            out.write_str(part.strip_prefix(word).unwrap_or_default())?;
        }
        if head { out.write_str(REDACTED) } else { Ok(()) }
    }
}

/// The networks that identify a household or a company rather than a person.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & !0xFF).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 48)).into(),
    }
}
