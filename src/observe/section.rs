//! The `log` and `metrics` sections.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problems;
use crate::quantity::Size;

const MIN_BUFFER: u64 = 64 << 10;
const MAX_BUFFER: u64 = 1 << 30;

/// How the access log and the gateway's own messages are written.
///
/// Access tokens, login and session tokens, rendezvous ids, delay ids and every query value that is not known to be
/// harmless are replaced by `<redacted>`. No key switches that off.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// The form of a line of the access log.
    ///
    /// `json` has every field; `combined` is the line that nginx and Apache write, for tools that read those, and has
    /// neither cause, upstream nor request id. Default: `json`.
    pub format: Format,
    /// Where the access log goes: `stderr`, `off` or the absolute path of a file.
    ///
    /// Under systemd, `stderr` is the journal. The journal drops what exceeds its rate limit (10000 messages in 30
    /// seconds by default), so a busy server writes to a file. A file is made with mode 0640, appended to, and opened
    /// anew on SIGHUP, so that logrotate needs no `copytruncate`. The gateway's own messages always go to stderr.
    /// Default: `stderr`.
    pub target: String,
    /// How much of a client's address the access log shows.
    ///
    /// `full` is needed to find abuse and by fail2ban; `truncated` keeps the network only (/24 for IPv4, /48 for
    /// IPv6); `none` shows nothing. Synapse gets the full address in every case. Default: `full`.
    pub client_ip: ClientAddresses,
    /// The least severe of the gateway's own messages that is written: `error`, `warn`, `info` or `debug`.
    ///
    /// `debug` adds what is noise on a public server, such as failed TLS handshakes and clients that went away. It has
    /// no effect on the access log. Default: `info`.
    pub level: Level,
    /// Bytes of access log that wait for a slow disk or journal at most, from `64KiB` to `1GiB`.
    ///
    /// When they are full, lines are dropped, never requests delayed. Dropped lines are counted in
    /// `synapse_gateway_access_log_dropped_total`, and reported once a minute. Default: `4MiB`.
    pub buffer: Size,
}

/// Where Prometheus finds the metrics.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// The IP address and port on which `/metrics` is served over plain HTTP, such as `127.0.0.1:9464`.
    ///
    /// The metrics hold no secret and no name of a user, but whoever can reach the address learns how the server is
    /// used: bind it to loopback or to a private network. Default: not set, no metrics are served.
    pub address: Option<String>,
}

/// The form of a line of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// The combined log format of Apache and nginx.
    Combined,
}

/// How much of a client's address is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddresses {
    /// All of it.
    #[default]
    Full,
    /// The /24 or /48 network.
    Truncated,
    /// Nothing.
    None,
}

/// How severe a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will stop working, or works in a way that is probably not meant.
    Warn,
    /// What the gateway did at start, reload and stop.
    #[default]
    Info,
    /// For finding faults.
    Debug,
}

/// The checked `log` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: Format,
    /// Where lines go.
    pub target: LogTarget,
    /// How much of an address lines show.
    pub client_ip: ClientAddresses,
    /// The least severe message that is written.
    pub level: Level,
    /// Bytes that wait for the target at most.
    pub buffer: usize,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error, which is the journal under systemd.
    Stderr,
    /// Nowhere.
    Off,
    /// A file, by its absolute path.
    File(PathBuf),
}

/// The checked `metrics` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where metrics are served, if anywhere.
    pub address: Option<SocketAddr>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            format: Format::Json,
            target: "stderr".to_owned(),
            client_ip: ClientAddresses::Full,
            level: Level::Info,
            buffer: Size(4 << 20),
        }
    }
}

impl LogSection {
    /// Checks what was written under `log`.
    pub fn build(self, problems: &mut Problems) -> Option<Log> {
        let target = match self.target.as_str() {
            "stderr" => Some(LogTarget::Stderr),
            "off" => Some(LogTarget::Off),
            path if path.starts_with('/') && !path.ends_with('/') => Some(LogTarget::File(PathBuf::from(path))),
            other => {
                problems.error(
                    "log.target",
                    format!("`{other}` is not a place for the access log"),
                    "write `stderr` (the journal under systemd), `off`, or the absolute path of a file",
                );
                None
            }
        };
        let buffer = usize::try_from(self.buffer.0).ok().filter(|_| (MIN_BUFFER..=MAX_BUFFER).contains(&self.buffer.0));
        if buffer.is_none() {
            let message = format!("{} is outside of what a log buffer can be", self.buffer);
            problems.error("log.buffer", message, "write a size from 64KiB to 1GiB; 4MiB suits most servers");
        }
        Some(Log {
            format: self.format,
            target: target?,
            client_ip: self.client_ip,
            level: self.level,
            buffer: buffer?,
        })
    }
}

impl MetricsSection {
    /// Checks what was written under `metrics`.
    pub fn build(self, problems: &mut Problems) -> Option<Metrics> {
        let Some(written) = self.address else {
            return Some(Metrics { address: None });
        };
        let Ok(address) = written.parse() else {
            let message = format!("`{written}` is not an IP address with a port");
            problems.error("metrics.address", message, "write an address such as 127.0.0.1:9464 or \"[::1]:9464\"");
            return None;
        };
        Some(Metrics { address: Some(address) })
    }
}
