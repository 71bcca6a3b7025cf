//! How problems of a configuration are printed.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::edge::journal;
use crate::problem::{Location, Problem, Problems, Severity};

/// One line for each problem, `file:line:column: error: path: message; remedy`, and their numbers below.
pub(super) fn print(problems: &Problems, out: &mut dyn Write) -> io::Result<()> {
    write(problems, out, |_| "")
}

/// As [`print()`], to standard error, for commands that the service runs: the journal learns how severe each line is.
pub(super) fn report(problems: &Problems, err: &mut dyn Write) -> io::Result<()> {
    write(problems, err, |severity| match severity {
        Severity::Error => journal::prefix(log::Level::Error),
        Severity::Warning => journal::prefix(log::Level::Warn),
    })
}

fn write(problems: &Problems, out: &mut dyn Write, prefix: impl Fn(Severity) -> &'static str) -> io::Result<()> {
    for problem in problems.as_slice() {
        writeln!(out, "{}{problem}", prefix(problem.severity))?;
    }
    writeln!(out, "{}, {}", count(problems, Severity::Error, "error"), count(problems, Severity::Warning, "warning"))
}

/// An array with one object for each problem. `file`, `line` and `column` are null where no place is to blame.
pub(super) fn print_json(problems: &Problems, out: &mut dyn Write) -> io::Result<()> {
    let list: Vec<Value> = problems.as_slice().iter().map(object).collect();
    writeln!(out, "{:#}", Value::Array(list))
}

/// A problem for scripts.
pub(super) fn object(problem: &Problem) -> Value {
    let Problem { severity, location, path, message, remedy } = problem;
    let (file, line, column) = match location {
        Some(Location { file, line, column }) => (Some(file), Some(line), Some(column)),
        None => (None, None, None),
    };
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity, "file": file, "line": line, "column": column,
        "path": path, "message": message, "remedy": remedy,
    })
}

fn count(problems: &Problems, severity: Severity, word: &str) -> String {
    let number = problems.as_slice().iter().filter(|problem| problem.severity == severity).count();
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}
