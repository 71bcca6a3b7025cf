//! The old process's side: gives all that it has to the new one.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{info, warn};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{APPEAR, ENTER, Incoming, LONGEST, New, Old, PREPARE, line_of};
use crate::edge::bind::BoundListener;
use crate::edge::control::Door;
use crate::edge::descriptors;
use crate::edge::service_manager::ServiceManager;
use crate::edge::state::State;
use crate::edge::store::{self, Store, Successor};

/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the new process has not taken over.
#[derive(Debug)]
pub(in crate::edge) enum Failed {
    /// The configuration is wrong, says the new process.
    Wrong(Vec<String>),
    /// Anything else.
    Otherwise(String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::Otherwise("the new process does not go on".to_owned());
        }
        Self::Otherwise(format!("the new process was lost: {error}"))
    }
}

/// Where a new process is expected, if one is.
#[derive(Debug, Default)]
pub(in crate::edge) struct Guest(Mutex<Option<oneshot::Sender<UnixStream>>>);

impl Guest {
    /// Brings in a process that has shown itself; nobody else is expected then.
    pub(in crate::edge) fn enter(&self, stream: UnixStream) -> Result<(), UnixStream> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(expected) => expected.send(stream),
            None => Err(stream),
        }
    }

    fn expect(&self) -> oneshot::Receiver<UnixStream> {
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Nobody is expected any more.
    pub(in crate::edge) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Waits until the process that `start` starts has shown itself. It has none to show for where somebody else starts it.
pub(in crate::edge) async fn send_for(
    guest: &Guest,
    start: impl FnOnce() -> io::Result<Option<Child>>,
) -> Result<(UnixStream, Option<Child>), Failed> {
    let expected = guest.expect();
    let mut child = start().map_err(|error| Failed::Otherwise(format!("it cannot be started: {error}")))?;
    tokio::select! {
        shown = expected => match shown {
            Ok(stream) => Ok((stream, child)),
            Err(_) => Err(Failed::Otherwise("another process was expected meanwhile".to_owned())),
        },
        ended = end_of(&mut child) => {
            Err(Failed::Otherwise(format!("the new process has ended ({ended}) before it took over")))
        }
        () = sleep(APPEAR) => {
            if let Some(child) = &mut child {
                end(child);
            }
            Err(Failed::Otherwise(format!("no new process has shown itself within {APPEAR:?}")))
        }
    }
}

/// Returns when the process has failed. Where it has not, it ends as well, and another one shows itself.
async fn end_of(child: &mut Option<Child>) -> String {
    loop {
        match child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) if status.success() => std::future::pending().await,
            Some(Ok(Some(status))) => return status.to_string(),
            Some(Err(error)) => return error.to_string(),
            Some(Ok(None)) => sleep(LOOK_EVERY).await,
            None => std::future::pending().await,
        }
    }
}

fn end(child: &mut Child) {
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        warn!("the new process cannot be ended: {error}");
    }
}

/// What is given to the new process.
pub(in crate::edge) struct Estate<'a> {
    pub(in crate::edge) state: &'a State,
    pub(in crate::edge) service: &'a ServiceManager,
    pub(in crate::edge) door: &'a Door,
    pub(in crate::edge) sockets: &'a [Arc<BoundListener>],
}

/// A new process that has everything but the sessions.
pub(in crate::edge) struct Ready {
    line: Line,
}

/// Gives the sockets to a new process, and waits until it is ready. Nothing has changed if it fails, or is not waited
/// for.
pub(in crate::edge) async fn give(stream: UnixStream, estate: &Estate<'_>) -> Result<Ready, Failed> {
    let mut line = Line { stream, incoming: Incoming::default() };
    let welcome = Old::Welcome {
        reach: estate.service.reach().clone(),
        kept: estate.service.kept(),
        drained: estate.state.drained(),
        release: estate.state.release().to_string(),
        sockets: estate.sockets.len(),
    };
    line.tell(&welcome).await?;
    for bound in estate.sockets {
        line.tell_with(&Old::Socket { name: bound.name().to_owned() }, bound).await?;
    }
    let told = line.hear(PREPARE).await;
    if told.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        line.put_an_end_to_it().await;
    }
    match told? {
        New::Ready => Ok(Ready { line }),
        New::Failed { problems, wrong: true } => Err(Failed::Wrong(problems)),
        New::Failed { problems, wrong: false } => Err(Failed::Otherwise(problems.join("; "))),
        New::Accepting { .. } => Err(Failed::Otherwise("the new process is of another version".to_owned())),
    }
}

