//! What the gateway needs of Synapse's own configuration, as a configuration file of its own.
//!
//! This room reads Synapse's keys and writes ours. It must not know what becomes of them, and opens no file. Every text in
//! Synapse's files may be a secret: only what is listed here is ever written down, and nothing else is quoted.

mod documents;
mod listeners;
mod page;
mod processes;
mod settings;

use std::collections::BTreeMap;

use self::page::Page;
use self::settings::Settings;
use crate::problem::Problems;
use crate::yaml::{Dialect, Findings, Mark, Node, Source, parse};

/// The most problems that are told.
const MAX_PROBLEMS: usize = 500;

/// What was derived.
#[derive(Debug)]
pub struct Derived {
    text: Option<String>,
    values: BTreeMap<String, String>,
    problems: Problems,
}

impl Derived {
    /// The configuration, each value with the place that it comes from; None if Synapse's files are wrong.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Where each value comes from, by its path.
    #[must_use]
    pub fn origins(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// What is wrong with Synapse's files, or does not fit together.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }
}

/// Whether a file is a worker's own: the main process has no name, and no program of its own.
#[must_use]
pub fn is_worker(source: &Source) -> bool {
    let file = parse(0, &source.bytes, Dialect::Synapse, &mut Findings::default());
    let app = |node: &Node| node.text().is_some_and(|app| app != "synapse.app.homeserver");
    file.is_some_and(|file| file.key("worker_name").is_some() || file.key("worker_app").is_some_and(app))
}

/// What is found while keys are read.
struct Study<'a> {
    names: Vec<&'a str>,
    findings: Findings,
    page: Page,
}

/// Derives a configuration from the files of Synapse's main process, in Synapse's order, and one file for each worker.
#[must_use]
pub fn derive(main: &[Source], workers: &[Source]) -> Derived {
    let names: Vec<&str> = main.iter().chain(workers).map(|source| source.name.as_str()).collect();
    let mut findings = Findings::with_room_for(MAX_PROBLEMS);
    let mut read = |index: usize, source: &Source| parse(index, &source.bytes, Dialect::Synapse, &mut findings);
    let main_files: Vec<Node> = main.iter().enumerate().filter_map(|(index, source)| read(index, source)).collect();
    let worker_files: Vec<Node> =
        workers.iter().enumerate().filter_map(|(index, source)| read(main.len() + index, source)).collect();
    let settings = Settings::merged(&main_files);
    let mut study = Study { page: Page::default(), names, findings };
    if settings.get("server_name").is_none() && !study.findings.has_errors() {
        let message = "there is no `server_name`, which Synapse does not start without";
        study.findings.error(Mark::default(), String::new(), message, "name homeserver.yaml and conf.d");
    }
    study.names_and_limits(&settings);
    study.processes(&settings, &worker_files.iter().map(|file| settings.with(file)).collect::<Vec<_>>());
    study.documents(&settings);
    let Study { names, findings, page } = study;
    let text = (!findings.has_errors()).then(|| page.text(&names));
    Derived { text, values: page.origins(&names), problems: findings.tell(&names) }
}

impl Study<'_> {
    /// Something works and is probably not meant.
    fn warn(&mut self, mark: Mark, message: impl Into<String>, remedy: &str) {
        use crate::problem::Severity;
        self.findings.add(Severity::Warning, mark, String::new(), message.into(), remedy.to_owned());
    }

    fn names_and_limits(&mut self, settings: &Settings) {
        if let Some(name) = settings.get("server_name") {
            self.page.text_at("server_name", name);
        }
        match settings.get("public_baseurl") {
            Some(url) => {
                if let Some(text) = url.text() {
                    if !text.starts_with("https://") {
                        self.warn(
                            url.mark,
                            "`public_baseurl` is not an https URL",
                            "clients connect over TLS: write https://",
                        );
                    }
                }
                self.page.text_at("public_baseurl", url);
            }
            None if self.findings.has_errors() => {}
            None => {
                let mark = settings.get("server_name").map_or_else(Mark::default, |name| name.mark);
                let remedy = "set it to the URL that clients use";
                self.warn(
                    mark,
                    "there is no `public_baseurl`, so that clients are told of https and the server name",
                    remedy,
                );
            }
        }
        if let Some(size) = settings.get("max_upload_size") {
            self.page.value_at("limits.body", size);
        }
    }
}
