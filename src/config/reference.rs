//! The reference file: every key as a card, in a file that can be loaded and sets every default.
//!
//! A card has the key's meaning, which is its doc comment, then what it may be set to, its default and the key itself.
//! A key without a default is commented out; with the `#` in front of it removed, it stands where it belongs.
//!
//! The same cards make the manual page ([`man()`]).

mod man;

use std::fmt::Write;

use schemars::JsonSchema;
use serde_json::Value;

use super::schema::{Schema, Shapes};
use super::section::ConfigSection;
use crate::yaml::resolve;

#[cfg(feature = "edge")]
pub(crate) use man::{escape, literal};
pub use man::{man, man_of};

/// The columns of a comment, as far as words can be wrapped to it.
const WIDTH: usize = 100;
/// The name of the entry that stands for all in a section whose names the operator chooses.
const ANY_NAME: &str = "NAME";

/// The reference of the gateway's configuration.
#[must_use]
pub fn reference() -> String {
    let head = "# Every key of synapse-gateway's configuration, with its default.\n\
                # Written by `synapse-gateway reference`. Copy from here only what you change.\n";
    format!("{head}{}", reference_of::<ConfigSection>())
}

/// [`reference()`] for any root, without the head.
#[must_use]
pub fn reference_of<T: JsonSchema>() -> String {
    let schema = Schema::of::<T>();
    let mut page = String::new();
    for line in keys(&schema.root(), None) {
        let _ = writeln!(page, "{}", line.trim_end());
    }
    page
}

/// The cards of a section's keys. `defaults` is what the section around it sets by default, over the keys' own.
fn keys(shapes: &Shapes<'_>, defaults: Option<&Value>) -> Vec<String> {
    let required = shapes.required_keys();
    let mut lines = Vec::new();
    for shape in shapes.iter() {
        let properties = shape.get("properties").and_then(Value::as_object);
        for (name, schema) in properties.into_iter().flatten() {
            let inner = shapes.sibling(schema);
            let default = defaults.and_then(|values| values.get(name)).or_else(|| schema.get("default"));
            lines.push(String::new());
            lines.extend(meaning(schema, &inner));
            lines.extend(card(name, schema, &inner, default, required.contains(&name.as_str())));
        }
    }
    lines
}

/// A key's values and default, and the key with what stands below it.
fn card(name: &str, schema: &Value, inner: &Shapes<'_>, default: Option<&Value>, required: bool) -> Vec<String> {
    let below = if inner.known_keys().is_empty() { Vec::new() } else { indent(keys(inner, default)) };
    let set = default.filter(|value| !value.is_null());
    if !below.is_empty() && set.is_some_and(Value::is_object) {
        return [vec![format!("{name}:")], trim(below)].concat();
    }
    let mut lines = values(inner, set, required);
    if !below.is_empty() {
        // In a choice between a word and a section, the default is the word, and the section the alternative to it.
        lines.extend(set.map(|value| format!("{name}: {}", written(value, inner))));
        lines.extend(comment([vec![format!("{name}:")], trim(below)].concat()));
        return lines;
    }
    let example = schema.get("examples").and_then(|examples| examples.get(0));
    let key = match set.or(example) {
        Some(value) => format!("{name}: {}", written(value, inner)),
        None => format!("{name}:"),
    };
    if set.is_some() || required {
        lines.push(key);
    } else {
        lines.extend(comment(vec![key]));
    }
    lines.extend(comment(entries(inner)));
    lines
}

/// One item of a list of sections, or one entry of a section whose names the operator chooses.
fn entries(shapes: &Shapes<'_>) -> Vec<String> {
    let item = shapes.item();
    if !item.known_keys().is_empty() {
        let inner = indent(trim(keys(&item, None)));
        return inner.iter().enumerate().map(|(index, line)| dashed(index, line)).collect();
    }
    let Some(entry) = shapes.key(ANY_NAME).filter(|entry| !entry.known_keys().is_empty()) else {
        return Vec::new();
    };
    indent([vec![format!("{ANY_NAME}:")], indent(trim(keys(&entry, None)))].concat())
}

fn dashed(index: usize, line: &str) -> String {
    match line.strip_prefix("  ") {
        Some(rest) if index == 0 => format!("- {rest}"),
        Some(_) | None => line.to_owned(),
    }
}

fn trim(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().skip_while(String::is_empty).collect()
}

/// The doc comment, in comment lines.
fn meaning(schema: &Value, inner: &Shapes<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, paragraph) in text(schema, inner).split("\n\n").enumerate() {
        lines.extend((index > 0).then(|| "#".to_owned()));
        lines.extend(wrap(paragraph));
    }
    lines
}

/// The doc comment: the field's own, or its type's.
fn text(schema: &Value, inner: &Shapes<'_>) -> String {
    let text = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let of_type = || inner.iter().chain(inner.item().iter()).find_map(text);
    text(schema).or_else(of_type).unwrap_or_default()
}

fn values(shapes: &Shapes<'_>, set: Option<&Value>, required: bool) -> Vec<String> {
    let mut lines = wrap(&forms(shapes, set, required));
    lines.extend(words(shapes).flat_map(|(word, text)| wrap(&format!("* {word}: {text}"))));
    lines
}

/// What a key may be set to, and its default, as one paragraph.
fn forms(shapes: &Shapes<'_>, set: Option<&Value>, required: bool) -> String {
    let default = match set {
        Some(Value::Array(list)) if list.is_empty() => "Default: none.".to_owned(),
        Some(Value::Object(map)) if map.is_empty() => "Default: none.".to_owned(),
        Some(value) => format!("Default: {}.", written(value, shapes)),
        None if required => "Required.".to_owned(),
        None => "Default: not set.".to_owned(),
    };
    let item = shapes.item();
    let forms = if !item.known_keys().is_empty() {
        "a list of sections with the keys below".to_owned()
    } else if shapes.has_type("array") && item.iter().next().is_some() {
        format!("{}; each item is {}", shapes.describe(), item.describe())
    } else if shapes.key(ANY_NAME).is_some_and(|entry| !entry.known_keys().is_empty()) {
        "sections under names of your choice, each with the keys below".to_owned()
    } else {
        shapes.describe()
    };
    format!("Values: {forms}. {default}")
}

/// The words that may stand here and have a meaning of their own, with it.
fn words<'s>(shapes: &Shapes<'s>) -> impl Iterator<Item = (&'s str, &'s str)> {
    shapes.iter().filter_map(|shape| {
        let word = shape.get("const").and_then(Value::as_str)?;
        Some((word, shape.get("description")?.as_str()?))
    })
}

/// Fills comment lines with the words of a paragraph.
fn wrap(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines
}

fn indent(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| if line.is_empty() { line } else { format!("  {line}") }).collect()
}

fn comment(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("#{line}")).collect()
}

/// A value as an operator would write it for this key: a size in bytes needs no quotes.
fn written(value: &Value, shapes: &Shapes<'_>) -> String {
    match value {
        Value::String(text) if shapes.has_format("size") => text.clone(),
        Value::String(_) | Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {
            scalar(value)
        }
    }
}

/// A value on one line. JSON is YAML; a text stands without quotes where it stays a text.
fn scalar(value: &Value) -> String {
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._- ".contains(c))
            && !text.ends_with(' ')
            && resolve(text).is_string()
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}: {}", scalar(&key.as_str().into()), scalar(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
