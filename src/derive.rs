//! What Synapse's own configuration says about the gateway's.
//!
//! This room knows Synapse's keys, what they default to and how its files are merged; and it knows the names of the
//! gateway's keys, but not their sections, which check what comes out of here like anything that an operator writes. It
//! opens no file. What it reads is full of secrets: only values that are meant for it, or public, stand in what it
//! returns.

mod clashes;
mod document;
mod files;
mod listener;
mod media;
mod names;
mod process;
mod remaining;
mod rendezvous;
mod report;
mod roles;
mod server;
mod sign_in;
mod streams;
mod upstreams;
mod value;
mod well_known;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::problem::{Location, Problems};
use crate::yaml::{Content, Dialect, Findings, Source, parse};
use document::Document;
use files::Files;
use process::Processes;
use report::Report;
use streams::Writers;

/// The gateway's configuration, as far as Synapse's decides it.
#[derive(Debug)]
pub struct Derived {
    text: Option<String>,
    values: Value,
    origins: BTreeMap<String, String>,
    notes: Vec<Note>,
    problems: Problems,
}

/// What was decided that is not plain from a value alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What in Synapse's configuration it is about.
    pub location: Location,
    /// A sentence.
    pub text: String,
}

/// What a file is to Synapse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Configuration that all processes read; also a file that cannot be read.
    Main,
    /// The file of one worker.
    Worker,
    /// Something else that lies beside them: the configuration of the log, or the registration of a bridge.
    Other,
}

/// What a file is to Synapse, by its keys.
#[must_use]
pub fn kind(source: &Source) -> Kind {
    let Some(root) = parse(0, &source.bytes, Dialect::Synapse, &mut Findings::default()) else { return Kind::Main };
    let Content::Mapping(entries) = &root.content else { return Kind::Main };
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if has("worker_app") || has("worker_name") {
        Kind::Worker
    } else if (has("version") && has("handlers")) || (has("as_token") && has("hs_token")) {
        Kind::Other
    } else {
        Kind::Main
    }
}

/// Derives the gateway's configuration from the files that all processes of Synapse read, in Synapse's order, and those
/// that one worker each reads besides.
#[must_use]
pub fn derive(main: &[Source], workers: &[Source]) -> Derived {
    let names: Vec<String> = main.iter().chain(workers).map(|source| source.name.clone()).collect();
    let mut report = Report::new(&names);
    let mut document = Document::default();
    // With a file that cannot be read, its keys would seem to be missing.
    if let Some(files) = Files::read(main, workers, &mut report) {
        describe(&files, &mut document, &mut report);
    }
    let (problems, notes) = report.tell();
    let text = (!problems.has_errors()).then(|| document.yaml(&names, &notes));
    Derived { text, values: document.json(), origins: document.origins(&names), notes, problems }
}

fn describe(files: &Files, document: &mut Document, report: &mut Report) {
    let processes = Processes::read(files, report);
    let writers = Writers::read(&processes, report);
    clashes::check(&processes, report);
    server::describe(&processes, document, report);
    let shown = upstreams::describe(&processes, &writers, document, report);
    server::describe_limits(&processes, &shown, document, report);
    server::describe_request_id(&shown, document, report);
    let settings = &processes.main.settings;
    well_known::describe(settings, document, report);
    rendezvous::describe(&processes, document, report);
    sign_in::describe(settings, document, report);
    remaining::describe(settings, report);
    well_known::describe_root(settings, document, report);
}

impl Derived {
    /// A configuration file, complete but for what Synapse does not know (`listeners` and `tls`), with the origin of
    /// each value beside it and the notes at its end; None if Synapse's files are wrong.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The same as values; None if Synapse's files are wrong.
    #[must_use]
    pub fn values(&self) -> Option<&Value> {
        self.text.is_some().then_some(&self.values)
    }

    /// Where each value comes from, by its path.
    #[must_use]
    pub fn origins(&self) -> &BTreeMap<String, String> {
        &self.origins
    }

    /// What was decided, and why.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What is wrong with Synapse's configuration, or does not suit a proxy in front of it.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }
}

#[cfg(test)]
mod tests;
