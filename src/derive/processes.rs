//! Synapse's main process and its workers, and what each of them does.

use std::collections::BTreeMap;

use super::Study;
use super::listeners::Listener;
use super::page::{list, scalar};
use super::settings::Settings;
use crate::role::{Resource, Role, Stream};
use crate::yaml::{Mark, Node};

/// A process with a listener for us.
struct Process {
    name: String,
    listener: Listener,
    has_media: bool,
    roles: Vec<Role>,
    streams: Vec<Stream>,
    note: String,
}

/// Streams without endpoints of their own.
const INTERNAL_STREAMS: [&str; 3] = ["events", "sticky_events", "profile_updates"];

/// What the names of workers' programs meant before there was only one (`synapse/app`).
const PROGRAMS: [(&str, &[Role]); 7] = [
    ("synapse.app.synchrotron", &[Role::Sync, Role::InitialSync]),
    ("synapse.app.federation_reader", &[Role::FederationReader, Role::FederationInbound]),
    ("synapse.app.client_reader", &[Role::ClientReader]),
    ("synapse.app.event_creator", &[Role::EventCreator]),
    ("synapse.app.media_repository", &[Role::Media]),
    ("synapse.app.user_dir", &[Role::UserDirectory]),
    ("synapse.app.frontend_proxy", &[Role::Encryption]),
];

/// Words in names, the more particular ones first.
const WORDS: [(&str, &[Role]); 19] = [
    ("sliding", &[Role::SlidingSync]),
    ("initial", &[Role::InitialSync]),
    ("sync", &[Role::Sync, Role::SlidingSync]),
    ("inbound", &[Role::FederationInbound]),
    ("federation_reader", &[Role::FederationReader]),
    ("fed_reader", &[Role::FederationReader]),
    ("federation", &[Role::FederationReader, Role::FederationInbound]),
    ("event_creator", &[Role::EventCreator]),
    ("eventcreator", &[Role::EventCreator]),
    ("event_sender", &[Role::EventCreator]),
    ("user_dir", &[Role::UserDirectory]),
    ("userdir", &[Role::UserDirectory]),
    ("pagination", &[Role::Pagination]),
    ("room", &[Role::RoomReader]),
    ("encryption", &[Role::Encryption]),
    ("login", &[Role::Login]),
    ("register", &[Role::Login]),
    ("client", &[Role::ClientReader]),
    ("admin", &[Role::Admin]),
];

