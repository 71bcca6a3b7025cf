//! The configuration that comes out, value by value with its origin, and how it is written down.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::Note;
use super::report::place;
use crate::yaml::Mark;

/// Where comments begin at the latest, unless their line is longer.
const MAX_COLUMN: usize = 60;

/// Keys with values, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Document(Vec<Entry>);

/// A key.
#[derive(Debug)]
pub(super) struct Entry {
    key: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Value(Value, Origin),
    Section(Vec<Entry>),
}

/// Where a value comes from, and why it is what it is where that is not plain.
#[derive(Debug)]
struct Origin {
    mark: Mark,
    why: Option<&'static str>,
}

impl Entry {
    pub(super) fn value(key: impl Into<String>, value: impl Into<Value>, mark: Mark) -> Self {
        Self { key: key.into(), body: Body::Value(value.into(), Origin { mark, why: None }) }
    }

    pub(super) fn because(key: impl Into<String>, value: impl Into<Value>, mark: Mark, why: &'static str) -> Self {
        Self { key: key.into(), body: Body::Value(value.into(), Origin { mark, why: Some(why) }) }
    }

    pub(super) fn section(key: impl Into<String>, entries: Vec<Self>) -> Self {
        Self { key: key.into(), body: Body::Section(entries) }
    }

    fn json(&self) -> Value {
        match &self.body {
            Body::Value(value, _) => value.clone(),
            Body::Section(entries) => object(entries),
        }
    }
}

fn object(entries: &[Entry]) -> Value {
    Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.json())).collect::<Map<_, _>>())
}

impl Document {
    /// Adds a key, unless it is a section without anything in it.
    pub(super) fn push(&mut self, entry: Entry) {
        if !matches!(&entry.body, Body::Section(entries) if entries.is_empty()) {
            self.0.push(entry);
        }
    }

    pub(super) fn json(&self) -> Value {
        object(&self.0)
    }

    /// Where each value comes from, by its path.
    pub(super) fn origins(&self, files: &[String]) -> BTreeMap<String, String> {
        fn collect(entries: &[Entry], path: &str, files: &[String], found: &mut BTreeMap<String, String>) {
            for entry in entries {
                let path = format!("{path}{}", entry.key);
                match &entry.body {
                    Body::Section(entries) => collect(entries, &format!("{path}."), files, found),
                    Body::Value(_, origin) => {
                        found.insert(path, origin.shown(files));
                    }
                }
            }
        }
        let mut found = BTreeMap::new();
        collect(&self.0, "", files, &mut found);
        found
    }

    pub(super) fn yaml(&self, files: &[String], notes: &[Note]) -> String {
        let mut text = String::from(
            "# Derived from Synapse's configuration, which does not know of `listeners` and `tls`. What is written \
             elsewhere\n# counts instead, key by key.\n",
        );
        let mut lines = Vec::new();
        for entry in &self.0 {
            write_entry(entry, 0, files, &mut lines);
        }
        let commented = lines.iter().filter(|(_, origin)| origin.is_some());
        let longest = commented.map(|(line, _)| line.chars().count()).filter(|length| *length <= MAX_COLUMN).max();
        let column = longest.unwrap_or_default();
        for (line, origin) in &lines {
            // Writing to a text cannot fail.
            let _ = match origin {
                Some(origin) => writeln!(text, "{line:column$}  # {}", escaped(origin)),
                None => writeln!(text, "{line}"),
            };
        }
        let places = notes.iter().map(|note| format!("{}:{}: {}", note.location.file, note.location.line, note.text));
        for line in places {
            text.extend(["# ", &escaped(&line), "\n"]);
        }
        text
    }
}

impl Origin {
    fn shown(&self, files: &[String]) -> String {
        let why = self.why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("{}{why}", place(files, self.mark))
    }
}

/// A line break in a file's name would end the comment.
fn escaped(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    text.chars().flat_map(|c| if is_break(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}

fn write_entry(entry: &Entry, depth: usize, files: &[String], lines: &mut Vec<(String, Option<String>)>) {
    let key = format!("{:1$}{2}:", "", depth * 2, scalar(&entry.key));
    match &entry.body {
        Body::Section(entries) => {
            lines.push((key, None));
            for entry in entries {
                write_entry(entry, depth + 1, files, lines);
            }
        }
        Body::Value(value, origin) => lines.push((format!("{key} {}", flow(value)), Some(origin.shown(files)))),
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text, in quotes unless nobody could take it for anything else: what JSON writes is YAML too.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan"];
    let is_url = text.starts_with("https://") || text.starts_with("http://");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/') || (is_url && c == ':');
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    let is_size = text.strip_suffix("iB").is_some_and(|size| size.starts_with(|c: char| c.is_ascii_digit()));
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') || is_size;
    if begins_well && !text.ends_with(':') && !is_word && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::new();
    for c in Value::from(text).to_string().chars() {
        // YAML has fewer characters that may stand as they are than JSON.
        if matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}') {
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}
