//! The manual page of the configuration: the cards of the reference file, in roff.
//!
//! A key is named by its whole path, so that `/listeners.tls` finds it in a pager.

use std::fmt::Write;

use schemars::JsonSchema;
use serde_json::Value;

use super::{ANY_NAME, forms, text, words};
use crate::config::schema::{Schema, Shapes};
use crate::config::section::ConfigSection;

const HEAD: &str = include_str!("man/head.5");
const TAIL: &str = include_str!("man/tail.5");

/// The manual page `synapse-gateway.yaml(5)`.
#[must_use]
pub fn man() -> String {
    format!("{HEAD}{}{TAIL}", man_of::<ConfigSection>())
}

/// The entries of [`man()`] for any root.
#[must_use]
pub fn man_of<T: JsonSchema>() -> String {
    let schema = Schema::of::<T>();
    let mut page = String::new();
    keys(&mut page, &schema.root(), None, "");
    page
}

/// The entries of a section's keys. `defaults` is what the section around it sets by default, over the keys' own.
fn keys(page: &mut String, shapes: &Shapes<'_>, defaults: Option<&Value>, above: &str) {
    let required = shapes.required_keys();
    for shape in shapes.iter() {
        let properties = shape.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let inner = shapes.sibling(schema);
            let default = defaults.and_then(|values| values.get(name)).or_else(|| schema.get("default"));
            let set = default.filter(|value| !value.is_null());
            let is_section = !inner.known_keys().is_empty() && set.is_some_and(Value::is_object);
            let path = format!("{above}{name}");
            if above.is_empty() {
                let _ = writeln!(page, ".SS {}", literal(&path));
            } else {
                let _ = writeln!(page, ".TP\n.B {}", literal(&path));
            }
            for (index, paragraph) in text(schema, &inner).split("\n\n").enumerate() {
                let _ = write!(page, "{}{}", if index > 0 { ".IP\n" } else { "" }, prose(paragraph));
            }
            if !is_section {
                let space = if above.is_empty() { ".PP\n" } else { ".IP\n" };
                let _ = write!(page, "{space}{}", prose(&forms(&inner, set, required.contains(&name.as_str()))));
                for (word, meaning) in words(&inner) {
                    let _ = write!(page, "{space}{}", prose(&format!("`{word}`: {meaning}")));
                }
            }
            below(page, &inner, default, &path);
        }
    }
}

/// What stands below a key: its own keys, those of its items, or those under names of the operator's choice.
fn below(page: &mut String, inner: &Shapes<'_>, default: Option<&Value>, path: &str) {
    if !inner.known_keys().is_empty() {
        return keys(page, inner, default, &format!("{path}."));
    }
    let item = inner.item();
    if !item.known_keys().is_empty() {
        return keys(page, &item, None, &format!("{path}[]."));
    }
    if let Some(entry) = inner.key(ANY_NAME).filter(|entry| !entry.known_keys().is_empty()) {
        keys(page, &entry, None, &format!("{path}.{ANY_NAME}."));
    }
}

/// A paragraph as one line of input, with what stands between backticks in bold.
fn prose(paragraph: &str) -> String {
    let mut line = String::new();
    for (index, part) in paragraph.split('`').enumerate() {
        let words = part.split_whitespace().collect::<Vec<_>>().join(" ");
        let (before, after) = (part.starts_with(char::is_whitespace), part.ends_with(char::is_whitespace));
        let spaced =
            format!("{}{words}{}", if before { " " } else { "" }, if after && !words.is_empty() { " " } else { "" });
        if index % 2 == 0 {
            line.push_str(&escape(&spaced));
        } else {
            let _ = write!(line, "\\fB{}\\fR", literal(words.as_str()));
        }
    }
    format!("\\&{}\n", line.trim())
}

/// Text that is to be copied: its hyphens are the ones that are typed, and no quote is made a curly one.
pub(crate) fn literal(text: &str) -> String {
    escape(text).replace('-', "\\-").replace('\'', "\\(aq").replace('^', "\\(ha").replace('~', "\\(ti")
}

/// Text in which roff sees nothing of its own. A line must not begin with it unless `\&` goes before.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('"', "\\(dq")
}