impl Ready {
    /// Lets it accept connections. From then on it speaks for the service; its process id. If it fails, this process has
    /// the sessions again.
    ///
    /// Must be waited for.
    pub(in crate::edge) async fn admit(mut self, estate: &Estate<'_>) -> Result<u32, Failed> {
        let memory = match &estate.state.store {
            Store::Memory(store) => Some(store),
            Store::Redis(_) => None,
        };
        if let Some(store) = memory {
            store.depart();
        }
        let control = timeout(ENTER, self.enter(estate)).await;
        let control = control.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        let control = match control {
            Ok(control) => control,
            Err(failed) => {
                // It may be alive, and think that it serves.
                self.line.put_an_end_to_it().await;
                if let Some(store) = memory {
                    store.come_back();
                }
                return Err(failed);
            }
        };
        // First, or this process could come to ask itself.
        estate.door.leave().await;
        if let Some(store) = memory {
            store.arrive(Successor::new(control.unwrap_or_default()));
        }
        let pid = u32::try_from(self.line.pid().unwrap_or_default()).unwrap_or_default();
        estate.service.succeeded_by(pid);
        if let Err(error) = self.line.tell(&Old::Farewell).await {
            info!("process {pid} has not heard the last word: {error}");
        }
        Ok(pid)
    }

    async fn enter(&mut self, estate: &Estate<'_>) -> Result<Option<PathBuf>, Failed> {
        let mut bytes = Vec::new();
        if let Store::Memory(store) = &estate.state.store {
            let kept = store::pack(&mut bytes, store.live(std::time::SystemTime::now().into()))?;
            if kept.left_out > 0 {
                warn!("{} rendezvous sessions end with this process: they are too large", kept.left_out);
            }
        }
        self.line.tell(&Old::Sessions { bytes: bytes.len() as u64 }).await?;
        self.line.stream.write_all(&bytes).await?;
        // Who waits for this function bounds it.
        match self.line.hear(2 * ENTER).await? {
            New::Accepting { control } => Ok(control),
            New::Ready | New::Failed { .. } => {
                Err(Failed::Otherwise("the new process is of another version".to_owned()))
            }
        }
    }
}

/// A connection over which lines and descriptors go.
struct Line {
    stream: UnixStream,
    incoming: Incoming,
}

impl Line {
    async fn tell(&mut self, message: &Old) -> io::Result<()> {
        timeout(APPEAR, self.stream.write_all(&line_of(message)?)).await?
    }

    /// The descriptor goes with the first byte.
    async fn tell_with(&mut self, message: &Old, bound: &BoundListener) -> io::Result<()> {
        let line = line_of(message)?;
        let sent = self.stream.async_io(Interest::WRITABLE, || descriptors::send(&self.stream, &line, bound.as_fd()));
        let sent = timeout(APPEAR, sent).await??;
        let rest = line.get(sent..).unwrap_or_default();
        timeout(APPEAR, self.stream.write_all(rest)).await?
    }

    async fn hear(&mut self, within: Duration) -> io::Result<New> {
        let read = async {
            loop {
                if let Some(line) = self.incoming.line() {
                    return Ok(serde_json::from_slice(&line)?);
                }
                let read = self.stream.read_buf(&mut self.incoming.bytes).await?;
                if read == 0 || self.incoming.bytes.len() > LONGEST {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
        };
        timeout(within, read).await?
    }

    fn pid(&self) -> Option<i32> {
        self.stream.peer_cred().ok()?.pid()
    }

    /// Returns once the process has ended: then its end of the connection is closed.
    async fn put_an_end_to_it(&mut self) {
        let mut rest = Vec::new();
        // If it has ended, its id may be another's by now.
        let alive = timeout(LOOK_EVERY, self.stream.read_to_end(&mut rest)).await.is_err();
        if alive
            && let Some(pid) = self.pid().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            warn!("process {} cannot be ended: {error}", pid.as_raw_nonzero());
        }
        if timeout(ENTER, self.stream.read_to_end(&mut rest)).await.is_err() {
            warn!("the new process does not end");
        }
    }
}
