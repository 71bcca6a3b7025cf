//! How Synapse joins its files: one after the other, and a top-level key of a later one replaces that of an earlier one
//! as a whole (`synapse/config/_base.py`, `read_config_files`). A worker reads its own file after all others.

use std::collections::BTreeMap;

use super::report::Report;
use super::value::is_set;
use crate::yaml::{Content, Dialect, Mark, Node, Source, parse};

/// The files as they were read.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) main: Vec<Node>,
    pub(super) workers: Vec<Node>,
}

/// What holds for one process.
#[derive(Debug)]
pub(super) struct Settings<'f> {
    values: BTreeMap<&'f str, &'f Node>,
    /// Where the file begins that says least about others: where what is missing would stand.
    pub(super) start: Mark,
}

impl Files {
    /// Reads all files; None if one cannot be read.
    pub(super) fn read(main: &[Source], workers: &[Source], report: &mut Report) -> Option<Self> {
        let mut readable = true;
        let mut first = 0;
        let mut all = |sources: &[Source], report: &mut Report| {
            let mut roots = Vec::new();
            for (index, source) in sources.iter().enumerate() {
                let source_index = first + index;
                let told = report.findings.has_errors();
                let root = parse(source_index, &source.bytes, Dialect::Synapse, &mut report.findings);
                readable &= told || !report.findings.has_errors();
                match root {
                    Some(node @ Node { content: Content::Mapping(_), .. }) => roots.push(node),
                    Some(node) => {
                        let message = "the file holds no keys, and Synapse passes it over";
                        report.warning(node.mark, "", message, "write `key: value` lines, or remove it");
                    }
                    None => {}
                }
            }
            first += sources.len();
            roots
        };
        let (main, workers) = (all(main, report), all(workers, report));
        // Only what stopped or marred the reading is an error up to here.
        (readable && !report.findings.has_errors()).then_some(Self { main, workers })
    }

    /// What holds for a process that reads these files after the main ones.
    pub(super) fn settings<'f>(&'f self, own: &[&'f Node]) -> Settings<'f> {
        let mut values = BTreeMap::new();
        let all = self.main.iter().chain(own.iter().copied());
        for (key, node) in all.clone().flat_map(super::value::entries) {
            values.insert(key.as_str(), node);
        }
        let start = own.last().copied().or(self.main.first()).map_or_else(Mark::default, |root| root.mark);
        Settings { values, start: Mark { line: 1, column: 1, ..start } }
    }

    /// Keys of which an earlier file says something that does not hold.
    pub(super) fn note_replaced(&self, report: &mut Report) {
        let mut seen: BTreeMap<&str, &Node> = BTreeMap::new();
        for (key, node) in self.main.iter().flat_map(super::value::entries) {
            let Some(earlier) = seen.insert(key, node) else { continue };
            // Which keys there are besides those that are read here is none of the reader's business.
            if READ.contains(&key.as_str()) && !earlier.same_as(node) {
                let whole = if matches!(node.content, Content::Scalar { .. }) { "" } else { " as a whole" };
                let text = format!("`{key}` replaces that of {}{whole}", report.place(earlier.mark));
                report.note(node.mark, text);
            }
        }
    }
}

impl<'f> Settings<'f> {
    /// The value of a top-level key, unless there is none.
    pub(super) fn get(&self, key: &str) -> Option<&'f Node> {
        self.values.get(key).copied().filter(|node| is_set(node))
    }

    /// The value of a key below a top-level one.
    pub(super) fn below(&self, section: &str, key: &str) -> Option<&'f Node> {
        super::value::child(self.get(section)?, key)
    }

    /// The text under a key; anything else is an error.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<(&'f str, Mark)> {
        let node = self.get(key)?;
        let text = super::value::text(node);
        if text.is_none() {
            report.error(node.mark, key, "is not a text", "write one");
        }
        Some((text?, node.mark))
    }
}

/// The top-level keys that anything is taken from.
const READ: [&str; 24] = [
    "cas_config",
    "default_identity_server",
    "enable_media_repo",
    "experimental_features",
    "extra_well_known_client_content",
    "federation_sender_instances",
    "instance_map",
    "listeners",
    "matrix_authentication_service",
    "matrix_rtc",
    "max_upload_size",
    "media_instance_running_background_jobs",
    "modules",
    "notify_appservices_from_worker",
    "oidc_providers",
    "public_baseurl",
    "pusher_instances",
    "redis",
    "run_background_tasks_on",
    "serve_server_wellknown",
    "server_name",
    "stream_writers",
    "update_user_directory_from_worker",
    "web_client_location",
];
