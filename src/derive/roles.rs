//! What a worker is given to do: by the streams that it writes, what its listener has, its application and its name.

use super::listener::Listener;
use super::process::{Process, Processes};
use super::report::Report;
use super::streams::{Writers, duties};
use super::{media, names, sign_in};
use crate::role::{Resource, Role, Stream};
use crate::yaml::Mark;

/// What was decided for a worker.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) roles: Vec<Role>,
    /// What decided it, and where that stands.
    pub(super) why: (&'static str, Mark),
    /// The streams that it writes, each with the place that says so.
    pub(super) streams: Vec<(Stream, Mark)>,
    /// What its listener has.
    pub(super) resources: Vec<Resource>,
}

/// What a listener has that requests are for. `has_media` is whether the process has the media repository there.
pub(super) fn resources(listener: &Listener, has_media: bool) -> Vec<Resource> {
    let all = [
        (listener.has("client"), Resource::Client),
        (listener.has("federation"), Resource::Federation),
        (has_media, Resource::Media),
    ];
    all.into_iter().filter(|(has, _)| *has).map(|(_, resource)| resource).collect()
}

/// What a worker is given to do; None if that is nothing.
pub(super) fn task(worker: &Process, processes: &Processes, writers: &Writers, report: &mut Report) -> Option<Task> {
    let written = writers.of(&worker.name);
    let Some(door) = worker.door() else {
        for stream in written.iter().filter_map(|written| written.stream) {
            let message = format!("writes {}, and has no listener for the requests", Role::Stream(stream));
            report.warning(worker.mark, "worker_listeners", message, "add one, apart from that for replication");
        }
        report.note(worker.mark, format!("`{}` has no listener for requests and is given none", worker.name));
        return None;
    };
    let has_media = media::is_served(worker);
    let resources = resources(door, has_media);
    if door.has("media") && !has_media {
        let message = "Synapse passes over `media` here, since the media repository is switched off for this worker";
        let remedy = "write `enable_media_repo: true` into the worker's file, or remove `media`";
        report.warning(door.resources_mark, format!("{}.resources", door.path), message, remedy);
    }
    let can = |role: Role| role.needs().is_none_or(|needed| resources.contains(&needed));
    let mut streams = Vec::new();
    for (stream, written) in written.iter().filter_map(|written| Some((written.stream?, *written))) {
        if !can(Role::Stream(stream)) {
            let message = format!("`{}` writes {}, which is not served here", worker.name, Role::Stream(stream));
            let remedy = if stream == Stream::QuarantinedMediaChanges { "add `media`" } else { "add `client`" };
            report.warning(door.resources_mark, format!("{}.resources", door.path), message, remedy);
        } else if writers.is_first(written) {
            streams.push((stream, written.mark));
        }
    }
    let (roles, why) = roles(worker, door, &resources, processes, !written.is_empty(), report);
    let roles: Vec<Role> = roles.into_iter().filter(|role| can(*role)).collect();
    if roles.is_empty() && streams.is_empty() {
        let text = format!(
            "`{}` writes nothing that requests are for, and its name says no more, so that it is given none",
            worker.name
        );
        report.note(worker.mark, text);
        return None;
    }
    Some(Task { roles, why, streams, resources })
}

fn roles(
    worker: &Process,
    door: &Listener,
    resources: &[Resource],
    processes: &Processes,
    writes: bool,
    report: &mut Report,
) -> (Vec<Role>, (&'static str, Mark)) {
    let named = names::roles(&worker.name);
    if resources == [Resource::Media] {
        return (vec![Role::Media], ("nothing else is served there", door.resources_mark));
    }
    if !resources.contains(&Resource::Client) && resources.contains(&Resource::Federation) {
        let role =
            if named.contains(&Role::FederationInbound) { Role::FederationInbound } else { Role::FederationReader };
        return (vec![role], ("nothing for clients is served there", door.resources_mark));
    }
    let app = worker.app.and_then(|(app, mark)| Some((of_app(app)?, mark)));
    if let Some((role, mark)) = app {
        if role == Role::Media && !resources.contains(&Resource::Media) {
            let message = format!("`{}` is there for media, which its listener does not have", worker.name);
            report.warning(door.resources_mark, format!("{}.resources", door.path), message, "add `media`");
        }
        return (vec![role], ("what the application was for", mark));
    }
    let fits = |role: &Role| role.needs().is_none_or(|needed| resources.contains(&needed));
    let mut roles: Vec<Role> = named.iter().copied().filter(fits).collect();
    for role in named.iter().filter(|role| !fits(role)) {
        let message = format!("`{}` is no {role}, of which its name speaks: that is not served here", worker.name);
        let remedy = "add `client`, `federation` or `media`, or set the roles under `upstreams` in the gateway's file";
        report.warning(door.resources_mark, format!("{}.resources", door.path), message, remedy);
    }
    if names::says_sso(&worker.name) && takes_sso(worker, processes, report) {
        roles.push(Role::Sso);
    }
    if !roles.is_empty() {
        return (with_media(roles, resources), ("its name", worker.mark));
    }
    if writes {
        return (roles, ("it writes streams", worker.mark));
    }
    let duties = duties(processes, &worker.name);
    if !duties.is_empty() {
        let text = format!(
            "`{}` is in `{}` and has a listener for requests: it is given what any worker can do; take its listener \
             away if that is not meant",
            worker.name,
            duties.join("` and `")
        );
        report.note(worker.mark, text);
    }
    (with_media(vec![Role::Generic], resources), ("its name says nothing more", worker.mark))
}

/// A worker of all kinds whose listener has media too is there for media as well.
fn with_media(mut roles: Vec<Role>, resources: &[Resource]) -> Vec<Role> {
    if roles.contains(&Role::Generic) && resources.contains(&Resource::Media) && !roles.contains(&Role::Media) {
        roles.push(Role::Media);
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// The steps of a log-in are in the memory of one process, so that a wrong guess would break it.
fn takes_sso(worker: &Process, processes: &Processes, report: &mut Report) -> bool {
    let settings = &processes.main.settings;
    let others = processes.workers.iter().filter(|other| names::says_sso(&other.name)).count();
    let against = if sign_in::is_delegated(settings) {
        "Matrix Authentication Service looks after log-ins"
    } else if others > 1 {
        "other workers are named so too, and it is for one alone"
    } else if !sign_in::has_sso(settings) {
        "no provider of single sign-on is configured"
    } else {
        let text = format!(
            "`{}` is the only worker with `sso` in its name, so that single sign-on goes to it; all of it must",
            worker.name
        );
        report.note(worker.mark, text);
        return true;
    };
    report.note(worker.mark, format!("`{}` is not given the role sso: {against}", worker.name));
    false
}

/// What the applications of older releases were for; all of them are the same today.
fn of_app(app: &str) -> Option<Role> {
    match app.strip_prefix("synapse.app.")? {
        "client_reader" => Some(Role::ClientReader),
        "event_creator" => Some(Role::EventCreator),
        "federation_reader" => Some(Role::FederationReader),
        "frontend_proxy" => Some(Role::Encryption),
        "media_repository" => Some(Role::Media),
        "synchrotron" => Some(Role::Sync),
        "user_dir" => Some(Role::UserDirectory),
        _ => None,
    }
}
