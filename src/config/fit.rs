//! Fits the tree to the sections' types. What does not fit is reported and left out, so that the rest is still read.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::schema::{Schema, Shapes};
use crate::yaml::{Content, Findings, Node, Segment, quoted, resolve, short, shown};

/// Reads the tree as a `T`; none if what is wrong is the whole of it.
pub(super) fn fit<T: DeserializeOwned + JsonSchema>(tree: &mut Node, findings: &mut Findings) -> Option<T> {
    let schema = Schema::of::<T>();
    drop_unknown(tree, &schema.root(), &mut Vec::new(), findings);
    while !findings.is_full() {
        let error = match serde_path_to_error::deserialize(tree.value()?) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let path = tree.segments(error.path());
        let missing = error.inner().to_string().starts_with("missing field");
        let path = if missing { path } else { narrow(tree, &schema.root(), path) };
        explain(tree, &schema.root(), &path, &error.inner().to_string(), findings);
        if path.is_empty() {
            return None;
        }
        tree.drop_at(&path);
    }
    None
}

/// Reports the keys that no section has.
fn drop_unknown(node: &mut Node, shapes: &Shapes<'_>, path: &mut Vec<Segment>, findings: &mut Findings) {
    match &mut node.content {
        Content::Mapping(entries) if shapes.has_keys() => {
            let live = entries.iter_mut().filter(|(_, child)| !matches!(child.content, Content::Dropped));
            for (key, child) in live {
                if findings.is_full() {
                    return;
                }
                path.push(Segment::Key(key.clone()));
                if let Some(inner) = shapes.key(key) {
                    drop_unknown(child, &inner, path, findings);
                } else {
                    let remedy = known_instead(key, &shapes.known_keys());
                    findings.error(child.mark, shown(path), "there is no such key", remedy);
                    child.content = Content::Dropped;
                }
                path.pop();
            }
        }
        Content::Sequence(items) => {
            let inner = shapes.item();
            for (index, child) in items.iter_mut().enumerate() {
                path.push(Segment::Index(index));
                drop_unknown(child, &inner, path, findings);
                path.pop();
            }
        }
        Content::Mapping(_) | Content::Scalar { .. } | Content::Dropped => {}
    }
}

fn known_instead(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("the keys here are {}", known.join(", ")),
    }
}

