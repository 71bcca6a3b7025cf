//! The socket at which an administrator's commands reach the running gateway.
//!
//! It is a file that only the user of the service and root may open, so whoever can connect may give orders.

mod wire;

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use log::{debug, info, warn};
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

pub use self::wire::{Answer, Order, Process, Status};
use super::bind::{BoundListener, BoundSocket};
use super::handover::Guest;
use super::listener::Listeners;
use super::pool::Pool;
use super::runtime;
use super::state::{Running, State};
use super::store;
use crate::inbound::Serve;
use crate::listen::{Address, Control, Listener};
use crate::role::Role;
use crate::upstream_address::UpstreamId;

/// The name of the socket in the runtime directory.
const NAME: &str = "control.sock";
/// Who may read and write: the user of the service alone, and root.
const MODE: u32 = 0o600;
/// How many commands are served at a time.
const MOST: usize = 64;
/// The longest order, in bytes.
const LONGEST: u64 = 4096;
/// How long an order may take to arrive, and an answer to be taken.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait before accepting again after that has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether a process has become idle. Who is being placed there when it is drained has arrived by
/// the first look.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is told that it has not.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A wish for a reload.
#[derive(Debug)]
pub(super) enum ReloadOrder {
    /// From within this process.
    Within,
    /// From somebody who is told what comes of it.
    Asked {
        /// Whether they start a new process where it takes one.
        starts: bool,
        /// How they are told. It is closed when they leave.
        told: mpsc::Sender<Reloaded>,
    },
}

/// What came of a reload.
#[derive(Debug)]
pub(super) enum Reloaded {
    /// It is in use; with warnings.
    Applied(Vec<String>),
    /// It takes a new process, for this reason, which whoever asked is to start; more will be told.
    Start(String),
    /// A new process has taken over, for this reason.
    HandedOver(u32, String),
    /// The configuration is wrong.
    Wrong(Vec<String>),
    /// It is right, and could not be put in use.
    Failed(String),
}

impl From<Reloaded> for Answer {
    fn from(outcome: Reloaded) -> Self {
        match outcome {
            Reloaded::Applied(warnings) => Self::Reloaded { warnings },
            Reloaded::Start(why) => Self::Start { why },
            Reloaded::HandedOver(pid, why) => Self::HandedOver { pid, why },
            Reloaded::Wrong(problems) => Self::Wrong { problems },
            Reloaded::Failed(message) => {
                Self::Failed { message: format!("{message}; the old configuration stays in use") }
            }
        }
    }
}

/// Where commands look for the gateway, whose configuration names `configured`; None if there is no place to look at.
#[must_use]
pub fn socket(configured: Option<&Path>) -> Option<PathBuf> {
    configured.map(Path::to_owned).or_else(|| Some(runtime::customary()?.join(NAME)))
}

/// The socket that was configured, else one in the service's own directory; None if there is neither.
pub(super) fn listener(control: &Control) -> Option<Listener> {
    let given = || Some(runtime::given()?.join(NAME));
    let Some(path) = control.socket.clone().or_else(given) else {
        info!("no command reaches this gateway: there is neither a runtime directory nor `control.socket`");
        return None;
    };
    Some(Listener { mode: MODE, ..Listener::plain(Address::Unix(path), Serve::NONE) })
}

/// What orders are carried out on.
pub(super) struct Controls {
    pub(super) state: Arc<State>,
    pub(super) listeners: Arc<Listeners>,
    pub(super) reload: mpsc::Sender<ReloadOrder>,
    pub(super) guest: Arc<Guest>,
    pub(super) started: Instant,
}

/// Serves the socket.
pub(super) struct ControlService {
    bound: Arc<BoundListener>,
    controls: Arc<Controls>,
    door: Arc<Door>,
}

/// Whether commands come in.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// Whether it is another process that they are for.
    left: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Door {
    /// Leaves the socket to another process. No command comes in any more when this returns; those that are in stay.
    pub(super) async fn leave(&self) {
        self.left.send_replace(true);
        // Fails only if the sender is gone, which is a field of `self`.
        let _ = self.open.subscribe().wait_for(|open| !*open).await;
    }
}

impl ControlService {
    /// Serves a bound socket.
    pub(super) fn new(bound: Arc<BoundListener>, controls: Controls, door: Arc<Door>) -> Self {
        Self { bound, controls: Arc::new(controls), door }
    }

