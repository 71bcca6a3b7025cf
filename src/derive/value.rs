//! What values mean to Synapse: its YAML is read by Python, in which `no` is a truth value and `0660` is octal.

use serde_json::{Map, Value};

use crate::yaml::{Content, Mark, Node, resolve};

/// The value under a key, unless there is none.
pub(super) fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let (_, child) = entries(node).iter().find(|(name, _)| name == key)?;
    is_set(child).then_some(child)
}

/// Whether there is a value at all.
pub(super) fn is_set(node: &Node) -> bool {
    !node.is_null() && !matches!(node.content, Content::Dropped)
}

/// The keys and values of a mapping; nothing of any other value.
pub(super) fn entries(node: &Node) -> &[(String, Node)] {
    match &node.content {
        Content::Mapping(entries) => entries,
        Content::Scalar { .. } | Content::Sequence(_) | Content::Dropped => &[],
    }
}

pub(super) fn items(node: &Node) -> Option<&[Node]> {
    match &node.content {
        Content::Sequence(items) => Some(items),
        Content::Scalar { .. } | Content::Mapping(_) | Content::Dropped => None,
    }
}

/// A text, or a number as it is written.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, .. } if is_set(node) && truth(node).is_none() => Some(text),
        Content::Scalar { .. } | Content::Sequence(_) | Content::Mapping(_) | Content::Dropped => None,
    }
}

pub(super) fn truth(node: &Node) -> Option<bool> {
    let Content::Scalar { text, plain: true } = &node.content else { return None };
    match text.as_str() {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// A whole number that is not negative.
pub(super) fn whole(node: &Node) -> Option<u64> {
    let Content::Scalar { text, plain: true } = &node.content else { return None };
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = text.replace('_', "");
    match digits.as_str() {
        "0" => Some(0),
        _ if digits.starts_with("0x") => u64::from_str_radix(digits.get(2..)?, 16).ok(),
        _ if digits.starts_with("0b") => u64::from_str_radix(digits.get(2..)?, 2).ok(),
        _ if digits.starts_with('0') => u64::from_str_radix(&digits, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// One text or a list of texts, each with its place.
pub(super) fn texts(node: &Node) -> Option<Vec<(&str, Mark)>> {
    match &node.content {
        Content::Sequence(items) => items.iter().map(|item| Some((text(item)?, item.mark))).collect(),
        Content::Scalar { .. } => Some(vec![(text(node)?, node.mark)]),
        Content::Mapping(_) | Content::Dropped => None,
    }
}

/// The value as JSON, for what is published as it is.
pub(super) fn json(node: &Node) -> Value {
    match &node.content {
        Content::Scalar { text, plain: false } => Value::from(text.as_str()),
        Content::Scalar { text, plain: true } => match (truth(node), resolve(text)) {
            (Some(truth), _) => Value::Bool(truth),
            (None, scalar) => serde_json::to_value(scalar).unwrap_or_default(),
        },
        Content::Sequence(items) => Value::Array(items.iter().map(json).collect()),
        Content::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, child)| (key.clone(), json(child))).collect::<Map<_, _>>())
        }
        Content::Dropped => Value::Null,
    }
}
