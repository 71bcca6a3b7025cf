//! What the files say, before anything is known of types: every value with the place where it stands.

use serde_yaml::{Mapping, Number, Value};

use super::findings::Mark;

/// One value of a file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where its key stands or, for an item of a list, its first character.
    pub(crate) mark: Mark,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// As written; only a plain one, without quotes, can be something else than a text.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(String, Node)>),
    /// Refused and reported: it counts as left out, but keeps its place, so that the items after it keep their index.
    Dropped,
}

/// One step from a value into another.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// What a section's path leads to.
pub(crate) struct Place {
    /// The path with the indices that count in the file.
    pub(crate) path: String,
    pub(crate) mark: Mark,
    /// Something was refused at this place, so that what is said about it may be about the gap alone.
    pub(crate) doubtful: bool,
}

impl Node {
    /// The value without what was dropped. Scalars mean what they mean to `serde_yaml`.
    pub(crate) fn value(&self) -> Option<Value> {
        match &self.content {
            Content::Scalar { text, plain: true } => Some(resolve(text)),
            Content::Scalar { text, plain: false } => Some(Value::String(text.clone())),
            Content::Sequence(items) => Some(Value::Sequence(items.iter().filter_map(Self::value).collect())),
            Content::Mapping(entries) => {
                let live = entries.iter().filter_map(|(key, node)| Some((Value::from(key.as_str()), node.value()?)));
                Some(Value::Mapping(live.collect::<Mapping>()))
            }
            Content::Dropped => None,
        }
    }

    /// How many values there are, this one included.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Scalar { .. } | Content::Dropped => 1,
            Content::Sequence(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Content::Mapping(entries) => 1 + entries.iter().map(|(_, child)| child.size()).sum::<usize>(),
        }
    }

    /// Whether nothing is written here, as in `key:` or `key: ~`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if resolve(text).is_null())
    }

    /// Whether two files say the same here.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.value() == other.value()
    }

    pub(crate) fn at(&self, path: &[Segment]) -> Option<&Self> {
        path.iter().try_fold(self, |node, segment| match (segment, &node.content) {
            (Segment::Key(key), Content::Mapping(entries)) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, child)| child)
            }
            (Segment::Index(index), Content::Sequence(items)) => items.get(*index),
            _ => None,
        })
    }

    /// Counts the value as left out.
    pub(crate) fn drop_at(&mut self, path: &[Segment]) {
        let target = path.iter().try_fold(self, |node, segment| match (segment, &mut node.content) {
            (Segment::Key(key), Content::Mapping(entries)) => {
                entries.iter_mut().find(|(name, _)| name == key).map(|(_, child)| child)
            }
            (Segment::Index(index), Content::Sequence(items)) => items.get_mut(*index),
            _ => None,
        });
        if let Some(node) = target {
            node.content = Content::Dropped;
        }
    }

    /// Fills in, key by key, what is not written here.
    pub(crate) fn underlay(&mut self, below: Self) {
        let (Content::Mapping(entries), Content::Mapping(others)) = (&mut self.content, below.content) else { return };
        for (key, other) in others {
            match entries.iter_mut().find(|(name, _)| *name == key) {
                Some((_, own)) => own.underlay(other),
                None => entries.push((key, other)),
            }
        }
    }

    /// The path as far as this tree has it, for a path that `serde` found in [`Node::value`].
    pub(crate) fn segments(&self, path: &serde_path_to_error::Path) -> Vec<Segment> {
        use serde_path_to_error::Segment as Found;
        let mut node = self;
        let mut segments = Vec::new();
        for found in path {
            let step = match (found, &node.content) {
                (Found::Seq { index }, Content::Sequence(items)) => live(items, *index).map(|(index, child)| {
                    segments.push(Segment::Index(index));
                    child
                }),
                (Found::Map { key } | Found::Enum { variant: key }, Content::Mapping(entries)) => {
                    entries.iter().find(|(name, _)| name == key).map(|(name, child)| {
                        segments.push(Segment::Key(name.clone()));
                        child
                    })
                }
                _ => None,
            };
            match step {
                Some(child) => node = child,
                None => break,
            }
        }
        segments
    }

    /// The place of a path as a section reports it: it counts only the items of a list that the section saw.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut node = self;
        let mut rest = path;
        let mut shown = String::new();
        loop {
            let step = match &node.content {
                Content::Mapping(entries) => key_step(entries, rest),
                Content::Sequence(items) => index_step(items, rest),
                Content::Scalar { .. } | Content::Dropped => None,
            };
            let Some((segment, child, after)) = step else {
                break;
            };
            push(&mut shown, &segment);
            node = child;
            rest = after;
        }
        let gap = |child: &Node| matches!(child.content, Content::Dropped);
        let doubtful = match &node.content {
            Content::Dropped => true,
            Content::Mapping(entries) => entries.iter().any(|(_, child)| gap(child)),
            Content::Sequence(items) => items.iter().any(gap),
            Content::Scalar { .. } => false,
        };
        if shown.is_empty() {
            rest.clone_into(&mut shown);
        } else if !rest.is_empty() {
            let dot = if rest.starts_with('[') { "" } else { "." };
            shown = format!("{shown}{dot}{rest}");
        }
        Place { path: shown, mark: node.mark, doubtful }
    }
}

/// The path as an operator writes it: `listeners[0].address`.
pub(crate) fn shown(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        push(&mut text, segment);
    }
    text
}

/// What a scalar without quotes means (YAML 1.2, core schema, as `serde_yaml` reads it).
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => text.parse::<Number>().map_or_else(|_| Value::String(text.to_owned()), Value::Number),
    }
}

fn push(text: &mut String, segment: &Segment) {
    match segment {
        Segment::Key(key) if text.is_empty() => text.push_str(key),
        Segment::Key(key) => text.extend([".", key]),
        Segment::Index(index) => text.extend(["[", &index.to_string(), "]"]),
    }
}

/// The `nth` item that was not dropped, with its index in the file.
fn live(items: &[Node], nth: usize) -> Option<(usize, &Node)> {
    items.iter().enumerate().filter(|(_, item)| !matches!(item.content, Content::Dropped)).nth(nth)
}

/// Keys may hold dots themselves, so the longest key that fits is the one.
fn key_step<'n, 'p>(entries: &'n [(String, Node)], rest: &'p str) -> Option<(Segment, &'n Node, &'p str)> {
    let fitting = entries.iter().filter(|(key, _)| !key.is_empty()).filter_map(|(key, child)| {
        let after = rest.strip_prefix(key.as_str())?;
        let after = match after.strip_prefix('.') {
            Some(inner) => inner,
            None if after.is_empty() || after.starts_with('[') => after,
            None => return None,
        };
        Some((Segment::Key(key.clone()), child, after))
    });
    fitting.min_by_key(|(_, _, after)| after.len())
}

fn index_step<'n, 'p>(items: &'n [Node], rest: &'p str) -> Option<(Segment, &'n Node, &'p str)> {
    let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
    let (index, child) = live(items, index.parse().ok()?)?;
    Some((Segment::Index(index), child, after.strip_prefix('.').unwrap_or(after)))
}
