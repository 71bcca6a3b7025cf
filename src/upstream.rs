//! The processes that requests are forwarded to, which of them a request is for, and who answers in their place.
//!
//! This room knows names, addresses and roles. Opening connections, resolving names and seeing whether a process is there
//! is the edge's; what was seen comes back here as data.

mod group;
mod health;
mod section;

use std::time::Duration;

pub use group::{Group, Placement, Standing};
pub use health::{Health, HealthPolicy, Sign, Turn};
pub use section::{HealthSection, QueueSection, UpstreamSection, UpstreamsSection};

use crate::role::{Resource, Role};
use crate::upstream_address::{UpstreamAddress, UpstreamId};

/// The name of Synapse's main process.
pub const MAIN: &str = "main";

/// One process that requests are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As in the configuration and in the access log.
    pub name: String,
    /// Where it listens.
    pub address: UpstreamAddress,
    /// What it does, in the order of [`Role::ALL`]; nothing for an upstream of the operator's own routes.
    pub roles: Vec<Role>,
    /// What its listener has.
    pub resources: Vec<Resource>,
    /// Requests that it is given at a time, long polls apart.
    pub max_concurrent: u32,
    /// Long polls that it is given at a time.
    pub max_long_polls: u32,
}

/// How requests wait for a place at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How long.
    pub timeout: Duration,
    /// How long a long poll waits.
    pub sync_timeout: Duration,
    /// How many wait for one process.
    pub max_waiting: u32,
    /// How long a request waits for a process that refuses connections, while nobody else could answer.
    pub restart_grace: Duration,
}

/// All upstreams: Synapse's main process first, then the workers, then those of the operator's own routes.
#[derive(Debug)]
pub struct Upstreams {
    list: Vec<Upstream>,
    /// For each role, in the order of [`Role::ALL`]: who answers reads, and who answers writes.
    plans: Vec<[Plan; 2]>,
}

/// Who answers requests of one role: its own processes, then those that stand in for them, group by group.
#[derive(Debug, Default)]
pub struct Plan(Vec<(Role, Group)>);

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The process.
    pub upstream: UpstreamId,
    /// The role in which it answers: another one than was asked for if it stands in.
    pub role: Role,
}

impl Plan {
    /// The first process that is available, of the first group that has one.
    pub fn choose(&self, placement: Placement, standing: impl Fn(UpstreamId) -> Standing) -> Option<Choice> {
        self.0.iter().find_map(|(role, group)| {
            // Whoever stands in has no share of its own to keep together.
            let upstream = group.choose(placement, &standing)?;
            Some(Choice { upstream, role: *role })
        })
    }

    /// Everybody who may answer, the first to be asked first.
    pub fn members(&self) -> impl Iterator<Item = UpstreamId> {
        self.0.iter().flat_map(|(_, group)| group.members().iter().copied())
    }

    /// The groups by the role in which they answer, the first to be asked first.
    pub fn groups(&self) -> impl Iterator<Item = (Role, &[UpstreamId])> {
        self.0.iter().map(|(role, group)| (*role, group.members()))
    }

    /// Whether a request has a choice among processes of the role itself.
    #[must_use]
    pub fn has_choice(&self) -> bool {
        self.0.first().is_some_and(|(_, group)| group.members().len() > 1)
    }

    /// Whether there are processes of the role itself, in whose place the others only stand in.
    #[must_use]
    pub fn has_own(&self, role: Role) -> bool {
        self.0.first().is_some_and(|(first, _)| *first == role)
    }

    /// Whether nobody may answer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Upstreams {
    /// Synapse's main process.
    pub const MAIN: UpstreamId = UpstreamId(0);

    /// Takes the processes of Synapse, the main process first.
    #[must_use]
    pub fn new(list: Vec<Upstream>) -> Self {
        let plans = Role::ALL.map(|role| [false, true].map(|writes| plan(&list, role, writes))).into();
        Self { list, plans }
    }

    /// Adds an upstream of the operator's own; one at the same address is shared.
    pub fn add(&mut self, name: String, address: UpstreamAddress) -> UpstreamId {
        let known = self.list.iter().position(|other| other.address == address);
        UpstreamId(known.unwrap_or_else(|| {
            let (roles, resources) = (Vec::new(), Vec::new());
            // Not Synapse's, and nothing is known of what it can bear.
            let unlimited = 1_000_000;
            let (max_concurrent, max_long_polls) = (unlimited, unlimited);
            self.list.push(Upstream { name, address, roles, resources, max_concurrent, max_long_polls });
            self.list.len() - 1
        }))
    }

    /// Adds a service that shares neither address nor name with another upstream.
    ///
    /// # Errors
    ///
    /// One of the two is taken; the text says by whom.
    pub fn add_service(&mut self, name: &str, address: UpstreamAddress) -> Result<UpstreamId, String> {
        if let Some(other) = self.list.iter().find(|other| other.address == address) {
            return Err(format!("`{}` listens there", other.name));
        }
        if self.list.iter().any(|other| other.name == name) {
            return Err(format!("another process is called `{name}`"));
        }
        Ok(self.add(name.to_owned(), address))
    }

    /// The upstreams by their ids.
    #[must_use]
    pub fn as_slice(&self) -> &[Upstream] {
        &self.list
    }

    /// The upstream of an id from [`Upstreams::add`].
    #[must_use]
    pub fn name(&self, id: UpstreamId) -> &str {
        self.list.get(id.0).map_or("unknown", |upstream| upstream.name.as_str())
    }

    /// The roles whose requests nobody could answer if only these processes were there. What has no process of its own
    /// goes without saying while the main process is not there.
    pub fn unserved(&self, available: impl Fn(UpstreamId) -> bool) -> Vec<Role> {
        let lacks = |role: Role, plan: &Plan| {
            let stands_for_itself = role == Role::Main || plan.has_own(role);
            let nobody = !plan.is_empty() && !plan.members().any(&available);
            nobody && (stands_for_itself || plan.members().all(|member| member != Self::MAIN))
        };
        let plans = Role::ALL.into_iter().zip(&self.plans);
        plans.filter(|(role, plans)| plans.iter().any(|plan| lacks(*role, plan))).map(|(role, _)| role).collect()
    }

    /// Who answers requests of a role; `writes` is whether they change something.
    #[must_use]
    pub fn plan(&self, role: Role, writes: bool) -> Option<&Plan> {
        self.plans.get(role.index())?.get(usize::from(writes))
    }
}

fn plan(list: &[Upstream], role: Role, writes: bool) -> Plan {
    let has = |wanted: Role| {
        let fits = |upstream: &Upstream| role.needs().is_none_or(|needed| upstream.resources.contains(&needed));
        let of_role = list.iter().enumerate().filter(move |(_, upstream)| upstream.roles.contains(&wanted));
        let members = of_role.filter(|(_, upstream)| fits(upstream));
        members.map(|(place, upstream)| (UpstreamId(place), upstream.name.as_str())).collect::<Vec<_>>()
    };
    let own = has(role);
    // The main process writes a stream that no worker is the writer of.
    let nobody_has_it = own.is_empty() && role.fallback(writes).is_empty();
    let others = if nobody_has_it { &[Role::Main] } else { role.fallback(writes) };
    let groups = std::iter::once((role, own)).chain(others.iter().map(|&other| (other, has(other))));
    Plan(
        groups.filter(|(_, members)| !members.is_empty()).map(|(role, members)| (role, Group::new(&members))).collect(),
    )
}

#[cfg(test)]
mod tests;