impl Study<'_> {
    pub(super) fn processes(&mut self, main: &Settings, workers: &[Settings]) {
        let streams = self.stream_writers(main);
        let mut processes = self.main(main);
        let mut names = vec!["main".to_owned()];
        for worker in workers {
            let Some(name) = self.worker_name(worker) else { continue };
            if names.contains(&name.0) {
                let message = "two files are of one worker: they have the same `worker_name`";
                self.findings.error(name.1, String::new(), message, "give each worker a name of its own");
                continue;
            }
            names.push(name.0.clone());
            processes.extend(self.worker(main, worker, name, &streams));
        }
        self.sso(main, &mut processes);
        self.compare(main, &names, &streams, &mut processes);
        self.write(&processes);
        self.request_id(&processes);
    }

    /// Which process writes which stream, with the place where that is said.
    fn stream_writers(&mut self, main: &Settings) -> Vec<(Stream, String, Mark)> {
        let mut found = Vec::new();
        for (name, node) in main.get("stream_writers").map(Node::entries).unwrap_or_default() {
            if INTERNAL_STREAMS.contains(&name.as_str()) {
                continue;
            }
            let Ok(Role::Stream(stream)) = format!("stream.{name}").parse() else {
                self.warn(
                    node.mark,
                    "a stream is named here that the gateway does not know",
                    "upgrade the gateway, or correct the name",
                );
                continue;
            };
            let writers: Vec<&str> = node.items().into_iter().filter_map(Node::text).collect();
            if Role::Stream(stream).is_single() && writers.len() > 1 {
                let message = format!("the stream `{name}` has several writers, and may have one");
                self.findings.error(node.mark, String::new(), message, "leave one of them");
            }
            found.extend(writers.into_iter().map(|writer| (stream, writer.to_owned(), node.mark)));
        }
        found
    }

    fn main(&mut self, main: &Settings) -> Vec<Process> {
        let mut listeners = self.listeners(main.get("listeners"));
        let has_media = main.flag("enable_media_repo", true);
        // The one with most of what we ask for.
        listeners.sort_by_key(|listener| std::cmp::Reverse((listener.has("client"), listener.serves(has_media).len())));
        let mut processes: Vec<Process> = Vec::new();
        for listener in listeners {
            let is_main = processes.is_empty();
            let federation =
                listener.has("federation") && processes.iter().all(|other| !other.listener.has("federation"));
            if !is_main && !federation {
                self.warn(
                    listener.mark,
                    "this listener is not needed: another one of the main process has the same",
                    "remove it",
                );
                continue;
            }
            let name = if is_main { "main" } else { "main_federation" };
            let roles = if is_main { vec![] } else { vec![Role::FederationInbound, Role::FederationReader] };
            let note = if is_main { "" } else { "the main process's other listener" };
            let (name, note) = (name.to_owned(), note.to_owned());
            processes.push(Process { name, listener, has_media, roles, streams: Vec::new(), note });
        }
        if processes.is_empty() && main.get("server_name").is_some() {
            let mark = main.get("listeners").map_or_else(Mark::default, |node| node.mark);
            let message = "the main process has no HTTP listener with the resources `client` and `federation`";
            self.findings.error(
                mark,
                String::new(),
                message,
                "add one on 127.0.0.1 or a Unix socket, with `x_forwarded: true`",
            );
        }
        processes
    }

    fn worker_name(&mut self, worker: &Settings) -> Option<(String, Mark)> {
        let node = worker.get("worker_name").or_else(|| worker.get("worker_app"))?;
        let name = node.text()?.to_owned();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(is_name) {
            let message = "the worker's name has characters that a name in the gateway may not have";
            self.findings.error(node.mark, String::new(), message, "use letters, digits, `-`, `_` and `.`");
            return None;
        }
        Some((name, node.mark))
    }

    fn worker(
        &mut self,
        main: &Settings,
        worker: &Settings,
        (name, mark): (String, Mark),
        writers: &[(Stream, String, Mark)],
    ) -> Option<Process> {
        let has_media = worker.flag("enable_media_repo", true)
            || worker.get("worker_app").and_then(Node::text) == Some("synapse.app.media_repository");
        let mut listeners = self.listeners(worker.get("worker_listeners"));
        listeners.sort_by_key(|listener| std::cmp::Reverse((listener.has("client"), listener.serves(has_media).len())));
        let mut listeners = listeners.into_iter();
        let streams: Vec<Stream> =
            writers.iter().filter(|(_, writer, _)| *writer == name).map(|(stream, ..)| *stream).collect();
        let Some(listener) = listeners.next() else {
            if let Some((stream, _, at)) = writers.iter().find(|(_, writer, _)| *writer == name) {
                let message = format!(
                    "{name} writes the stream `{}` and has no HTTP listener with the resource `client`",
                    Role::Stream(*stream).as_str().trim_start_matches("stream.")
                );
                self.warn(*at, message, "give it one, so that the stream's endpoints reach it");
            }
            return None;
        };
        for other in listeners {
            self.warn(
                other.mark,
                "only the first listener of a worker gets requests",
                "put the resources on one listener",
            );
        }
        let media_apart = has_media && !main.flag("enable_media_repo", true);
        let app = worker.get("worker_app").and_then(Node::text).unwrap_or_default().to_owned();
        let (roles, note) = roles(&name, &app, &listener, &streams, media_apart);
        let served = listener.serves(has_media);
        let (kept, left): (Vec<Role>, Vec<Role>) =
            roles.into_iter().partition(|role| role.needs().is_none_or(|needed| served.contains(&needed)));
        if !left.is_empty() {
            let message = format!(
                "{name} is no {}: its listener lacks the resource",
                list(left.iter().map(|role| role.as_str()))
            );
            self.warn(mark, message, "add the resource, or set the roles under `upstreams`");
        }
        Some(Process { name, listener, has_media, roles: kept, streams, note })
    }

    /// One process alone may have the role, so that it is guessed only where there is no doubt.
    fn sso(&mut self, main: &Settings, processes: &mut [Process]) {
        let delegated = main.within("matrix_authentication_service", "enabled").and_then(Node::flag) == Some(true);
        let mut named: Vec<_> =
            processes.iter_mut().filter(|process| process.name.to_ascii_lowercase().contains("sso")).collect();
        match named.as_mut_slice() {
            [only] if !delegated => {
                only.roles.push(Role::Sso);
                only.note = "by its name, as the only one of that kind".to_owned();
            }
            [] => {}
            several => {
                let mark = several.first().map_or_else(Mark::default, |process| process.listener.mark);
                if !delegated {
                    let message = "several workers are named for single sign-on, and one process alone may do that";
                    self.warn(mark, message, "set `roles: [sso]` for one of them under `upstreams`");
                }
            }
        }
    }

    /// What does not fit together among the processes.
    fn compare(
        &mut self,
        main: &Settings,
        names: &[String],
        writers: &[(Stream, String, Mark)],
        processes: &mut [Process],
    ) {
        for (_, writer, mark) in writers {
            if !names.contains(writer) && writer != "master" {
                let message = format!("there is no file for the worker {}, which writes a stream", scalar(writer));
                self.warn(*mark, message, "name its file or the directory of all of them");
            }
        }
        for (name, node) in main.get("instance_map").map(Node::entries).unwrap_or_default() {
            if !names.contains(name) && name != "main" {
                let message = format!("there is no file for the worker {}, which is in `instance_map`", scalar(name));
                self.warn(node.mark, message, "name its file, or remove it from `instance_map`");
            }
        }
        if processes.len() > 1 && main.within("redis", "enabled").and_then(Node::flag) != Some(true) {
            let mark = main.get("redis").map_or_else(Mark::default, |node| node.mark);
            self.warn(mark, "there are workers, and Redis is not enabled", "set `redis: {enabled: true}` for Synapse");
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for process in processes.iter() {
            if let Some(other) = seen.insert(process.listener.address.clone(), process.name.clone()) {
                let message = format!("{} and {other} have the same address", process.name);
                self.findings.error(
                    process.listener.mark,
                    String::new(),
                    message,
                    "give each process a port or socket of its own",
                );
            }
        }
        // A dedicated media process and the main process must not both look after the media.
        let main_has_media = main.flag("enable_media_repo", true);
        if let Some(media) =
            processes.iter().find(|process| process.roles.contains(&Role::Media)).filter(|_| main_has_media)
        {
            let message = format!("{} has the media, and so has the main process", media.name);
            self.warn(media.listener.mark, message, "set `enable_media_repo: false` in homeserver.yaml");
        }
    }

    fn write(&mut self, processes: &[Process]) {
        for process in processes {
            let Process { name, listener, has_media, roles, streams, note } = process;
            let path = |key: &str| vec!["upstreams".to_owned(), name.clone(), key.to_owned()];
            let mark = listener.mark;
            self.page.set_noted(path("address"), scalar(&listener.address), mark, String::new());
            let resources = listener.serves(*has_media).into_iter().map(|resource| match resource {
                Resource::Client => "client",
                Resource::Federation => "federation",
                Resource::Media => "media",
            });
            self.page.set_noted(path("resources"), list(resources), mark, String::new());
            if !roles.is_empty() {
                self.page.set_noted(path("roles"), list(roles.iter().map(|role| role.as_str())), mark, note.clone());
            }
            if !streams.is_empty() {
                let names = streams.iter().map(|stream| Role::Stream(*stream).as_str().trim_start_matches("stream."));
                self.page.set_noted(path("streams"), list(names), mark, "`stream_writers`".to_owned());
            }
        }
    }

    /// One header for all of them.
    fn request_id(&mut self, processes: &[Process]) {
        let headers: Vec<Option<&Node>> =
            processes.iter().map(|process| process.listener.request_id_header.as_ref()).collect();
        let Some(first) = headers.iter().copied().flatten().next().cloned() else {
            if let Some(process) = processes.first() {
                let message =
                    "the listener has no `request_id_header`, so that Synapse's log has other ids than the gateway's";
                self.warn(process.listener.mark, message, "set `request_id_header: X-Request-Id` on every listener");
            }
            return;
        };
        self.page.text_at("forwarding.request_id_header", &first);
        let same = |header: &Option<&Node>| header.is_some_and(|header| header.text() == first.text());
        if let Some(process) = processes.iter().find(|process| !same(&process.listener.request_id_header.as_ref())) {
            let message = format!("{} has another `request_id_header` than others, or none", process.name);
            self.warn(process.listener.mark, message, "set the same on every listener");
        }
    }
}

/// What a worker does, and how that is known.
fn roles(name: &str, app: &str, listener: &Listener, streams: &[Stream], media_apart: bool) -> (Vec<Role>, String) {
    if listener.has("media") && !listener.has("client") && !listener.has("federation") {
        return (vec![Role::Media], "by its resources".to_owned());
    }
    if let Some((_, roles)) = PROGRAMS.iter().find(|(program, _)| *program == app) {
        return (roles.to_vec(), "by its `worker_app`".to_owned());
    }
    let lower = name.to_ascii_lowercase().replace('-', "_");
    if (lower.contains("media") || listener.has("media")) && media_apart {
        return (vec![Role::Media], "by its resources and its name".to_owned());
    }
    let named = WORDS.iter().find(|(word, _)| lower.contains(word));
    match named {
        Some((_, roles)) if !lower.contains("sender") && !lower.contains("generic") => {
            (roles.to_vec(), "by its name".to_owned())
        }
        Some(_) | None if streams.is_empty() || lower.contains("generic") => {
            (vec![Role::Generic], "no name or resource says more".to_owned())
        }
        // A writer is given its streams' requests alone.
        Some(_) | None => (Vec::new(), String::new()),
    }
}
