//! The connection to Redis: made when it is needed, and made again after it was lost.
//!
//! Nobody waits for it longer than [`WITHIN`], and nothing is sent twice: a command whose answer did not come may have
//! been carried out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use log::{info, warn};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::UNAVAILABLE;
use crate::rendezvous::{RedisEndpoint, RedisServer, Refusal};

/// How long an operation may take, a new connection included.
const WITHIN: Duration = Duration::from_secs(1);
/// How long a connection may take to be made, and an answer to come.
const STEP: Duration = Duration::from_millis(450);
/// How long nobody tries after a connection could not be made. Requests are refused at once meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

/// The password of a Redis.
pub struct Password(String);

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Nothing, or nothing but white space.
    #[error("its first line is empty")]
    Empty,
}

impl Password {
    /// Reads the first line of a file.
    pub fn read(path: &Path) -> Result<Self, PasswordError> {
        let text = std::fs::read_to_string(path)?;
        let password = text.lines().next().unwrap_or_default().trim();
        if password.is_empty() { Err(PasswordError::Empty) } else { Ok(Self(password.to_owned())) }
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(redacted)")
    }
}

pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    live: ArcSwapOption<MultiplexedConnection>,
    /// When the last attempt to connect failed. Locked by whoever makes a connection.
    failed: Mutex<Option<Instant>>,
    /// Whether it is known in the log that Redis cannot be reached.
    told: AtomicBool,
}

impl Link {
    pub(super) fn new(server: &RedisServer, password: Option<&Password>) -> Result<Self, RedisError> {
        let address = match &server.endpoint {
            RedisEndpoint::Unix(path) => ConnectionAddr::Unix(path.clone()),
            RedisEndpoint::Tcp { host, port, tls: false } => ConnectionAddr::Tcp(host.clone(), *port),
            RedisEndpoint::Tcp { host, port, tls: true } => {
                ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
            }
        };
        let mut settings = RedisConnectionInfo::default().set_db(server.database.into());
        if let Some(Password(password)) = password {
            settings = settings.set_password(password);
        }
        let info = address.into_connection_info()?.set_redis_settings(settings);
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(STEP)).set_response_timeout(Some(STEP));
        Ok(Self {
            client: Client::open(info)?,
            config,
            live: ArcSwapOption::empty(),
            failed: Mutex::new(None),
            told: AtomicBool::new(false),
        })
    }

    /// Does something on the connection.
    pub(super) async fn call<T, F>(&self, operation: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let attempt = async {
            let connection = self.connection().await?;
            let outcome = operation(MultiplexedConnection::clone(&connection)).await;
            if outcome.as_ref().is_err_and(|error| error.is_unrecoverable_error() || error.is_timeout()) {
                self.give_up(&connection);
            }
            outcome.map_err(Fault::Redis)
        };
        match timeout(WITHIN, attempt).await.unwrap_or(Err(Fault::Late)) {
            Ok(value) => {
                if self.told.swap(false, Ordering::Relaxed) {
                    info!("the Redis of the rendezvous sessions answers again");
                }
                Ok(value)
            }
            Err(fault) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    warn!(
                        "the Redis of the rendezvous sessions: {fault}; sign-in by QR code is refused until it answers"
                    );
                }
                Err(UNAVAILABLE)
            }
        }
    }

    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, Fault> {
        if let Some(connection) = self.live.load_full() {
            return Ok(connection);
        }
        let mut failed = self.failed.lock().await;
        if let Some(connection) = self.live.load_full() {
            return Ok(connection);
        }
        if failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(Fault::Paused);
        }
        match self.client.get_multiplexed_async_connection_with_config(&self.config).await {
            Ok(connection) => {
                *failed = None;
                let connection = Arc::new(connection);
                self.live.store(Some(Arc::clone(&connection)));
                Ok(connection)
            }
            Err(error) => {
                *failed = Some(Instant::now());
                Err(Fault::Redis(error))
            }
        }
    }

    /// Unless somebody has made a new one meanwhile. Operations that are under way on it come to their own end.
    fn give_up(&self, connection: &Arc<MultiplexedConnection>) {
        self.live.compare_and_swap(&Some(Arc::clone(connection)), None);
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Redis(RedisError),
    #[error("it does not answer in time")]
    Late,
    #[error("it cannot be reached")]
    Paused,
}
