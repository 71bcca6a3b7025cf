//! How problems of a configuration are printed.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::problem::{Location, Problem, Problems, Severity};

/// One line for each problem, `file:line:column: error: path: message; remedy`, and their numbers below.
pub(super) fn print(problems: &Problems, out: &mut dyn Write) -> io::Result<()> {
    for problem in problems.as_slice() {
        writeln!(out, "{problem}")?;
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
