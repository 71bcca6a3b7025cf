//! `upstreams` as the operator writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::health::HealthPolicy;
use super::{MAIN, Queue, Upstream, Upstreams};
use crate::problem::Problems;
use crate::quantity::Span;
use crate::role::{Resource, Role, Stream};
use crate::upstream_address::UpstreamAddress;

/// The processes of Synapse by their names: `main`, which is the main process, and the workers. The names stand in the
/// access log, in the metrics and in `explain`; those of Synapse's own configuration (`worker_name`) suit best. A name
/// decides which share of the users, rooms and servers is the worker's: renaming one moves them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct UpstreamsSection(pub BTreeMap<String, UpstreamSection>);

/// One process.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSection {
    /// Where the process listens: `host:port`, or `unix:/path` for a Unix socket. A host name is resolved again every
    /// 30 s. The listener of Synapse needs `x_forwarded: true` (the default on Unix sockets) and should be reachable
    /// from this host only. `main` is at `127.0.0.1:8008` unless it is listed here.
    pub address: String,
    /// What a worker does, as in Synapse's manual on workers: any number of these, for which the gateway knows the
    /// endpoints. Without roles and streams it is `generic`, which serves whatever a worker can serve. Several workers
    /// with one role share its requests; while all of them are gone, others answer where that is right, and in the end
    /// `main`. `sso` is for one worker alone.
    pub roles: Vec<Role>,
    /// The streams that the worker writes, as under `stream_writers` in Synapse's configuration. What is listed there
    /// must be listed here too, and nothing else: only their writer serves them.
    pub streams: Vec<Stream>,
    /// What the process's listener has, as under `resources` in Synapse's configuration. A worker for media, and `main`
    /// with `enable_media_repo: true`, have `media`, even where it is not listed there.
    pub resources: Vec<Resource>,
    /// How many requests the process is given at a time, long polls apart; others wait in line (see `queue`). 0 means
    /// the default: 250 for `main`, 50 for a worker whose role is `initial_sync` alone, 500 for others.
    pub max_concurrent: u32,
    /// How many long polls the process is given at a time. They cost it little while they wait, and have a line of their
    /// own.
    pub max_long_polls: u32,
}

impl Default for UpstreamSection {
    fn default() -> Self {
        Self {
            address: String::new(),
            roles: Vec::new(),
            streams: Vec::new(),
            resources: vec![Resource::Client, Resource::Federation, Resource::Media],
            max_concurrent: 0,
            max_long_polls: 2000,
        }
    }
}

/// How it is found out whether the processes of Synapse are there. A process is taken out of service when a connection
/// to it is refused or probes fail, never because it is slow, and never if nobody else could answer in its place.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthSection {
    /// How often each process is asked for `/health`.
    pub interval: Span,
    /// How many answers in a row bring a process back.
    pub rise: u32,
    /// How many failures in a row take a process out.
    pub fall: u32,
}

impl Default for HealthSection {
    fn default() -> Self {
        Self { interval: Span(Duration::from_secs(2)), rise: 1, fall: 3 }
    }
}

/// What becomes of requests for a process that has as many as it is given at a time. Who gets no place is answered with
/// 429 and told when to come back.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSection {
    /// How long a request waits for a place.
    pub timeout: Span,
    /// How long a long poll waits for a place: its client asks again anyway.
    pub sync_timeout: Span,
    /// How many requests wait for each process.
    pub max_waiting: u32,
}

impl Default for QueueSection {
    fn default() -> Self {
        Self { timeout: Span(Duration::from_mins(1)), sync_timeout: Span(Duration::from_secs(5)), max_waiting: 2000 }
    }
}

/// Names stand in logs, metrics and commands.
const LONGEST_NAME: usize = 64;

impl UpstreamsSection {
    /// Checks every process, and that they fit together.
    pub fn build(self, problems: &mut Problems) -> Option<Upstreams> {
        let mut sections = self.0;
        let main = sections
            .remove(MAIN)
            .unwrap_or_else(|| UpstreamSection { address: "127.0.0.1:8008".to_owned(), ..UpstreamSection::default() });
        let main = main.build_main(problems);
        let workers: Vec<_> = sections.into_iter().map(|(name, section)| section.build(name, problems)).collect();
        let workers = workers.into_iter().collect::<Option<Vec<_>>>()?;
        let mut all = vec![main?];
        for worker in workers {
            if !is_one_more(&all, &worker, problems) {
                return None;
            }
            all.push(worker);
        }
        Some(Upstreams::new(all))
    }
}

/// Whether a worker stands beside the others without taking anything of theirs.
fn is_one_more(others: &[Upstream], worker: &Upstream, problems: &mut Problems) -> bool {
    let path = format!("upstreams.{}", worker.name);
    if let Some(other) = others.iter().find(|other| other.address == worker.address) {
        let message = format!("it listens at {}, as `{}` does", worker.address, other.name);
        problems.error(format!("{path}.address"), message, "give each process the address of its own listener");
        return false;
    }
    for role in worker.roles.iter().filter(|role| role.is_single()) {
        if let Some(other) = others.iter().find(|other| other.roles.contains(role)) {
            let message = format!("`{}` has {role} already, which is for one process alone", other.name);
            problems.error(path, message, "list it for one of the two, as Synapse's configuration does");
            return false;
        }
    }
    true
}

