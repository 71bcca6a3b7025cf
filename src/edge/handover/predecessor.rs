//! The new process's side: takes from the old one what it has.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use log::warn;

use super::{APPEAR, ENTER, Incoming, LONGEST, New, ORDER, Old, line_of};
use crate::edge::descriptors;
use crate::edge::inherited::Inherited;
use crate::edge::service_manager::Reach;
use crate::edge::store;

/// How much is read at a time.
const PIECE: usize = 16 << 10;

/// The process whose place this one is to take.
pub struct Predecessor {
    line: Line,
    /// Its process id.
    pub(in crate::edge) pid: Option<u32>,
    /// How it reaches the service manager.
    pub(in crate::edge) reach: Reach,
    /// The names of the sockets that the service manager keeps for it.
    pub(in crate::edge) kept: Vec<String>,
    /// The processes of Synapse that it gives no new requests.
    pub(in crate::edge) drained: Vec<String>,
    /// The release of Synapse that it has found out.
    pub(in crate::edge) release: String,
    /// Its listening sockets.
    pub(in crate::edge) sockets: Inherited,
}

/// What is left to be said once this process accepts.
pub struct Arrival {
    line: Line,
}

/// A connection over which lines, bytes and descriptors come.
struct Line {
    stream: UnixStream,
    incoming: Incoming,
}

impl Predecessor {
    /// Asks the process with this control socket for its listening sockets.
    pub fn meet(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("{} cannot be reached", socket.display()))?;
        stream.set_write_timeout(Some(APPEAR))?;
        let pid = rustix::net::sockopt::socket_peercred(&stream).ok();
        let pid = pid.and_then(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()).ok());
        let mut line = Line { stream, incoming: Incoming::default() };
        line.stream.write_all(ORDER)?;
        let welcome = line.hear(APPEAR).context("the gateway that runs does not hand over")?;
        let Old::Welcome { reach, kept, drained, release, sockets: count } = welcome else {
            bail!("the gateway that runs does not hand over: it says {welcome:?}");
        };
        let mut sockets = Inherited::default();
        for _ in 0..count {
            let Old::Socket { name } = line.hear(APPEAR)? else { bail!("a listening socket is missing") };
            // Each comes with the first byte of its line.
            if line.incoming.descriptors.is_empty() {
                bail!("a listening socket is missing");
            }
            sockets.add(name, line.incoming.descriptors.remove(0))?;
        }
        Ok(Self { line, pid, reach, kept, drained, release, sockets })
    }

    /// Says that it comes to nothing, and why.
    pub fn give_up(mut self, problems: Vec<String>, wrong: bool) {
        if let Err(error) = self.line.tell(&New::Failed { problems, wrong }) {
            warn!("the gateway that runs has not heard why: {error}");
        }
    }

    /// Says that everything is bound and read, and gets the rendezvous sessions, in the format of the shelf.
    pub(in crate::edge) fn sessions(mut self) -> anyhow::Result<(Vec<u8>, Arrival)> {
        self.line.tell(&New::Ready)?;
        let Old::Sessions { bytes } = self.line.hear(ENTER)? else { bail!("the rendezvous sessions are missing") };
        if bytes > store::MOST {
            bail!("the rendezvous sessions are too large");
        }
        let sessions = self.line.bytes(bytes)?;
        Ok((sessions, Arrival { line: self.line }))
    }
}

impl Arrival {
    /// Says that every listener accepts, and waits until the service manager knows.
    pub(in crate::edge) fn accepting(mut self, control: Option<PathBuf>) -> anyhow::Result<()> {
        self.line.tell(&New::Accepting { control })?;
        let said = self.line.hear(ENTER)?;
        if !matches!(said, Old::Farewell) {
            bail!("it says {said:?}");
        }
        Ok(())
    }
}

impl Line {
    fn tell(&mut self, message: &New) -> io::Result<()> {
        self.stream.write_all(&line_of(message)?)
    }

    fn hear(&mut self, within: Duration) -> anyhow::Result<Old> {
        self.stream.set_read_timeout(Some(within))?;
        let mut piece = vec![0; PIECE];
        loop {
            if let Some(line) = self.incoming.line() {
                let text = || String::from_utf8_lossy(&line).trim().to_owned();
                return serde_json::from_slice(&line).with_context(text);
            }
            let length = descriptors::receive(&self.stream, &mut piece, &mut self.incoming.descriptors)?;
            if length == 0 || self.incoming.bytes.len() > LONGEST {
                bail!("it has ended the connection");
            }
            self.incoming.bytes.extend(piece.iter().take(length));
        }
    }

    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.incoming.bytes);
        let missing = count.saturating_sub(bytes.len() as u64);
        if ((&self.stream).take(missing).read_to_end(&mut bytes)? as u64) < missing {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }
}