    async fn accept(&self, listener: &UnixListener) {
        let places = Arc::new(Semaphore::new(MOST));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!("a command could not connect: {error}");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                let controls = Arc::clone(&self.controls);
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = serve(&controls, stream).await {
                        // Whoever asked has left.
                        debug!("a command was not answered: {error}");
                    }
                });
            } else {
                turn_away(&stream);
            }
        }
    }
}

#[async_trait]
impl BackgroundService for ControlService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let BoundSocket::Unix(listener, _) = &self.bound.socket else { return };
        let listener = match listen(listener) {
            Ok(listener) => listener,
            Err(error) => {
                warn!("commands cannot reach this gateway: {error}");
                return;
            }
        };
        let mut left = self.door.left.subscribe();
        self.door.open.send_replace(true);
        tokio::select! {
            () = self.accept(&listener) => {}
            _ = left.wait_for(|left| *left) => {}
            _ = shutdown.changed() => {}
        }
        self.door.open.send_replace(false);
    }
}

fn listen(listener: &StdListener) -> io::Result<UnixListener> {
    UnixListener::from_std(listener.try_clone()?)
}

/// Says that there are too many, which fits into any socket's buffer.
fn turn_away(stream: &UnixStream) {
    let answer = Answer::Failed { message: format!("{MOST} commands wait for an answer already") };
    if let Ok(line) = line(&answer)
        && let Err(error) = stream.try_write(&line)
    {
        debug!("a command was not turned away: {error}");
    }
}

fn line(answer: &Answer) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    Ok(line)
}

/// Whoever asks, as long as they listen.
struct Asker {
    stream: OwnedWriteHalf,
}

impl Asker {
    async fn tell(&mut self, answer: &Answer) -> io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(&line(answer)?)).await?
    }
}

async fn serve(controls: &Controls, stream: UnixStream) -> io::Result<()> {
    let (mut reader, stream) = stream.into_split();
    let mut asker = Asker { stream };
    let (order, more) = order(&mut reader).await?;
    let answer = match order {
        Ok(Order::Status) => Answer::Status(controls.status()),
        Ok(Order::Reload { starts }) => return controls.reload(starts, &mut asker, reader).await,
        Ok(Order::Drain { process, force, within_ms }) => match controls.drain(&process, force) {
            Ok(()) => controls.idle(&process, Duration::from_millis(within_ms), &mut asker).await?,
            Err(message) => Answer::Failed { message },
        },
        Ok(Order::Undrain { process }) => match controls.undrain(&process) {
            Ok(()) => Answer::Undrained,
            Err(message) => Answer::Failed { message },
        },
        Ok(Order::TakeOver) => {
            let stream = reader.reunite(asker.stream).map_err(io::Error::other)?;
            let Err(stream) = controls.guest.enter(stream) else { return Ok(()) };
            asker = Asker { stream: stream.into_split().1 };
            Answer::Failed { message: "no process is to take over".to_owned() }
        }
        Ok(Order::Session) => {
            let stream = reader.reunite(asker.stream).map_err(io::Error::other)?;
            return store::answer(&controls.state.store, &more, stream).await;
        }
        Err(message) => Answer::Failed { message },
    };
    asker.tell(&answer).await
}

/// Reads one line, and perhaps more; the inner error is what is wrong with it.
async fn order(reader: &mut OwnedReadHalf) -> io::Result<(Result<Order, String>, Vec<u8>)> {
    let mut line = Vec::new();
    let read = async {
        let mut reader = reader.take(LONGEST);
        loop {
            let from = line.len();
            let ended = reader.read_buf(&mut line).await? == 0;
            let end = line.iter().skip(from).position(|byte| *byte == b'\n');
            if ended || end.is_some() {
                return io::Result::Ok(end.map(|end| line.split_off(from + end + 1)));
            }
        }
    };
    let Some(more) = timeout(DEADLINE, read).await?? else {
        return Ok((Err(format!("an order is one line of at most {LONGEST} bytes")), Vec::new()));
    };
    Ok((serde_json::from_slice(&line).map_err(|error| format!("that is no order: {error}")), more))
}

