//! Synapse's keys as its processes see them: files merged, values read as Python reads them.

use crate::yaml::{Content, Node, resolve};

/// The keys of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    entries: Vec<(String, Node)>,
}

impl Settings {
    /// The files of the main process. A later file replaces a key of the first level as a whole (`read_config_files` in
    /// `synapse/config/_base.py`).
    pub(super) fn merged(files: &[Node]) -> Self {
        files.iter().fold(Self::default(), |settings, file| settings.with(file))
    }

    /// The keys with those of another file over them.
    pub(super) fn with(&self, file: &Node) -> Self {
        let mut entries = self.entries.clone();
        if let Content::Mapping(others) = &file.content {
            for (key, node) in others {
                match entries.iter_mut().find(|(name, _)| name == key) {
                    Some((_, known)) => *known = node.clone(),
                    None => entries.push((key.clone(), node.clone())),
                }
            }
        }
        Self { entries }
    }

    /// What is set under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// What is set under a key of a section.
    pub(super) fn within(&self, section: &str, key: &str) -> Option<&Node> {
        self.get(section)?.key(key)
    }

    /// Whether a switch is on; `default` where it is not set.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(Node::flag).unwrap_or(default)
    }
}

impl Node {
    /// What is set under a key.
    pub(super) fn key(&self, key: &str) -> Option<&Self> {
        let Content::Mapping(entries) = &self.content else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// Keys and values.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Content::Mapping(entries) = &self.content { entries } else { &[] }
    }

    /// The items of a list; a single value counts as a list of one.
    pub(super) fn items(&self) -> Vec<&Self> {
        match &self.content {
            Content::Sequence(items) => items.iter().collect(),
            Content::Scalar { .. } if !self.is_null() => vec![self],
            Content::Scalar { .. } | Content::Mapping(_) | Content::Dropped => Vec::new(),
        }
    }

    /// A scalar as it was written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } if !self.is_null() => Some(text),
            Content::Scalar { .. } | Content::Sequence(_) | Content::Mapping(_) | Content::Dropped => None,
        }
    }

    /// A switch, in the spellings of YAML 1.1, which Python reads.
    pub(super) fn flag(&self) -> Option<bool> {
        let Content::Scalar { text, plain: true } = &self.content else { return None };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// A port.
    pub(super) fn port(&self) -> Option<u16> {
        let Content::Scalar { text, plain: true } = &self.content else { return None };
        resolve(text).as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
    }
}
