//! `upstreams`: a process for each of Synapse's that requests can be forwarded to.

use super::document::{Document, Entry};
use super::listener::{Listener, ListenerKind};
use super::process::{Process, Processes};
use super::report::Report;
use super::roles::{self, Task};
use super::streams::Writers;
use super::{media, sign_in};
use crate::role::{Resource, Role};
use crate::yaml::Mark;

/// A process that is in the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'p> {
    pub(super) process: &'p Process<'p>,
    pub(super) door: &'p Listener<'p>,
    pub(super) has_media: bool,
}

/// Describes the processes, and returns those that are in the configuration, the main one first.
pub(super) fn describe<'p>(
    processes: &'p Processes<'p>,
    writers: &Writers,
    document: &mut Document,
    report: &mut Report,
) -> Vec<Shown<'p>> {
    let mut entries = Vec::new();
    let mut shown: Vec<Shown<'p>> = Vec::new();
    let mut media_workers = Vec::new();
    let main = &processes.main;
    if let Some(door) = main.door().filter(|door| door.has("client")) {
        check_main(main, door, report);
        let has_media = media::is_loaded(main);
        let resources = roles::resources(door, has_media);
        entries.push(Entry::section(&main.key, lines(main, door, None, &resources, report)));
        shown.push(Shown { process: main, door, has_media });
        entries.extend(federation_apart(processes, door));
    } else {
        let over_tls = main.listeners.iter().find(|listener| listener.has("client"));
        let (mark, message) = match over_tls {
            Some(listener) => (listener.mark, "the only listeners with `client` speak TLS, and the gateway plain HTTP"),
            None => (main.mark, "the main process has no HTTP listener with `client`, which requests could go to"),
        };
        let remedy = "add one with `type: http`, `port: 8008`, `bind_addresses: ['127.0.0.1']`, `x_forwarded: true` and \
                      `names: [client, federation]`";
        report.error(mark, "listeners", message, remedy);
    }
    for worker in &processes.workers {
        let Some((task, door)) = roles::task(worker, processes, writers, report).zip(worker.door()) else { continue };
        let address = |process: &Process, door: &Listener| door.address(process.host(door)).0;
        // Told as two listeners in one place; the gateway has a name for each address.
        if shown.iter().any(|other| address(other.process, other.door) == address(worker, door)) {
            continue;
        }
        note_others(worker, door, report);
        entries.push(Entry::section(&worker.key, lines(worker, door, Some(&task), &task.resources, report)));
        let has_media = task.roles.contains(&Role::Media);
        if has_media {
            media_workers.push(worker);
        }
        shown.push(Shown { process: worker, door, has_media });
    }
    media::check(processes, &media_workers, report);
    if sign_in::has_sso(&main.settings) && sign_in::is_delegated(&main.settings) {
        let text =
            "single sign-on of Synapse's own is configured beside Matrix Authentication Service, which replaces it";
        report.note(main.settings.start, text);
    }
    document.push(Entry::section("upstreams", entries));
    shown
}

fn lines(
    process: &Process,
    door: &Listener,
    task: Option<&Task>,
    resources: &[Resource],
    report: &mut Report,
) -> Vec<Entry> {
    let host = process.host(door);
    let (address, mark) = door.address(host);
    let address = address.to_string();
    let mut lines = vec![match host {
        Some(_) => Entry::because("address", address, mark, "its host is that of `instance_map`"),
        None => Entry::value("address", address, mark),
    }];
    if host.is_some() {
        let text = format!("`{}` runs on another host or in a container, as `instance_map` says", process.name);
        report.note(mark, text);
    }
    if let Some(task) = task {
        let roles: Vec<&str> = task.roles.iter().map(|role| role.as_str()).collect();
        if !roles.is_empty() {
            lines.push(Entry::because("roles", roles, task.why.1, task.why.0));
        }
        let streams: Vec<&str> = task
            .streams
            .iter()
            .filter_map(|(stream, _)| Role::Stream(*stream).as_str().strip_prefix("stream."))
            .collect();
        if let Some((_, mark)) = task.streams.first() {
            lines.push(Entry::value("streams", streams, *mark));
        }
    }
    if resources.len() < 3 {
        let names = resources.iter().map(|resource| match resource {
            Resource::Client => "client",
            Resource::Federation => "federation",
            Resource::Media => "media",
        });
        lines.push(Entry::value("resources", names.collect::<Vec<_>>(), door.resources_mark));
    }
    lines
}

/// The main process's listener for other servers, where that is not the one for clients: it takes from the main process
/// what a worker could serve.
fn federation_apart(processes: &Processes, door: &Listener) -> Option<Entry> {
    const KEY: &str = "main_federation";
    let main = &processes.main;
    let fits = |other: &&Listener| other.kind == ListenerKind::Http && other.has("federation") && !other.tls;
    let other = main.listeners.iter().filter(fits).min_by_key(|other| other.reach())?;
    if door.has("federation") || processes.workers.iter().any(|worker| worker.key == KEY) {
        return None;
    }
    let (address, mark) = other.address(main.host(other));
    let roles = [Role::FederationInbound, Role::FederationReader].map(Role::as_str);
    let lines = vec![
        Entry::value("address", address.to_string(), mark),
        Entry::because("roles", roles.to_vec(), other.mark, "the main process's other listener"),
        Entry::value("resources", vec!["federation"], other.resources_mark),
    ];
    Some(Entry::section(KEY, lines))
}

/// What is served on another listener of the main process is not reached through this one.
fn check_main(main: &Process, door: &Listener, report: &mut Report) {
    let implied = |name: &str| match name {
        "media" => door.has("federation") || door.has("client"),
        "keys" | "openid" => door.has("federation"),
        "static" => door.has("client"),
        _ => false,
    };
    for name in ["federation", "media", "keys", "openid", "static", "consent"] {
        if door.has(name) || implied(name) {
            continue;
        }
        let other = main.listeners.iter().find(|other| other.kind == ListenerKind::Http && other.has(name));
        let Some(other) = other else { continue };
        let at = report.place(other.mark);
        let message = format!("`{name}` is served on {} at {at} alone, and requests may come here for it", other.path);
        report.warning(door.resources_mark, format!("{}.resources", door.path), message, format!("add `{name}`"));
    }
    if !main.listeners.iter().any(|listener| listener.has("federation")) {
        let text = "no listener has `federation`: other servers get 404 from the main process";
        report.note(door.resources_mark, text);
    }
}

fn note_others(worker: &Process, door: &Listener, report: &mut Report) {
    let same = |other: &Listener| other.mark == door.mark;
    for other in worker.listeners.iter().filter(|other| other.is_public() && !same(other) && !other.tls) {
        let at: Mark = other.mark;
        report.note(at, format!("{} of `{}` is not used: one listener is, with `client`", other.path, worker.name));
    }
}
