//! Where sessions are kept: in the memory of one gateway, or in a Redis that several share.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;

use crate::problem::Problems;

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// In the memory of the process.
    Memory {
        /// Where they are written while the gateway restarts; None leaves it to the service manager.
        state_dir: Option<PathBuf>,
    },
    /// In Redis or Valkey.
    Redis(RedisServer),
}

impl Default for Keeping {
    fn default() -> Self {
        Self::Memory { state_dir: None }
    }
}

/// A Redis or Valkey, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// Where it listens.
    pub endpoint: RedisEndpoint,
    /// The number of the database.
    pub database: u16,
    /// A file that has the password and nothing else.
    pub password_file: Option<PathBuf>,
}

/// Where a Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisEndpoint {
    /// A TCP port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port, never 0.
        port: u16,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

/// Why a text is not the place of a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StoreError {
    #[error("it is neither `memory` nor a URL of Redis")]
    Scheme,
    #[error("a password in the URL would be readable for everybody who may read this file")]
    Credentials,
    #[error("there is no host and port")]
    Host,
    #[error("the path of the socket is not absolute")]
    Path,
    #[error("the database is not a number from 0 to 65535")]
    Database,
}

impl StoreError {
    const fn remedy(self) -> &'static str {
        match self {
            Self::Credentials => {
                "write the password into a file, name it in `store_password_file`, and remove what stands before the @"
            }
            Self::Scheme | Self::Host | Self::Database => {
                "write memory, redis://127.0.0.1:6379/0, rediss://… or unix:/run/redis/redis-server.sock"
            }
            Self::Path => "write unix:/run/redis/redis-server.sock",
        }
    }
}

impl Keeping {
    /// Checks the keys of the section.
    pub(super) fn build(
        store: &str,
        password_file: Option<PathBuf>,
        state_dir: Option<PathBuf>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let paths = [("rendezvous.state_dir", &state_dir), ("rendezvous.store_password_file", &password_file)];
        let mut paths_are_absolute = true;
        for (key, _) in paths.into_iter().filter(|(_, path)| path.as_deref().is_some_and(Path::is_relative)) {
            problems.error(key, "the path is not absolute", "write it from the first slash on");
            paths_are_absolute = false;
        }
        if store == "memory" {
            if password_file.is_some() {
                let message = "the memory of the gateway has no password";
                problems.error("rendezvous.store_password_file", message, "remove it, or name a Redis in `store`");
                return None;
            }
            return paths_are_absolute.then_some(Self::Memory { state_dir });
        }
        let (endpoint, database) = match parse(store) {
            Ok(parsed) => parsed,
            Err(error) => {
                // Without the text: it may hold a password.
                problems.error("rendezvous.store", error.to_string(), error.remedy());
                return None;
            }
        };
        paths_are_absolute.then_some(Self::Redis(RedisServer { endpoint, database, password_file }))
    }
}

fn parse(text: &str) -> Result<(RedisEndpoint, u16), StoreError> {
    let socket = ["redis+unix://", "unix://", "unix:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    if let Some(socket) = socket {
        let (path, query) = socket.split_once('?').unwrap_or((socket, "db=0"));
        let database = query.strip_prefix("db=").ok_or(StoreError::Database)?;
        let path = PathBuf::from(path);
        let endpoint = if path.is_absolute() { RedisEndpoint::Unix(path) } else { return Err(StoreError::Path) };
        return Ok((endpoint, number(database)?));
    }
    let tls = match text.split_once("://") {
        Some(("redis", _)) => false,
        Some(("rediss", _)) => true,
        Some(_) | None => return Err(StoreError::Scheme),
    };
    if text.contains('@') {
        return Err(StoreError::Credentials);
    }
    let url = Uri::from_str(text).map_err(|_| StoreError::Host)?;
    let host = url.host().filter(|host| !host.is_empty()).ok_or(StoreError::Host)?;
    let port = match url.authority() {
        Some(authority) if authority.as_str() == host => 6379,
        Some(_) | None => url.port_u16().filter(|&port| port != 0).ok_or(StoreError::Host)?,
    };
    let database = match (url.path().trim_start_matches('/'), url.query()) {
        ("", None) => 0,
        (database, None) => number(database)?,
        (_, Some(_)) => return Err(StoreError::Database),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((RedisEndpoint::Tcp { host, port, tls }, database))
}

fn number(text: &str) -> Result<u16, StoreError> {
    text.parse().map_err(|_| StoreError::Database)
}
