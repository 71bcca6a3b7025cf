//! Problems and notes, while they are collected.

use super::Note;
use crate::problem::{Location, Problems, Severity};
use crate::yaml::{Findings, Mark};

/// A large deployment has some warnings for each of its workers.
const MAX_PROBLEMS: usize = 1000;
/// The most notes; each is about one process or key.
const MAX_NOTES: usize = 2000;

#[derive(Debug)]
pub(super) struct Report<'a> {
    files: &'a [String],
    pub(super) findings: Findings,
    notes: Vec<(Mark, String)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(files: &'a [String]) -> Self {
        Self { files, findings: Findings::with_room_for(MAX_PROBLEMS), notes: Vec::new() }
    }

    /// Synapse does not start with this, or nothing could be forwarded.
    pub(super) fn error(
        &mut self,
        mark: Mark,
        path: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.add(Severity::Error, mark, path.into(), message.into(), remedy.into());
    }

    /// Synapse starts, and yet it is probably not meant.
    pub(super) fn warning(
        &mut self,
        mark: Mark,
        path: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.add(Severity::Warning, mark, path.into(), message.into(), remedy.into());
    }

    pub(super) fn note(&mut self, mark: Mark, text: impl Into<String>) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push((mark, text.into()));
        }
    }

    /// A place as it is written in a message: `file:line`.
    pub(super) fn place(&self, mark: Mark) -> String {
        place(self.files, mark)
    }

    /// Everything in the order of the files.
    pub(super) fn tell(mut self) -> (Problems, Vec<Note>) {
        let names: Vec<&str> = self.files.iter().map(String::as_str).collect();
        self.notes.sort_by_key(|(mark, _)| *mark);
        let location = |mark: Mark| Location {
            file: self.files.get(mark.source).cloned().unwrap_or_default(),
            line: mark.line,
            column: mark.column,
        };
        let notes = self.notes.into_iter().map(|(mark, text)| Note { location: location(mark), text }).collect();
        (self.findings.tell(&names), notes)
    }
}

pub(super) fn place(files: &[String], mark: Mark) -> String {
    format!("{}:{}", files.get(mark.source).map_or("", String::as_str), mark.line)
}
