//! What is wrong with a configuration, where, and what to write instead.
//!
//! Rooms report problems by YAML path alone; only the loader knows which file and line a path came from, and fills
//! them in before anything is shown.

use std::fmt;

/// Whether a problem stops the gateway from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// `check` fails and `run` refuses to start.
    Error,
    /// Reported by `check` and logged by `run`; the configuration is used.
    Warning,
}

/// A place in a configuration file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file as the operator named it.
    pub file: String,
    /// The line of the key.
    pub line: usize,
    /// The column of the key, in characters.
    pub column: usize,
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the gateway.
    pub severity: Severity,
    /// The file and line, once the loader has looked them up.
    pub location: Option<Location>,
    /// The YAML path, such as `listeners[0].address`; empty for the whole file.
    pub path: String,
    /// What is wrong, as a lower-case clause.
    pub message: String,
    /// What to write or do instead, as an imperative clause; empty only where the message says it all.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Location { file, line, column }) = &self.location {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// All problems found so far, so that an operator mends them in one round.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Records something that stops the gateway.
    pub fn error(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Error, path.into(), message.into(), remedy.into());
    }

    /// Records something that works but is probably not meant.
    pub fn warning(&mut self, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) {
        self.push(Severity::Warning, path.into(), message.into(), remedy.into());
    }

    /// Adds a problem whose location is already known.
    pub fn add(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// These and others after them.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.list.extend(others.list);
        self
    }

    /// Whether any problem stops the gateway.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems in the order in which they were found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.list
    }

    /// Fills in the locations that are still missing.
    pub fn locate(&mut self, mut lookup: impl FnMut(&str) -> Option<Location>) {
        for problem in self.list.iter_mut().filter(|problem| problem.location.is_none()) {
            problem.location = lookup(&problem.path);
        }
    }

    fn push(&mut self, severity: Severity, path: String, message: String, remedy: String) {
        self.list.push(Problem { severity, location: None, path, message, remedy });
    }
}
