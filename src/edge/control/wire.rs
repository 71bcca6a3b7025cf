//! What commands and the running gateway say to each other: one JSON object on a line.

use serde::{Deserialize, Serialize};

/// What is wanted of the gateway. One for each connection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// How things are.
    Status,
    /// Read the configuration again, in a new process where it takes one.
    Reload {
        /// Whether whoever asks starts that process, and does not leave it to the gateway.
        #[serde(default)]
        starts: bool,
    },
    /// A new process shows itself: what follows is between it and the gateway.
    TakeOver,
    /// A process whose place this one has taken wants something of a rendezvous session, which follows.
    Session,
    /// Give a process no new requests, and say when it has none left.
    Drain {
        /// Its name.
        process: String,
        /// Whether to do so even if some requests then have nobody.
        force: bool,
        /// How long to wait until it has none left, in milliseconds.
        within_ms: u64,
    },
    /// Give a process requests again.
    Undrain {
        /// Its name.
        process: String,
    },
}

/// What the gateway answers: any number of [`Answer::Draining`] or [`Answer::Start`], and one of the others at the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// How things are.
    Status(Status),
    /// The configuration was read and is in use.
    Reloaded {
        /// What is probably not meant.
        warnings: Vec<String>,
    },
    /// It takes a new process, and whoever asks is to start it.
    Start {
        /// Why.
        why: String,
    },
    /// A new process has taken over.
    HandedOver {
        /// Its process id.
        pid: u32,
        /// Why it took one.
        why: String,
    },
    /// The configuration is wrong, and the old one stays in use.
    Wrong {
        /// All that is wrong.
        problems: Vec<String>,
    },
    /// The process gets no new requests, and still has these.
    Draining {
        /// Long polls apart.
        requests: u32,
        /// Requests that wait for news.
        long_polls: u32,
    },
    /// The process has no request left.
    Drained,
    /// The time is over. The process gets no new requests, and still has these.
    Busy {
        /// Long polls apart.
        requests: u32,
        /// Requests that wait for news.
        long_polls: u32,
    },
    /// The process gets requests again.
    Undrained,
    /// It cannot be done, or failed.
    Failed {
        /// Why.
        message: String,
    },
}

/// How things are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Status {
    /// The gateway's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How long it has run, in seconds.
    pub uptime: u64,
    /// Connections of clients.
    pub connections: usize,
    /// The release of Synapse that is counted on.
    pub synapse: String,
    /// The processes of Synapse, and the upstreams of other routes.
    pub processes: Vec<Process>,
}

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Process {
    /// As in the configuration.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Whether it answers.
    pub up: bool,
    /// Whether it gets no new requests.
    pub drained: bool,
    /// What it does; nothing for what is not Synapse.
    pub roles: Vec<String>,
    /// Requests that it works on, long polls apart.
    pub requests: u32,
    /// Long polls that it has.
    pub long_polls: u32,
    /// Requests that wait for a place there.
    pub waiting: u32,
    /// Endpoints that it has turned out not to know, which the main process serves in its place.
    pub unknown_endpoints: Vec<String>,
}
