//! Another process takes this one's place, and no connection notices.
//!
//! The new process connects to the control socket of the old one and gets its listening sockets, all of them. It binds
//! what is missing, reads configuration and certificates, and says that it is ready. Up to here the old process serves
//! as ever. Then the rendezvous sessions in memory follow: whoever asks for one now waits. Once the new process accepts
//! connections it says so, and only then the old one stops to accept, and finishes what it has.
//!
//! If anything goes wrong before that, the new process ends and the old one goes on. One of them has the sessions at
//! any time: the old one takes them up again only after the new one's end of the connection has closed, if need be because
//! it was killed.

mod predecessor;
mod program;
mod successor;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::predecessor::{Arrival, Predecessor};
pub(super) use self::program::Program;
pub use self::program::{await_adoption, start, start_orphan};
pub(super) use self::successor::{Estate, Failed, Guest, Ready, give, send_for};
use super::service_manager::Reach;

/// The order by which a new process shows itself, on a line as all orders are.
const ORDER: &[u8] = b"{\"order\":\"take_over\"}\n";
/// The longest line.
const LONGEST: usize = 1 << 20;
/// How long a new process may take to show itself.
const APPEAR: Duration = Duration::from_secs(10);
/// How long it may take to get ready: names are resolved, files read.
const PREPARE: Duration = Duration::from_secs(30);
/// How long it may take from then until it accepts. Meanwhile rendezvous requests wait.
const ENTER: Duration = Duration::from_secs(15);

/// What the old process says, in this order.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "old", rename_all = "snake_case")]
enum Old {
    /// What the new process cannot find out by itself.
    Welcome {
        /// How to reach the service manager.
        reach: Reach,
        /// The names of the sockets that it keeps.
        kept: Vec<String>,
        /// The processes of Synapse that get no new requests.
        drained: Vec<String>,
        /// The release of Synapse.
        release: String,
        /// How many sockets follow.
        sockets: usize,
    },
    /// A listening socket, which comes with this line.
    Socket {
        /// Its name.
        name: String,
    },
    /// So many bytes of rendezvous sessions follow.
    Sessions {
        /// How many.
        bytes: u64,
    },
    /// The service manager knows the new process.
    Farewell,
}

/// What the new process says, in this order.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "new", rename_all = "snake_case")]
enum New {
    /// Everything is bound and read.
    Ready,
    /// It gives up.
    Failed {
        /// Why.
        problems: Vec<String>,
        /// Whether the configuration is to blame.
        wrong: bool,
    },
    /// Every listener accepts.
    Accepting {
        /// Where its control socket is.
        control: Option<PathBuf>,
    },
}

/// Bytes and descriptors that have come and not been read.
#[derive(Debug, Default)]
struct Incoming {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Incoming {
    /// Takes a line, if a whole one is there.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let rest = self.bytes.split_off(end + 1);
        Some(std::mem::replace(&mut self.bytes, rest))
    }
}

fn line_of(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