/// The word that was most probably meant.
fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    const ALIKE: f64 = 0.85;
    let spelled = word.to_lowercase().replace('-', "_");
    let scored = known.iter().map(|known| (strsim::jaro_winkler(&spelled, known), *known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// Where a value has a choice of forms, `serde` only says that it has none of them: looks for the part that is to blame.
fn narrow(tree: &Node, root: &Shapes<'_>, mut path: Vec<Segment>) -> Vec<Segment> {
    loop {
        let (Some(node), Some(shapes)) = (tree.at(&path), root.at(&path)) else {
            return path;
        };
        let culprit = match &node.content {
            Content::Mapping(entries) => entries
                .iter()
                .find(|(key, child)| shapes.key(key).is_some_and(|inner| !inner.admit(child)))
                .map(|(key, _)| Segment::Key(key.clone())),
            Content::Sequence(items) if shapes.has_type("array") => {
                items.iter().position(|item| !shapes.item().admit(item)).map(Segment::Index)
            }
            Content::Sequence(_) | Content::Scalar { .. } | Content::Dropped => None,
        };
        match culprit {
            Some(segment) => path.push(segment),
            None => return path,
        }
    }
}

/// Turns `serde`'s message for programmers into one for operators.
fn explain(tree: &Node, root: &Shapes<'_>, path: &[Segment], said: &str, findings: &mut Findings) {
    let Some(node) = tree.at(path) else {
        return;
    };
    let shapes = root.at(path);
    let is_missing = said.starts_with("missing field");
    // A section from which something was refused already is judged by its other keys alone.
    let has_gap = matches!(&node.content, Content::Mapping(entries)
        if entries.iter().any(|(_, child)| matches!(child.content, Content::Dropped)));
    if has_gap && (is_missing || said.starts_with("data did not match")) {
        return;
    }
    let (message, remedy) = if let Some(missing) = missing_keys(node, shapes.as_ref(), is_missing.then_some(said)) {
        (format!("lacks {missing}"), "add what is missing".to_owned())
    } else if let Some(shapes) = shapes.filter(|shapes| !shapes.admit(node)) {
        (must_be(&shapes.describe(), node), hint(node, &shapes))
    } else {
        from_serde(node, said)
    };
    findings.error(node.mark, shown(path), message, remedy);
}

fn must_be(expected: &str, node: &Node) -> String {
    if node.is_null() {
        format!("is left empty, but must be {expected}")
    } else {
        format!("must be {expected}, not {}", stands(node))
    }
}

/// The keys that must be there and are not: those of the schema and the one that `serde` named.
fn missing_keys(node: &Node, shapes: Option<&Shapes<'_>>, said: Option<&str>) -> Option<String> {
    let Content::Mapping(entries) = &node.content else {
        return None;
    };
    let mut required = shapes.map(Shapes::required_keys).unwrap_or_default();
    let named = said.and_then(|said| said.split('`').nth(1));
    required.extend(named.filter(|named| !required.contains(named)));
    required.retain(|key| entries.iter().all(|(name, _)| name != key));
    let quoted: Vec<_> = required.iter().map(|key| quoted(key)).collect();
    (!quoted.is_empty()).then(|| quoted.join(" and "))
}

/// A message of the type itself, such as that of a size; or one of `serde`'s for a form that no schema knows.
fn from_serde(node: &Node, said: &str) -> (String, String) {
    if ["invalid type", "invalid value", "invalid length"].iter().any(|start| said.starts_with(start))
        && let Some((_, expected)) = said.split_once(", expected ")
    {
        return (must_be(expected, node), String::new());
    }
    if said.starts_with("data did not match") {
        return (format!("{} in this form is not accepted", stands(node)), "compare it with the reference".to_owned());
    }
    let own = stands(node);
    let said = if said.contains('`') { said.to_owned() } else { format!("{own} is not accepted: {said}") };
    match said.split_once("; ") {
        Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
        None => (said, String::new()),
    }
}

fn stands(node: &Node) -> String {
    match &node.content {
        Content::Scalar { text, plain: true } => quoted(text),
        Content::Scalar { text, plain: false } => format!("the text {}", quoted(text)),
        Content::Sequence(_) => "a list".to_owned(),
        Content::Mapping(_) => "a section with keys of its own".to_owned(),
        Content::Dropped => "nothing".to_owned(),
    }
}

/// What to write instead, where that can be told from what was written.
fn hint(node: &Node, shapes: &Shapes<'_>) -> String {
    let (text, plain) = match &node.content {
        Content::Scalar { .. } if node.is_null() => return "write a value or remove the key".to_owned(),
        Content::Scalar { text, plain } => (text.as_str(), *plain),
        Content::Mapping(_) if shapes.has_type("array") => return "begin each item with `- `".to_owned(),
        Content::Mapping(_) | Content::Sequence(_) | Content::Dropped => return String::new(),
    };
    let unquoted = resolve(text);
    if shapes.has_type("boolean") {
        match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => return "write true".to_owned(),
            "no" | "off" | "n" | "0" | "false" => return "write false".to_owned(),
            _ => {}
        }
    }
    if !plain && unquoted.is_number() && (shapes.has_type("integer") || shapes.has_type("number")) {
        return format!("write {text} without quotes");
    }
    if unquoted.is_number() && shapes.has_format("duration") {
        return format!("write {text}s or {text}ms");
    }
    if let Some(near) = nearest(text, &shapes.words()) {
        return if near == text {
            format!("write it in quotes: \"{text}\"")
        } else {
            format!("did you mean `{near}`?")
        };
    }
    if plain && !unquoted.is_string() && shapes.has_type("string") {
        return format!("write it in quotes: \"{text}\"");
    }
    if shapes.has_type("array") {
        return format!("write a list, even of one: [{}]", short(text));
    }
    if shapes.has_keys() {
        let known = shapes.known_keys();
        return if known.is_empty() { String::new() } else { format!("the keys here are {}", known.join(", ")) };
    }
    String::new()
}
