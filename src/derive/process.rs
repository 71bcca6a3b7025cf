//! The processes of Synapse: the main one, and a worker for each file of one.

use std::collections::BTreeMap;

use super::files::{Files, Settings};
use super::listener::{Listener, ListenerKind, Reach, is_loopback, is_wildcard, read_all};
use super::names::upstream_name;
use super::report::Report;
use super::value::{child, entries, text};
use crate::yaml::{Mark, Node};

/// A process of Synapse.
#[derive(Debug)]
pub(super) struct Process<'f> {
    /// As Synapse knows it.
    pub(super) name: String,
    /// As the gateway knows it.
    pub(super) key: String,
    /// Where its name stands.
    pub(super) mark: Mark,
    /// What the worker is, or was in older releases.
    pub(super) app: Option<(&'f str, Mark)>,
    pub(super) settings: Settings<'f>,
    pub(super) listeners: Vec<Listener<'f>>,
    /// The host that it runs on, where that is not the gateway's, as the other processes name it.
    pub(super) elsewhere: Option<&'f str>,
}

/// All processes.
#[derive(Debug)]
pub(super) struct Processes<'f> {
    pub(super) main: Process<'f>,
    /// In the order of the files.
    pub(super) workers: Vec<Process<'f>>,
}

/// The main process as `worker_app` names it, in a file of its own.
const MAIN_APP: &str = "synapse.app.homeserver";

/// All that a worker may be started as (`synapse/app/generic_worker.py`).
const APPS: [&str; 11] = [
    "synapse.app.appservice",
    "synapse.app.client_reader",
    "synapse.app.event_creator",
    "synapse.app.federation_reader",
    "synapse.app.federation_sender",
    "synapse.app.frontend_proxy",
    "synapse.app.generic_worker",
    "synapse.app.media_repository",
    "synapse.app.pusher",
    "synapse.app.synchrotron",
    "synapse.app.user_dir",
];

impl<'f> Processes<'f> {
    pub(super) fn read(files: &'f Files, report: &mut Report) -> Self {
        files.note_replaced(report);
        let is_main = |root: &&Node| child(root, "worker_app").and_then(text) == Some(MAIN_APP);
        let own: Vec<&Node> = files.workers.iter().filter(is_main).collect();
        let main = Process::main(files, &own, report);
        let mut workers: Vec<Process<'f>> = Vec::new();
        let mut known: BTreeMap<String, Mark> = BTreeMap::new();
        for root in files.workers.iter().filter(|root| !is_main(root)) {
            let Some(worker) = Process::worker(files, root, &main.settings, report) else { continue };
            if let Some(other) = known.get(&worker.key) {
                let message = format!("`{}` is the name of the worker at {} too", worker.name, report.place(*other));
                report.error(worker.mark, "worker_name", message, "give each worker a name of its own");
                continue;
            }
            known.insert(worker.key.clone(), worker.mark);
            workers.push(worker);
        }
        let redis = main.settings.below("redis", "enabled").and_then(super::value::truth);
        if let Some(worker) = workers.first().filter(|_| redis != Some(true)) {
            let mark = main.settings.get("redis").map_or(main.settings.start, |redis| redis.mark);
            let message = format!("workers such as `{}` hear of nothing without Redis", worker.name);
            report.warning(
                mark,
                "redis.enabled",
                message,
                "write `redis: {enabled: true}` into the main configuration",
            );
        }
        Self { main, workers }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Process<'f>> {
        std::iter::once(&self.main).chain(&self.workers)
    }

    pub(super) fn worker(&self, name: &str) -> Option<&Process<'f>> {
        self.workers.iter().find(|worker| worker.name == name)
    }
}

impl<'f> Process<'f> {
    fn main(files: &'f Files, own: &[&'f Node], report: &mut Report) -> Self {
        let settings = files.settings(own);
        if let Some(port) = settings.get("bind_port") {
            let message = "Synapse then passes over `listeners`, and so do clients over the gateway";
            report.error(port.mark, "bind_port", message, "remove it, and write `listeners`");
        }
        let listeners = read_all(settings.get("listeners"), "listeners", report);
        let elsewhere = host(&settings, "main");
        let mark = settings.get("listeners").map_or(settings.start, |listeners| listeners.mark);
        let process =
            Self { name: "main".to_owned(), key: "main".to_owned(), mark, app: None, settings, listeners, elsewhere };
        process.check_exposure(report);
        process
    }

    fn worker(files: &'f Files, root: &'f Node, shared: &Settings<'f>, report: &mut Report) -> Option<Self> {
        let settings = files.settings(&[root]);
        let app = settings.text("worker_app", report);
        match app {
            Some((app, _)) if APPS.contains(&app) => {}
            Some((_, mark)) => {
                let message = "is not an application that a worker is started as, and it is left out";
                report.warning(mark, "worker_app", message, "write synapse.app.generic_worker");
                return None;
            }
            None => {
                let message = "is not set, so that the worker does not start, and it is left out";
                report.warning(settings.start, "worker_app", message, "write synapse.app.generic_worker");
                return None;
            }
        }
        // As Synapse does it.
        let (name, mark) = settings.text("worker_name", report).or(app)?;
        let key = upstream_name(name);
        if matches!(key.as_str(), "main" | "master") {
            let message = format!("`{key}` is the main process's name");
            report.error(mark, "worker_name", message, "give the worker a name of its own");
            return None;
        }
        if key != name {
            let text = format!("the worker is `{key}` here: a name has up to 64 letters, digits, `-`, `_` and `.`");
            report.note(mark, text);
        }
        let own = child(root, "listeners");
        if let Some(listeners) = own {
            let message = "a worker passes over it";
            report.warning(listeners.mark, "listeners", message, "write `worker_listeners`");
        }
        let listeners = read_all(settings.get("worker_listeners"), "worker_listeners", report);
        let elsewhere = host(shared, name);
        let process = Self { name: name.to_owned(), key, mark, app, settings, listeners, elsewhere };
        process.check_exposure(report);
        Some(process)
    }

    fn check_exposure(&self, report: &mut Report) {
        // A host of its own has a network of its own, as containers have.
        for listener in self.listeners.iter().filter(|_| self.elsewhere.is_none()) {
            listener.check_exposure(report);
        }
    }

    /// The listener that requests are forwarded to: the one with `client` that is nearest, else one with `federation`,
    /// else one with `media`. None of TLS, which is not spoken to Synapse.
    pub(super) fn door(&self) -> Option<&Listener<'f>> {
        let nearest = |resource: &str| {
            let fitting = self.listeners.iter().filter(|listener| listener.has(resource) && !listener.tls);
            fitting.filter(|it| it.kind == ListenerKind::Http).min_by_key(|listener| listener.reach())
        };
        nearest("client").or_else(|| nearest("federation")).or_else(|| nearest("media"))
    }

    /// The host to connect to, where the listener leaves it open.
    pub(super) fn host(&self, listener: &Listener<'_>) -> Option<&'f str> {
        self.elsewhere.filter(|_| listener.reach() == Reach::Everywhere)
    }
}

/// The host of a process that is not this one.
fn host<'f>(settings: &Settings<'f>, name: &str) -> Option<&'f str> {
    let (_, instance) = entries(settings.get("instance_map")?).iter().find(|(key, _)| key == name)?;
    let host = text(child(instance, "host")?)?;
    (!is_loopback(host) && !is_wildcard(host)).then_some(host)
}
