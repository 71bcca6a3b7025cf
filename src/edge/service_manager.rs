//! What the service manager is told (`sd_notify(3)`), and the sockets that it keeps for the next process.
//!
//! Everything is a datagram to a socket that the service manager names. A process that has no service manager tells
//! nobody anything.

mod status;
mod watchdog;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{debug, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

pub(super) use self::status::StatusLine;
pub(super) use self::watchdog::Watchdog;
use super::bind::BoundListener;
use super::descriptors;

/// How long a message may take; the service manager reads them as they come.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take until all messages so far have been read.
const BARRIER: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// How to reach the service manager. A process that was not started as the main one of its service is told by the one
/// that was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Reach {
    /// `NOTIFY_SOCKET`.
    socket: Option<OsString>,
    /// Within which time it wants signs of life.
    watchdog: Option<Duration>,
}

impl Reach {
    /// What the environment says.
    pub(super) fn given() -> Self {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0).map(Duration::from_micros);
        Self { socket: env::var_os("NOTIFY_SOCKET"), watchdog }
    }
}

/// The service manager of this process, if it has one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    reach: Reach,
    line: Option<(OwnedFd, SocketAddrUnix)>,
    /// Whether this is still the process that speaks for the service.
    speaks: AtomicBool,
    /// The names of the sockets that it was given to keep.
    kept: Mutex<BTreeSet<String>>,
}

impl ServiceManager {
    /// Nothing is said yet.
    pub(super) fn new(reach: Reach) -> Self {
        let service = Self::silent(reach, Vec::new());
        service.speak();
        service
    }

    /// For a process that another one speaks for until [`Self::speak`]. `kept` are the sockets that are kept already.
    pub(super) fn silent(reach: Reach, kept: Vec<String>) -> Self {
        let line = reach.socket.as_ref().and_then(|socket| match open(socket) {
            Ok(line) => Some(line),
            Err(error) => {
                warn!("the service manager cannot be reached at {}: {error}", socket.display());
                None
            }
        });
        Self { reach, line, speaks: AtomicBool::new(false), kept: Mutex::new(kept.into_iter().collect()) }
    }

    /// For the process that will speak for the service after this one.
    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The names of the sockets that it keeps.
    pub(super) fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// This process speaks for the service from now on.
    pub(super) fn speak(&self) {
        self.speaks.store(true, Ordering::Release);
    }

    fn speaks(&self) -> bool {
        self.speaks.load(Ordering::Acquire)
    }

    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.line.is_some()
    }

    /// Every listener accepts.
    pub(super) fn ready(&self) {
        self.tell("READY=1", None);
    }

    /// Another configuration is being read; [`Self::ready`] follows, however that ends.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"), None);
    }

    /// The last requests are being answered.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1", None);
    }

    /// What `systemctl status` shows.
    pub(super) fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"), None);
    }

    fn alive(&self) {
        self.tell("WATCHDOG=1", None);
    }

    /// Another process speaks for the service from now on, and this one no more.
    pub(super) fn succeeded_by(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"), None);
        // So that what the other one says is not read before this.
        self.wait();
        self.speaks.store(false, Ordering::Release);
    }

    /// Has it keep these listening sockets, and none besides.
    pub(super) fn keep(&self, sockets: &[Arc<BoundListener>]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: BTreeSet<String> = sockets.iter().filter_map(|bound| bound.kept_as()).collect();
        for name in kept.difference(&wanted) {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
        for bound in sockets {
            if let Some(name) = bound.kept_as().filter(|name| !kept.contains(name)) {
                self.tell(&format!("FDSTORE=1\nFDNAME={name}"), Some(bound.as_fd()));
            }
        }
        *kept = wanted;
    }

    /// Has it close sockets that it has kept, and waits until it has: their addresses may be needed.
    pub(super) fn discard(&self, names: &[String]) {
        for name in names {
            self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
        if !names.is_empty() {
            self.wait();
        }
    }

    fn tell(&self, message: &str, descriptor: Option<BorrowedFd<'_>>) {
        if self.speaks()
            && let Some((socket, address)) = &self.line
            && let Err(error) = descriptors::send_to(socket, address, message.as_bytes(), descriptor)
        {
            warn!("the service manager does not hear `{}`: {error}", message.lines().next().unwrap_or_default());
        }
    }

    /// Waits until it has read all that it was told.
    fn wait(&self) {
        let Some((socket, address)) = &self.line else { return };
        let waited = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from).and_then(|(mine, theirs)| {
            descriptors::send_to(socket, address, b"BARRIER=1", Some(theirs.as_fd()))?;
            // It closes its end once it has come so far.
            drop(theirs);
            let mut closed = [PollFd::new(&mine, PollFlags::empty())];
            Ok(poll(&mut closed, Some(&BARRIER))?)
        });
        match waited {
            Ok(0) => debug!("the service manager has not said that it has read everything"),
            Ok(_) => {}
            Err(error) => debug!("the service manager cannot be waited for: {error}"),
        }
    }
}

fn open(name: &OsString) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddrUnix::new_abstract_name(abstract_name)?,
        path => SocketAddrUnix::new(path)?,
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    Ok((socket, address))
}
