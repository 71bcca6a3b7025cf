//! Where an upstream listens, as an operator writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// The place of an upstream in the list of all upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub usize);

/// `host:port`, `unix:/path`, or a URL `http://host[:port]` without a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamAddress {
    /// TCP. The host is a name, which is resolved again and again, or an address without brackets.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, never 0.
        port: u16,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Why a text is not the address of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No port, or not one from 1 to 65535.
    #[error("there is no port from 1 to 65535")]
    Port,
    /// Neither a name nor an address.
    #[error("the host is neither a name nor an address")]
    Host,
    /// A path, query or user in the URL.
    #[error("only a scheme, a host and a port belong here")]
    Url,
    /// `https`, which Synapse does not speak to its proxy.
    #[error("only http:// is spoken to upstreams")]
    Scheme,
    /// A relative path.
    #[error("the path of the socket must be absolute")]
    Path,
}

impl FromStr for UpstreamAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(AddressError::Path) };
        }
        let (authority, default_port) = match text.split_once("://") {
            Some(("http", rest)) => (rest.strip_suffix('/').unwrap_or(rest), Some(80)),
            Some(_) => return Err(AddressError::Scheme),
            None => (text, None),
        };
        if authority.contains(['/', '?', '#', '@']) {
            return Err(AddressError::Url);
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, default_port),
        };
        let port = port.filter(|&port| port != 0).ok_or(AddressError::Port)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(literal) => literal.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?.to_string(),
            None if is_name(host) => host.to_owned(),
            None => return Err(AddressError::Host),
        };
        Ok(Self::Tcp { host, port })
    }
}

fn is_name(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if matches!(host.parse(), Ok(IpAddr::V6(_))) => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for text in ["127.0.0.1:8008", "localhost:8008", "[::1]:8008", "unix:/run/matrix-synapse/main.sock"] {
            assert_eq!(text.parse::<UpstreamAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        let url: UpstreamAddress = "http://127.0.0.1:8081/".parse().unwrap();
        assert_eq!(url.to_string(), "127.0.0.1:8081");
        assert_eq!("http://intranet".parse::<UpstreamAddress>().unwrap().to_string(), "intranet:80");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let check = |text: &str, error| assert_eq!(text.parse::<UpstreamAddress>(), Err(error), "{text}");
        check("localhost", AddressError::Port);
        check("localhost:0", AddressError::Port);
        check("localhost:99999", AddressError::Port);
        check(":8008", AddressError::Host);
        check("[fe80::x]:1", AddressError::Host);
        check("::1:8008", AddressError::Host);
        check("https://a", AddressError::Scheme);
        check("http://a/b", AddressError::Url);
        check("http://user@a", AddressError::Url);
        check("unix:run/socket", AddressError::Path);
    }
}