impl UpstreamSection {
    fn build_main(self, problems: &mut Problems) -> Option<Upstream> {
        if !self.roles.is_empty() || !self.streams.is_empty() {
            let message = "the main process serves what no worker is listed for";
            problems.error("upstreams.main", message, "remove `roles` and `streams`, or rename the worker");
            return None;
        }
        let max_concurrent = if self.max_concurrent == 0 { 250 } else { self.max_concurrent };
        self.build_as(MAIN.to_owned(), vec![Role::Main], max_concurrent, problems)
    }

    fn build(self, name: String, problems: &mut Problems) -> Option<Upstream> {
        let path = format!("upstreams.{name}");
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_known) {
            let message = format!("`{}` is not a name for a process", name.escape_debug());
            problems.error("upstreams", message, "use up to 64 letters, digits, `-`, `_` and `.`");
            return None;
        }
        if self.address.is_empty() {
            problems.error(path, "lacks `address`", "write where the worker's own listener is, such as 127.0.0.1:8083");
            return None;
        }
        let mut roles: Vec<Role> = self.roles.clone();
        roles.extend(self.streams.iter().copied().map(Role::Stream));
        if roles.is_empty() {
            roles.push(Role::Generic);
        }
        roles.sort_unstable();
        roles.dedup();
        let mut serves_all = true;
        for (role, needed) in roles.iter().filter_map(|role| Some((role, role.needs()?))) {
            if !self.resources.contains(&needed) {
                let message = format!("{role} takes a listener that `resources` does not name");
                problems.error(format!("{path}.resources"), message, "add what is missing, in Synapse as well");
                serves_all = false;
            }
        }
        if !serves_all {
            return None;
        }
        let default = if roles == [Role::InitialSync] { 50 } else { 500 };
        let max_concurrent = if self.max_concurrent == 0 { default } else { self.max_concurrent };
        self.build_as(name, roles, max_concurrent, problems)
    }

    fn build_as(
        self,
        name: String,
        roles: Vec<Role>,
        max_concurrent: u32,
        problems: &mut Problems,
    ) -> Option<Upstream> {
        const MOST: u32 = 1_000_000;
        let path = format!("upstreams.{name}");
        if max_concurrent > MOST || !(1..=MOST).contains(&self.max_long_polls) {
            let message = "`max_concurrent` or `max_long_polls` is out of range";
            problems.error(path, message, format!("choose a number from 1 to {MOST}"));
            return None;
        }
        match self.address.parse::<UpstreamAddress>() {
            Ok(address) => Some(Upstream {
                name,
                address,
                roles,
                resources: self.resources,
                max_concurrent,
                max_long_polls: self.max_long_polls,
            }),
            Err(error) => {
                let message = format!("`{}` is not an address: {error}", self.address);
                let remedy = "write 127.0.0.1:8008 or unix:/run/matrix-synapse/main.sock";
                problems.error(format!("{path}.address"), message, remedy);
                None
            }
        }
    }
}

impl HealthSection {
    /// Checks that processes are looked at neither all the time nor hardly ever.
    pub fn build(self, problems: &mut Problems) -> Option<HealthPolicy> {
        let mut fits = true;
        let mut error = |key: &str, message: String, remedy: &str| {
            problems.error(format!("health.{key}"), message, remedy);
            fits = false;
        };
        if !(Duration::from_millis(100)..=Duration::from_mins(10)).contains(&self.interval.0) {
            error("interval", format!("`{}` is out of range", self.interval), "choose a duration from 100ms to 10m");
        }
        for (key, number) in [("rise", self.rise), ("fall", self.fall)] {
            if !(1..=100).contains(&number) {
                error(key, format!("{number} is out of range"), "choose a number from 1 to 100");
            }
        }
        fits.then_some(HealthPolicy { interval: self.interval.0, rise: self.rise, fall: self.fall })
    }
}

impl QueueSection {
    /// Checks that nobody waits for ever. `restart_grace` is the key of that name.
    pub fn build(self, restart_grace: Span, problems: &mut Problems) -> Option<Queue> {
        let mut fits = true;
        let spans = [
            ("queue.timeout", self.timeout),
            ("queue.sync_timeout", self.sync_timeout),
            ("restart_grace", restart_grace),
        ];
        for (path, span) in spans.into_iter().filter(|(_, span)| span.0 > Duration::from_mins(10)) {
            problems.error(path, format!("`{span}` is out of range"), "choose at most 10m");
            fits = false;
        }
        fits.then_some(Queue {
            timeout: self.timeout.0,
            sync_timeout: self.sync_timeout.0,
            max_waiting: self.max_waiting,
            restart_grace: restart_grace.0,
        })
    }
}
