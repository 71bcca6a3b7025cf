//! An address to listen on, and what to write instead of something that is none.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest path of a Unix socket in bytes (`sun_path` in unix(7), less its terminating NUL).
const MAX_UNIX_PATH: usize = 107;

/// What a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and port. Port 0 lets the kernel choose one.
    Tcp(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing at all.
    #[error("there is no address")]
    Empty,
    /// A port alone, or with a `*` for the address.
    #[error("`{text}` names a port but no IP address")]
    NoIp {
        /// What was written.
        text: String,
        /// The port in it.
        port: u16,
    },
    /// An address alone.
    #[error("`{text}` has no port")]
    NoPort {
        /// What was written.
        text: String,
        /// The address in it.
        ip: IpAddr,
    },
    /// Not a number from 0 to 65535.
    #[error("`{0}` does not end in a port")]
    BadPort(String),
    /// An IPv6 address that runs into its port.
    #[error("`{text}` has an IPv6 address without brackets")]
    Brackets {
        /// What was written.
        text: String,
        /// The address in it.
        ip: Ipv6Addr,
        /// The port in it.
        port: u16,
    },
    /// Names are not looked up: what they mean can change, and a resolver may not be there at boot.
    #[error("`{0}` is a host name, and names are not looked up")]
    HostName(String),
    /// An IPv4 address in IPv6 clothes.
    #[error("`{text}` is an IPv4 address written as IPv6")]
    Mapped {
        /// What was written.
        text: String,
        /// What it means.
        plain: SocketAddr,
    },
    /// A path without `unix:` in front.
    #[error("`{0}` is a path")]
    NoScheme(String),
    /// Not an absolute path.
    #[error("`{0}` is not an absolute path")]
    RelativePath(String),
    /// Over 107 bytes, which is what the kernel takes.
    #[error("`{0}` is longer than the {MAX_UNIX_PATH} bytes that the path of a Unix socket may have")]
    LongPath(String),
}

impl AddressError {
    /// What to write instead, as an imperative clause.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Empty => "write an IP address and a port, as in `[::]:443`".to_owned(),
            Self::NoIp { port, .. } => format!("write `[::]:{port}` for all addresses, IPv4 and IPv6"),
            Self::NoPort { ip, .. } => format!("write `{}`", SocketAddr::new(*ip, 443)),
            Self::BadPort(_) => "write a number from 1 to 65535 after the last colon".to_owned(),
            Self::Brackets { ip, port, .. } => format!("write `[{ip}]:{port}`"),
            Self::HostName(_) => {
                "write the IP address, as in `127.0.0.1:8080`, or `[::]:443` for all addresses".to_owned()
            }
            Self::Mapped { plain, .. } => format!("write `{plain}`"),
            Self::NoScheme(path) => format!("write `unix:{path}`"),
            Self::RelativePath(_) => "write the whole path, as in `unix:/run/synapse-gateway/edge.sock`".to_owned(),
            Self::LongPath(_) => "choose a shorter one".to_owned(),
        }
    }
}

impl Address {
    /// The port, if it has one; 0 if the kernel is to choose it.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }

    /// The path of a Unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// Whether the kernel refuses to bind both, given that `[::]` leaves IPv4 alone beside `0.0.0.0`.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(two)) => {
                let same_port = one.port() == two.port() && one.port() != 0;
                same_port && (covers(one.ip(), two.ip()) || covers(two.ip(), one.ip()))
            }
            (Self::Unix(one), Self::Unix(two)) => one == two,
            (Self::Tcp(_), Self::Unix(_)) | (Self::Unix(_), Self::Tcp(_)) => false,
        }
    }

    pub(super) fn is_wildcard(&self, wildcard: IpAddr, port: u16) -> bool {
        self == &Self::Tcp(SocketAddr::new(wildcard, port))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let Ok(address) = text.parse::<SocketAddr>() else {
            return Err(diagnose(text));
        };
        let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
        if plain.ip() != address.ip() {
            return Err(AddressError::Mapped { text: text.to_owned(), plain });
        }
        Ok(Self::Tcp(address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    match (wide, narrow) {
        (IpAddr::V4(wide), IpAddr::V4(narrow)) => wide == narrow || wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V6(narrow)) => wide == narrow || wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V4(narrow)) => wide.is_unspecified() && narrow != Ipv4Addr::UNSPECIFIED,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

fn unix(path: &str) -> Result<Address, AddressError> {
    if !path.starts_with('/') {
        return Err(AddressError::RelativePath(path.to_owned()));
    }
    if path.len() > MAX_UNIX_PATH {
        return Err(AddressError::LongPath(path.to_owned()));
    }
    Ok(Address::Unix(path.into()))
}

fn diagnose(text: &str) -> AddressError {
    let owned = || text.to_owned();
    if text.is_empty() {
        return AddressError::Empty;
    }
    if text.starts_with('/') {
        return AddressError::NoScheme(owned());
    }
    if let Ok(port) = text.parse() {
        return AddressError::NoIp { text: owned(), port };
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return AddressError::NoPort { text: owned(), ip };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return AddressError::HostName(owned());
    };
    let Ok(port) = port.parse() else {
        return AddressError::BadPort(owned());
    };
    if matches!(host, "" | "*") {
        return AddressError::NoIp { text: owned(), port };
    }
    match host.parse() {
        Ok(ip) => AddressError::Brackets { text: owned(), ip, port },
        Err(_) => AddressError::HostName(owned()),
    }
}
