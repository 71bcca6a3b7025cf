//! The configuration that is written: each value on a line, with the place that it comes from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::yaml::{Mark, Node, resolve};

/// Where the places begin, unless a line is longer.
const COLUMN: usize = 56;

/// Values by their paths, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Page {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    path: Vec<String>,
    /// As it is written.
    value: String,
    origin: Mark,
    note: String,
}

impl Page {
    /// A text, under a path such as `well_known.server`.
    pub(super) fn text_at(&mut self, path: &str, node: &Node) {
        if let Some(text) = node.text() {
            self.set(path, scalar(text), node.mark);
        }
    }

    /// A number or a text, as it was written.
    pub(super) fn value_at(&mut self, path: &str, node: &Node) {
        match node.value() {
            Some(serde_yaml::Value::Number(number)) => self.set(path, number.to_string(), node.mark),
            Some(_) | None => self.text_at(path, node),
        }
    }

    /// A value that is written already.
    pub(super) fn set(&mut self, path: &str, value: String, origin: Mark) {
        self.set_noted(path.split('.').map(str::to_owned).collect(), value, origin, String::new());
    }

    /// A value with a word on why it is what it is.
    pub(super) fn set_noted(&mut self, path: Vec<String>, value: String, origin: Mark, note: String) {
        self.lines.push(Line { path, value, origin, note });
    }

    /// Where each value comes from.
    pub(super) fn origins(&self, names: &[&str]) -> BTreeMap<String, String> {
        self.lines.iter().map(|line| (line.path.join("."), place(line.origin, names))).collect()
    }

    /// The file.
    pub(super) fn text(&self, names: &[&str]) -> String {
        let mut text =
            "# Derived from Synapse's configuration. What is written elsewhere counts instead, key by key.\n"
                .to_owned();
        // A section stands together, where it began.
        let mut sections: Vec<&str> = Vec::new();
        for top in self.lines.iter().filter_map(|line| line.path.first()) {
            if !sections.contains(&top.as_str()) {
                sections.push(top);
            }
        }
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| sections.iter().position(|top| line.path.first().is_some_and(|first| first == top)));
        let mut open: Vec<&str> = Vec::new();
        for line in lines {
            let Some((key, sections)) = line.path.split_last() else { continue };
            let shared = open.iter().zip(sections).take_while(|(known, wanted)| **known == wanted.as_str()).count();
            open.truncate(shared);
            for section in sections.iter().skip(shared) {
                let _ = writeln!(text, "{}{}:", "  ".repeat(open.len()), scalar(section));
                open.push(section);
            }
            let written = format!("{}{}: {}", "  ".repeat(open.len()), scalar(key), line.value);
            let place = place(line.origin, names);
            let note = if line.note.is_empty() { String::new() } else { format!(": {}", line.note) };
            let _ = writeln!(text, "{written:COLUMN$}  # {place}{note}");
        }
        text
    }
}

/// The file and line.
fn place(mark: Mark, names: &[&str]) -> String {
    let name = names.get(mark.source).copied().unwrap_or_default();
    // A name ends no comment.
    let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("{name}:{}", mark.line.max(1))
}

/// A text as YAML: as it is where that is the same text, else in quotes.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-');
    let plain = text.chars().all(is_plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && resolve(text).is_string();
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

/// A list on one line.
pub(super) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", items.into_iter().map(scalar).collect::<Vec<_>>().join(", "))
}