impl Controls {
    fn status(&self) -> Status {
        let running = self.state.running();
        let upstreams = running.gateway.upstreams.as_slice().iter();
        let processes = upstreams.zip(running.pools.iter()).enumerate().map(|(place, (upstream, pool))| {
            let usage = pool.usage();
            let unknown = running.recognition.unknown_to(UpstreamId(place));
            Process {
                name: usage.name,
                address: upstream.address.to_string(),
                up: usage.up,
                drained: usage.drained,
                roles: upstream.roles.iter().map(Role::to_string).collect(),
                requests: usage.requests,
                long_polls: usage.long_polls,
                waiting: usage.waiting,
                unknown_endpoints: unknown.into_iter().map(str::to_owned).collect(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            connections: self.listeners.connections(),
            synapse: running.gateway.synapse(self.state.release()).release.to_string(),
            processes: processes.collect(),
        }
    }

    /// Has the configuration read again, and tells what comes of it.
    async fn reload(&self, starts: bool, asker: &mut Asker, mut reader: OwnedReadHalf) -> io::Result<()> {
        let (told, mut outcomes) = mpsc::channel(1);
        let stopping = || Answer::Failed { message: "the gateway is stopping".to_owned() };
        if self.reload.send(ReloadOrder::Asked { starts, told }).await.is_err() {
            return asker.tell(&stopping()).await;
        }
        loop {
            let outcome = tokio::select! {
                outcome = outcomes.recv() => outcome,
                // They say nothing more, so they have left, and the process that they were to start is not to be waited for.
                _ = reader.read_u8(), if starts => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let is_last = !matches!(outcome, Some(Reloaded::Start(_)));
            // Before the channel is closed, which tells that they know.
            asker.tell(&outcome.map_or_else(stopping, Answer::from)).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn drain(&self, process: &str, force: bool) -> Result<(), String> {
        let running = self.state.running();
        let id = find(&running, process)?;
        let roles = roles_left_alone(&running, id);
        if !roles.is_empty() && !force {
            let roles = roles.join(", ");
            return Err(format!(
                "nobody else could answer for {roles}; with --force such requests wait until it is undrained"
            ));
        }
        self.state.drain(process, true);
        info!("upstream {process}: it gets no new requests");
        Ok(())
    }

    fn undrain(&self, process: &str) -> Result<(), String> {
        find(&self.state.running(), process)?;
        self.state.drain(process, false);
        info!("upstream {process}: it gets requests again");
        Ok(())
    }

    /// Waits until a process has no request left, or gets requests again, or for too long.
    async fn idle(&self, process: &str, within: Duration, asker: &mut Asker) -> io::Result<Answer> {
        let started = Instant::now();
        let mut told = None::<Instant>;
        loop {
            sleep(LOOK_EVERY).await;
            if !self.state.is_drained(process) {
                return Ok(Answer::Failed { message: format!("{process} is not drained any more") });
            }
            let (requests, long_polls) = self.state.in_flight(process);
            if requests == 0 && long_polls == 0 {
                return Ok(Answer::Drained);
            }
            if started.elapsed() >= within {
                return Ok(Answer::Busy { requests, long_polls });
            }
            if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                asker.tell(&Answer::Draining { requests, long_polls }).await?;
                told = Some(Instant::now());
            }
        }
    }
}

/// A process of Synapse by its name.
fn find(running: &Running, process: &str) -> Result<UpstreamId, String> {
    let upstreams = running.gateway.upstreams.as_slice();
    let of_synapse = |upstream: &crate::upstream::Upstream| !upstream.roles.is_empty();
    let found = upstreams.iter().position(|upstream| upstream.name == process && of_synapse(upstream));
    found.map(UpstreamId).ok_or_else(|| {
        let names = upstreams.iter().filter(|upstream| of_synapse(upstream)).map(|upstream| upstream.name.as_str());
        format!("there is no process of that name; there are {}", names.collect::<Vec<_>>().join(", "))
    })
}

/// The roles for whose requests this process is the only one that could answer now.
fn roles_left_alone(running: &Running, id: UpstreamId) -> Vec<&'static str> {
    let available = |other| running.pools.get(other).is_some_and(Pool::is_available);
    let upstreams = &running.gateway.upstreams;
    let with_it = upstreams.unserved(|other| other == id || available(other));
    let without_it = upstreams.unserved(|other| other != id && available(other));
    without_it.into_iter().filter(|role| !with_it.contains(role)).map(Role::as_str).collect()
}
