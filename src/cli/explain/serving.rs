//! Who serves a request and why, who else could, and who serves what in general.

use std::io::{self, Write};

use humantime::format_duration;
use serde_json::{Map, Value, json};

use crate::decide::{Destination, Forward, Gateway};
use crate::edge::control::{Process, Status};
use crate::role::Role;
use crate::routing::Release;
use crate::upstream::{Choice, Placement, Plan, Standing, Upstreams};
use crate::upstream_address::UpstreamId;

/// The release that is configured, or that the running gateway has found out.
pub(super) fn release(live: Option<&Status>) -> Release {
    live.and_then(|status| status.synapse.parse().ok()).unwrap_or(Release::NEWEST)
}

/// Who serves the endpoint, why this process, and who else could.
pub(super) fn tell_role(told: &mut Map<String, Value>, gateway: &Gateway, forward: &Forward, live: Option<&Status>) {
    let Destination::Role { role, writes, placement, by_token } = forward.destination else { return };
    let endpoint = forward.endpoint.map_or("of the main process", |endpoint| endpoint.id);
    told.insert("endpoint".to_owned(), json!(endpoint));
    told.insert("release".to_owned(), json!(gateway.synapse(release(live)).release.to_string()));
    told.insert("role".to_owned(), json!(role.as_str()));
    if let Some(endpoint) = forward.endpoint {
        told.insert("affinity".to_owned(), json!(endpoint.affinity.as_str()));
    }
    let key = match placement {
        Placement::Key { .. } if by_token => "the user of an access token that only Synapse knows".to_owned(),
        Placement::Key { hash, .. } => format!("{hash:016x}"),
        Placement::LeastLoaded => "none: the least busy".to_owned(),
        Placement::First => "none: the first".to_owned(),
    };
    told.insert("key".to_owned(), json!(key));
    let Some(plan) = gateway.upstreams.plan(role, writes) else { return };
    if let Some(choice) = gateway.choice(forward.destination) {
        told.insert("why".to_owned(), json!(why(plan, choice, role, placement)));
    }
    told.insert("in_this_order".to_owned(), json!(groups(&gateway.upstreams, plan)));
    if let Some(status) = live {
        tell_live(told, gateway, forward, status);
    }
}

/// Why a request goes where it does.
fn why(plan: &Plan, Choice { role: as_role, .. }: Choice, role: Role, placement: Placement) -> String {
    let members = plan.groups().find(|(group, _)| *group == as_role).map_or(0, |(_, members)| members.len());
    let how = match placement {
        _ if members < 2 => "the only one".to_owned(),
        Placement::Key { strict: true, .. } => format!("by its key among {members}, however busy it is"),
        Placement::Key { strict: false, .. } => format!("by its key among {members}"),
        Placement::LeastLoaded => format!("the least busy of {members}"),
        Placement::First => format!("the first of {members}"),
    };
    if as_role == role {
        how
    } else if plan.has_own(role) {
        format!("{how} of {as_role}, since nobody of {role} is there")
    } else {
        format!("{how} of {as_role}, since no process has {role}")
    }
}

/// Each group as `role: process, process`, the first to be asked first.
fn groups(upstreams: &Upstreams, plan: &Plan) -> Vec<String> {
    let names = |members: &[UpstreamId]| members.iter().map(|&id| upstreams.name(id)).collect::<Vec<_>>().join(", ");
    plan.groups().map(|(role, members)| format!("{role}: {}", names(members))).collect()
}

/// Where the running gateway would send the request now.
fn tell_live(told: &mut Map<String, Value>, gateway: &Gateway, forward: &Forward, status: &Status) {
    let Destination::Role { role, writes, placement, .. } = forward.destination else { return };
    let upstreams = &gateway.upstreams;
    let Some(plan) = upstreams.plan(role, writes) else { return };
    let process = |id: UpstreamId| status.processes.iter().find(|process| process.name == upstreams.name(id));
    let unknown = |process: &Process| {
        forward.endpoint.is_some_and(|endpoint| process.unknown_endpoints.iter().any(|known| *known == endpoint.id))
    };
    let standing = |id: UpstreamId| {
        let available = |process: &&Process| process.up && !process.drained && !unknown(process);
        process(id).filter(available).map_or_else(
            Standing::default,
            |Process { requests, long_polls, waiting, .. }| Standing {
                available: true,
                load: requests.saturating_add(*long_polls).saturating_add(*waiting),
            },
        )
    };
    let choice = plan.choose(placement, standing);
    told.insert("now".to_owned(), json!(choice.map(|choice| upstreams.name(choice.upstream))));
    let reason = match choice {
        Some(choice) => {
            let idle = |id| Standing { load: 0, ..standing(id) };
            // Of the same group, that is: the first one that has anybody.
            let spilled = plan.choose(placement, idle).is_some_and(|by_key| by_key.upstream != choice.upstream);
            let by_key = matches!(placement, Placement::Key { .. });
            let reason = why(plan, choice, role, placement);
            if spilled && by_key { format!("{reason}: the next, since that of the key is busy") } else { reason }
        }
        None => format!("nobody is there: it waits for up to {}", format_duration(gateway.queue.restart_grace)),
    };
    told.insert("now_because".to_owned(), json!(reason));
    let absent = |id: UpstreamId| {
        let reason = match process(id) {
            None => "not known to the running gateway, which has another configuration",
            Some(process) if process.drained => "drained",
            Some(process) if !process.up => "down",
            Some(process) if unknown(process) => "does not know the endpoint",
            Some(_) => return None,
        };
        Some(format!("{}: {reason}", upstreams.name(id)))
    };
    let mut members: Vec<UpstreamId> = plan.members().collect();
    members.dedup();
    told.insert("not_available".to_owned(), json!(members.into_iter().filter_map(absent).collect::<Vec<_>>()));
}

/// Every role with the processes that serve it and those that stand in, the first to be asked first.
pub(super) fn tell_roles(upstreams: &Upstreams, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let empty = Plan::default();
    for role in Role::ALL {
        let [reads, writes] = [false, true].map(|writes| upstreams.plan(role, writes).unwrap_or(&empty));
        if as_json {
            let [reads, writes] = [reads, writes].map(|plan| as_groups(upstreams, plan));
            writeln!(out, "{}", json!({ "role": role.as_str(), "reads": reads, "writes": writes }))?;
            continue;
        }
        let [reads, writes] = [reads, writes].map(|plan| in_words(upstreams, plan));
        if reads == writes {
            writeln!(out, "{role}\n  {reads}")?;
        } else {
            writeln!(out, "{role}\n  reads: {reads}\n  writes: {writes}")?;
        }
    }
    Ok(())
}

fn as_groups(upstreams: &Upstreams, plan: &Plan) -> Vec<Value> {
    let names = |members: &[UpstreamId]| members.iter().map(|&id| upstreams.name(id)).collect::<Vec<_>>();
    plan.groups().map(|(role, members)| json!({ "role": role.as_str(), "processes": names(members) })).collect()
}

fn in_words(upstreams: &Upstreams, plan: &Plan) -> String {
    let groups = groups(upstreams, plan);
    if groups.is_empty() { "nobody".to_owned() } else { groups.join("; then ") }
}
