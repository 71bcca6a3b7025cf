//! `derive`: what Synapse's own configuration says for the gateway's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use structopt::StructOpt;

use super::{Exit, problems};
use crate::derive::{self, Derived, Kind, Note};
use crate::problem::{Location, Problem, Problems, Severity};
use crate::yaml::Source;

/// The largest file, in bytes, and one more.
const LARGEST: u64 = (1 << 20) + 1;
/// The most files.
const MOST: usize = 1_000;

/// Prints what Synapse's own configuration says for the gateway's, and what is wrong with it for a proxy
#[derive(Debug, StructOpt)]
pub(super) struct Derive {
    /// Prints a JSON object: the configuration, where each value comes from, notes, and the problems
    #[structopt(long)]
    json: bool,
    /// Synapse's files or directories, in Synapse's order; of /etc/matrix-synapse that means homeserver.yaml, conf.d and
    /// workers
    #[structopt(required = true, value_name = "PATH", parse(from_os_str))]
    paths: Vec<PathBuf>,
}

impl Derive {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let taken = derive(&self.paths, &[]);
        if self.json {
            let derived = taken.derived.as_ref().filter(|_| !taken.problems.has_errors());
            let (values, origins) = (derived.and_then(Derived::values), derived.map(Derived::origins));
            let notes: Vec<_> = taken.derived.iter().flat_map(Derived::notes).map(note).collect();
            let problems: Vec<_> = taken.problems.as_slice().iter().map(problems::object).collect();
            let told = json!({ "configuration": values, "origins": origins, "notes": notes, "problems": problems });
            writeln!(out, "{told:#}")?;
        } else {
            out.write_all(taken.text().unwrap_or_default().as_bytes())?;
            problems::print(&taken.problems, err)?;
        }
        Ok(taken.exit())
    }
}

fn note(note: &Note) -> Value {
    let Location { file, line, column } = &note.location;
    json!({ "file": file, "line": line, "column": column, "text": note.text })
}

/// What was taken from Synapse's files, and what was wrong with them.
#[derive(Debug)]
pub(super) struct Taken {
    derived: Option<Derived>,
    /// All that is wrong, unreadable files included.
    pub(super) problems: Problems,
    /// Whether a file was there and could not be read for want of rights.
    pub(super) denied: bool,
}

impl Taken {
    /// The configuration; None if anything is wrong.
    pub(super) fn text(&self) -> Option<&str> {
        self.derived.as_ref()?.text().filter(|_| !self.problems.has_errors())
    }

    /// How a command ends.
    pub(super) fn exit(&self) -> Exit {
        match (&self.derived, self.problems.has_errors()) {
            (None, _) => Exit::Failure,
            (Some(_), true) => Exit::Configuration,
            (Some(_), false) => Exit::Fine,
        }
    }
}

/// Reads Synapse's files. Where no workers are named, those beside the main configuration count.
pub(super) fn derive(config: &[PathBuf], workers: &[PathBuf]) -> Taken {
    let mut reading = Reading::default();
    for path in config {
        reading.configuration(path, workers.is_empty());
    }
    for path in workers {
        reading.any(path);
    }
    let Reading { sources, mut problems, denied, .. } = reading;
    // Wherever it is listed, a worker's file is a worker's.
    let (mut main, mut workers) = (Vec::new(), Vec::new());
    for (source, was_named) in sources {
        match derive::kind(&source) {
            Kind::Worker => workers.push(source),
            Kind::Other if !was_named => {}
            Kind::Main | Kind::Other => main.push(source),
        }
    }
    if main.is_empty() {
        if !problems.has_errors() {
            problems.error("", "there is no configuration of Synapse", "name homeserver.yaml or /etc/matrix-synapse");
        }
        return Taken { derived: None, problems, denied };
    }
    let derived = derive::derive(&main, &workers);
    for problem in derived.problems().as_slice() {
        problems.add(Problem::clone(problem));
    }
    Taken { derived: Some(derived), problems, denied }
}

#[derive(Default)]
struct Reading {
    /// Each with whether it was named itself, and does not merely lie in a directory.
    sources: Vec<(Source, bool)>,
    seen: BTreeSet<PathBuf>,
    problems: Problems,
    denied: bool,
}

impl Reading {
    /// A path of the main configuration. A directory with a `homeserver.yaml` is laid out as Debian does it.
    fn configuration(&mut self, path: &Path, with_workers: bool) {
        let homeserver = path.join("homeserver.yaml");
        if !homeserver.is_file() {
            self.any(path);
            return;
        }
        self.file(&homeserver, true);
        let beside = ["conf.d", "workers"].into_iter().take(if with_workers { 2 } else { 1 });
        for directory in beside.map(|name| path.join(name)).filter(|directory| directory.is_dir()) {
            self.any(&directory);
        }
    }

    /// A file, or the `*.yaml` files of a directory in the order of their names, but for configurations of logs and
    /// registrations of bridges that lie beside them.
    fn any(&mut self, path: &Path) {
        if !path.is_dir() {
            self.file(path, true);
            return;
        }
        let entries = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(path, &error),
        };
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        let hidden = |file: &PathBuf| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml") && !hidden(file));
        files.sort();
        for file in files {
            self.file(&file, false);
        }
    }

    fn file(&mut self, path: &Path, was_named: bool) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        if self.seen.len() > MOST {
            if self.seen.len() == MOST + 1 {
                self.problems.error("", format!("there are more than {MOST} files"), "name Synapse's files alone");
            }
            return;
        }
        let mut bytes = Vec::new();
        match File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
            Ok(_) => self.sources.push((Source { name: path.display().to_string(), bytes }, was_named)),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.denied |= error.kind() == io::ErrorKind::PermissionDenied;
        let (message, path) = (format!("cannot read {}: {error}", path.display()), String::new());
        let remedy =
            if error.kind() == io::ErrorKind::PermissionDenied { "run this as root" } else { "name another path" };
        self.problems.add(Problem {
            severity: Severity::Error,
            location: None,
            path,
            message,
            remedy: remedy.to_owned(),
        });
    }
}
