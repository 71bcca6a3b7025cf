//! Problems while their files are still at hand: bounded in number, and told in the order of the files.

use crate::problem::{Location, Problem, Problems, Severity};

/// The most problems that are told at once unless another number is chosen; a file with more is not the file that was
/// meant.
const MAX_PROBLEMS: usize = 100;

/// A place in one of the sources; lines and columns count from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// The index of the source.
    pub(crate) source: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What was found so far.
#[derive(Debug)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    most: usize,
    /// The worst of those for which there was no room.
    more: Option<Severity>,
}

impl Default for Findings {
    fn default() -> Self {
        Self::with_room_for(MAX_PROBLEMS)
    }
}

#[derive(Debug)]
struct Finding {
    severity: Severity,
    mark: Mark,
    path: String,
    message: String,
    remedy: String,
}

impl Findings {
    pub(crate) fn with_room_for(most: usize) -> Self {
        Self { list: Vec::new(), most, more: None }
    }

    pub(crate) fn error(&mut self, mark: Mark, path: String, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, mark, path, message.into(), remedy.into());
    }

    pub(crate) fn add(&mut self, severity: Severity, mark: Mark, path: String, message: String, remedy: String) {
        if self.list.len() < self.most {
            self.list.push(Finding { severity, mark, path, message, remedy });
        } else if self.more != Some(Severity::Error) {
            self.more = Some(severity);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.more.is_some()
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Takes back what was found after the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.list.truncate(count);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.more == Some(Severity::Error) || self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The problems from top to bottom, file by file. `names` are the names of the sources.
    pub(crate) fn tell(mut self, names: &[&str]) -> Problems {
        self.list.sort_by_key(|finding| finding.mark);
        let mut problems = Problems::default();
        for Finding { severity, mark, path, message, remedy } in self.list {
            let location = names.get(mark.source).map(|file| Location {
                file: (*file).to_owned(),
                line: mark.line.max(1),
                column: mark.column.max(1),
            });
            problems.add(Problem { severity, location, path, message, remedy });
        }
        if let Some(severity) = self.more {
            let message = format!("there are more than {} problems", self.most);
            let (path, remedy) = (String::new(), "mend these first".to_owned());
            problems.add(Problem { severity, location: None, path, message, remedy });
        }
        problems
    }
}

/// A text from a file, fit for one line of a terminal.
pub(crate) fn short(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// [`short`] in backticks.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", short(text))
}

/// A control character could rewrite what a terminal already shows.
fn escape(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}
