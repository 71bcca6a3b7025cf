//! A service manager: hears what it is told (`sd_notify(3)`), and keeps sockets for the next process.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use super::DEADLINE;

/// A service manager until it is dropped.
pub(crate) struct Manager {
    directory: TempDir,
    name: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    messages: Vec<String>,
    store: Vec<(String, OwnedFd)>,
}

impl Manager {
    /// Its socket is a file.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::hearing(socket, path.to_str().unwrap().to_owned(), directory)
    }

    /// Its socket has an abstract name, as in the containers of some.
    pub(crate) fn in_the_abstract() -> Self {
        let directory = TempDir::new().unwrap();
        let name = directory.path().join("notify").to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::hearing(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"), directory)
    }

    fn hearing(socket: UnixDatagram, name: String, directory: TempDir) -> Self {
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let hearing = Arc::clone(&state);
        thread::spawn(move || {
            loop {
                let (message, descriptors) = receive(&socket);
                if message == "end of test" {
                    return;
                }
                // That its descriptor is closed tells the sender that all before has been read.
                if message == "BARRIER=1" {
                    continue;
                }
                let (state, changed) = &*hearing;
                let mut state = state.lock().unwrap();
                state.take(&message, descriptors);
                state.messages.push(message);
                changed.notify_all();
            }
        });
        Self { directory, name, state }
    }

    /// What it puts into the environment of a process.
    pub(crate) fn environment(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", &self.name);
    }

    /// As [`Manager::environment`], and passes the sockets that it keeps, two at most.
    pub(crate) fn pass(&self, command: &mut Command) {
        let state = self.state.0.lock().unwrap();
        let sockets = state.store.iter().map(|(name, socket)| (name.clone(), socket.try_clone().unwrap()));
        pass(command, sockets.collect());
        self.environment(command);
    }

    /// The messages so far.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.state.0.lock().unwrap().messages.clone()
    }

    /// Waits until something is to be found in the messages.
    #[track_caller]
    pub(crate) fn wait<T>(&self, look: impl Fn(&[String]) -> Option<T>) -> T {
        let (state, changed) = &*self.state;
        let deadline = Instant::now() + DEADLINE;
        let mut state = state.lock().unwrap();
        loop {
            if let Some(found) = look(&state.messages) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not to be found in {:#?}", state.messages);
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until so many messages begin like this.
    #[track_caller]
    pub(crate) fn heard(&self, start: &str, times: usize) {
        self.wait(|messages| (count(messages, start) >= times).then_some(()));
    }

    /// Whether a message that begins like this comes within a time.
    pub(crate) fn hears_another(&self, start: &str, within: Duration) -> bool {
        let (state, changed) = &*self.state;
        let state = state.lock().unwrap();
        let before = count(&state.messages, start);
        !changed
            .wait_timeout_while(state, within, |state| count(&state.messages, start) == before)
            .unwrap()
            .1
            .timed_out()
    }

    /// The names of the sockets that it keeps.
    pub(crate) fn kept(&self) -> Vec<String> {
        let mut names: Vec<_> = self.state.0.lock().unwrap().store.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// Puts a socket among those that it keeps.
    pub(crate) fn keep(&self, name: &str, socket: impl Into<OwnedFd>) {
        self.state.0.lock().unwrap().store.push((name.to_owned(), socket.into()));
    }
}

impl State {
    fn take(&mut self, message: &str, descriptors: Vec<OwnedFd>) {
        let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let name = field("FDNAME").unwrap_or("stored").to_owned();
        if field("FDSTOREREMOVE") == Some("1") {
            self.store.retain(|(kept, _)| *kept != name);
        }
        if field("FDSTORE") == Some("1") {
            assert_eq!(descriptors.len(), 1, "{message}");
            // It recognises one that it has already.
            self.store.retain(|(kept, _)| *kept != name);
            self.store.extend(descriptors.into_iter().map(|descriptor| (name.clone(), descriptor)));
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let socket = UnixDatagram::unbound().unwrap();
        let _ = match self.name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)
                .and_then(|address| socket.connect_addr(&address))
                .and_then(|()| socket.send(b"end of test")),
            None => socket.send_to(b"end of test", self.directory.path().join("notify")),
        };
    }
}

fn count(messages: &[String], start: &str) -> usize {
    messages.iter().filter(|message| message.starts_with(start)).count()
}

fn receive(socket: &UnixDatagram) -> (String, Vec<OwnedFd>) {
    let mut buffer = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    (String::from_utf8(buffer[..received.bytes].to_vec()).unwrap(), descriptors)
}

/// Has a command find sockets as `sd_listen_fds(3)` says. A shell puts them where they belong: here, that would be `unsafe`.
pub(crate) fn pass(command: &mut Command, sockets: Vec<(String, OwnedFd)>) {
    let names: Vec<String> = sockets.iter().map(|(name, _)| name.clone()).collect();
    let count = sockets.len();
    let mut sockets = sockets.into_iter().map(|(_, socket)| Stdio::from(socket));
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(sockets.next().unwrap_or_else(Stdio::null)).stdout(sockets.next().unwrap_or_else(Stdio::null));
    assert!(sockets.next().is_none(), "there is room for two");
    shell.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", names.join(":"));
    *command = shell;
}
