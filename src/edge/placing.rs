//! Finds the process that a request goes to, and waits for it where it must.
//!
//! A request waits at two places, both before anything of it has been sent: for a place at a process that has as many
//! requests as it is given at a time, and for a process to come back while nobody else could answer, as during a restart
//! of Synapse. The client notices nothing but the time.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use super::failure::{closed, overloaded, unavailable};
use super::pool::{AtDoor, NoPlace, Place, Pool};
use super::state::Running;
use crate::class::RouteClass;
use crate::decide::Destination;
use crate::matrix::{Cause, MatrixError};
use crate::role::Role;
use crate::upstream::{Choice, Plan, Standing};
use crate::upstream_address::UpstreamId;

/// Where a request is, and its place there, which it has until this is dropped.
#[derive(Debug)]
pub(super) struct Placed {
    /// The process.
    pub(super) upstream: UpstreamId,
    /// The role in which the process answers; None for an upstream that has none.
    pub(super) role: Option<Role>,
    /// The role of those who should have answered, and are all gone.
    pub(super) stands_in_for: Option<Role>,
    /// How many of its addresses were tried before the one in use.
    pub(super) attempt: usize,
    /// While it is not known to have been let in, of those that have waited for the process to come back.
    pub(super) at_door: Option<AtDoor>,
    _place: Place,
}

/// What a request that is to be placed brings along.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Who may answer.
    pub(super) destination: Destination,
    /// How it behaves.
    pub(super) class: RouteClass,
    /// The row of its endpoint.
    pub(super) endpoint: Option<&'static str>,
    /// Why it could not be sent where it was placed before.
    pub(super) cause: Option<Cause>,
    /// When it began to wait for somebody who could answer.
    pub(super) waits_since: Option<Instant>,
}

/// Places a request. The error is what its client is told.
pub(super) async fn place(running: &Arc<Running>, wanted: &mut Wanted) -> Result<Placed, MatrixError> {
    loop {
        let (Choice { upstream, role }, stands_in_for) = match wanted.destination {
            Destination::Fixed(upstream) => return enter(running, upstream, None, None, wanted).await,
            Destination::Role { role, writes, placement, .. } => {
                let plan = running.gateway.upstreams.plan(role, writes).filter(|plan| !plan.is_empty());
                let plan = plan.ok_or_else(|| unavailable(Cause::UpstreamUnresolved))?;
                let unknown = |id| wanted.endpoint.is_some_and(|row| running.recognition.is_unknown_to(id, row));
                let standing = |id: UpstreamId| {
                    let mut standing = running.pools.get(id).map(Pool::standing).unwrap_or_default();
                    standing.available &= !unknown(id);
                    standing
                };
                // Nobody is turned away without a try: that a process is gone is what was seen of it last.
                let present = |id: UpstreamId| Standing { available: !running.pools.is_drained(id), load: 0 };
                let untried = || wanted.cause.is_none().then(|| plan.choose(placement, present)).flatten();
                let Some(choice) = plan.choose(placement, standing).or_else(untried) else {
                    await_anybody(running, plan, wanted).await?;
                    continue;
                };
                let first = plan.groups().next().map(|(role, _)| role);
                (choice, first.filter(|first| *first != choice.role))
            }
        };
        return enter(running, upstream, Some(role), stands_in_for, wanted).await;
    }
}

/// Takes a place at a process.
async fn enter(
    running: &Running,
    upstream: UpstreamId,
    role: Option<Role>,
    stands_in_for: Option<Role>,
    wanted: &Wanted,
) -> Result<Placed, MatrixError> {
    let pool = running.pools.get(upstream).ok_or_else(|| unavailable(Cause::UpstreamUnresolved))?;
    let queue = &running.gateway.queue;
    let polls = wanted.class == RouteClass::LongPoll;
    let lane = pool.lane(polls);
    let within = if polls { queue.sync_timeout } else { queue.timeout };
    let full = |(NoPlace::Crowded | NoPlace::Late)| overloaded();
    let place = lane.enter(within, queue.max_waiting).await.map_err(full)?;
    let at_door = match wanted.waits_since {
        Some(_) => Some(lane.approach(queue.timeout).await.map_err(full)?),
        None => None,
    };
    Ok(Placed { upstream, role, stands_in_for, attempt: 0, at_door, _place: place })
}

/// Waits until one of those who may answer is back.
async fn await_anybody(running: &Running, plan: &Plan, wanted: &mut Wanted) -> Result<(), MatrixError> {
    let pools = &running.pools;
    let since = *wanted.waits_since.get_or_insert_with(Instant::now);
    let members: Vec<UpstreamId> = plan.members().collect();
    let back = async {
        let _wanted = pools.want(&members);
        loop {
            let risen = pools.risen();
            if members.iter().any(|&id| pools.get(id).is_some_and(Pool::is_available)) {
                return;
            }
            risen.await;
        }
    };
    let left = running.gateway.queue.restart_grace.saturating_sub(since.elapsed());
    timeout(left, back).await.map_err(|_| match wanted.cause {
        Some(Cause::UpstreamClosed) => closed(),
        cause => unavailable(cause.unwrap_or(Cause::UpstreamRefused)),
    })
}
