//! Which worker writes what, and which worker has another duty (`synapse/config/workers.py`).

use std::collections::BTreeMap;

use super::process::Processes;
use super::report::Report;
use super::value::{entries, texts};
use crate::role::{Role, Stream};
use crate::yaml::Mark;

/// What processes write, by their names.
#[derive(Debug, Default)]
pub(super) struct Writers(BTreeMap<String, Vec<Written>>);

/// A stream that a process writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// None for the events, which no request is for.
    pub(super) stream: Option<Stream>,
    pub(super) mark: Mark,
}

/// Keys that name the workers with a duty. None of these is a matter of requests.
const DUTIES: [&str; 6] = [
    "federation_sender_instances",
    "pusher_instances",
    "run_background_tasks_on",
    "notify_appservices_from_worker",
    "update_user_directory_from_worker",
    "media_instance_running_background_jobs",
];

/// The main process's name in every key but `instance_map`.
const MASTER: &str = "master";

impl Writers {
    /// Reads `stream_writers`, and holds all that names a worker against the workers that there are.
    pub(super) fn read(processes: &Processes, report: &mut Report) -> Self {
        let settings = &processes.main.settings;
        let mut writers = Self::default();
        let mut named: Vec<(&str, String, Mark)> = Vec::new();
        let instances = settings.get("instance_map").map(entries).unwrap_or_default();
        if let Some(worker) = processes.workers.first().filter(|_| !instances.iter().any(|(name, _)| name == "main")) {
            let mark = settings.get("instance_map").map_or(settings.start, |map| map.mark);
            let message = format!("workers such as `{}` do not start without `main` in it", worker.name);
            let remedy = "add the main process's listener with `names: [replication]`, as in main: {host: 127.0.0.1, \
                          port: 9093}";
            report.warning(mark, "instance_map", message, remedy);
        }
        for (key, node) in settings.get("stream_writers").map(entries).unwrap_or_default() {
            let stream = stream(key);
            let is_known = stream.is_some() || key == "events";
            let path = if is_known { format!("stream_writers.{key}") } else { "stream_writers".to_owned() };
            let Some(list) = texts(node) else {
                report.error(node.mark, path, "names nobody", "write the name of a worker, or remove the key");
                continue;
            };
            if !is_known {
                let message = "the stream here is not one that the gateway knows, nor Synapse 1.163";
                report.warning(node.mark, &path, message, "check its spelling, or look for a newer gateway");
            }
            if list.len() > 1 && stream.is_some_and(|stream| Role::Stream(stream).is_single()) {
                report.error(node.mark, &path, "is written by one process alone", "name one");
            }
            for (name, mark) in list {
                if name == MASTER {
                    continue;
                }
                if name == "main" {
                    let message = "`main` is the main process's name in `instance_map` alone";
                    report.error(mark, &path, message, "write master, or remove the key");
                    continue;
                }
                if !instances.iter().any(|(instance, _)| instance == name) {
                    let message = format!("`{}` is not in `instance_map`", crate::yaml::short(name));
                    report.error(mark, &path, message, "add where its listener with `names: [replication]` is");
                }
                named.push((name, path.clone(), mark));
                if is_known {
                    writers.add(name, Written { stream, mark });
                }
            }
        }
        for (name, node) in instances.iter().filter(|(name, _)| name != "main" && name != MASTER) {
            named.push((name, format!("instance_map.{}", crate::yaml::short(name)), node.mark));
        }
        for (key, node) in DUTIES.iter().filter_map(|key| Some((*key, settings.get(key)?))) {
            let list = texts(node).unwrap_or_default();
            named.extend(list.into_iter().map(|(name, mark)| (name, key.to_owned(), mark)));
        }
        warn_of_strangers(processes, named, report);
        writers
    }

    fn add(&mut self, name: &str, written: Written) {
        let list = self.0.entry(name.to_owned()).or_default();
        // Of two writers where there is one, Synapse starts with neither.
        list.push(written);
    }

    /// What a process writes, in the order of the file.
    pub(super) fn of(&self, name: &str) -> &[Written] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of those that write a stream before this one does, for streams with one writer.
    pub(super) fn is_first(&self, written: Written) -> bool {
        let Some(stream) = written.stream.filter(|stream| Role::Stream(*stream).is_single()) else { return true };
        let mut marks = self.0.values().flatten().filter(|other| other.stream == Some(stream)).map(|other| other.mark);
        marks.all(|mark| written.mark <= mark)
    }
}

fn stream(name: &str) -> Option<Stream> {
    match format!("stream.{name}").parse() {
        Ok(Role::Stream(stream)) => Some(stream),
        Ok(_) | Err(_) => None,
    }
}

/// Each worker that is named somewhere and has no file, once.
fn warn_of_strangers(processes: &Processes, named: Vec<(&str, String, Mark)>, report: &mut Report) {
    let mut told = Vec::new();
    for (name, path, mark) in named {
        if name == MASTER || processes.worker(name).is_some() || told.contains(&name) {
            continue;
        }
        told.push(name);
        let message = format!("no file of a worker `{}` was given", crate::yaml::short(name));
        report.warning(mark, path, message, "name its file or directory too, or remove the worker here");
    }
}

/// The duties of a worker, by the keys that name it.
pub(super) fn duties<'k>(processes: &Processes, name: &str) -> Vec<&'k str> {
    let settings = &processes.main.settings;
    let has = |key: &&&str| {
        let list = settings.get(key).and_then(texts).unwrap_or_default();
        list.iter().any(|(named, _)| *named == name)
    };
    DUTIES.iter().filter(has).copied().collect()
}
