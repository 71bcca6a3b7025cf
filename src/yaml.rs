//! YAML with the place of each value, and problems that know theirs.
//!
//! Two kinds of files are read: the gateway's own, and Synapse's. This module must not know what any key means.

mod findings;
mod reader;
mod tree;

pub(crate) use findings::{Findings, Mark, quoted, short};
pub(crate) use reader::{MAX_FILE_SIZE, parse};
pub(crate) use tree::{Content, Node, Segment, resolve, shown};

/// One file of a configuration.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file as the operator named it.
    pub name: String,
    /// Its content: at most 1 MiB of UTF-8, else it is refused.
    pub bytes: Vec<u8>,
}

/// Whose files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The gateway's own. What YAML offers beyond texts, lists and mappings is refused: aliases and merge keys make a
    /// small file large and hide what a key is set to, tags choose types that the sections choose themselves.
    Gateway,
    /// Synapse's, as Python's `yaml.safe_load` reads them, with aliases, merge keys and keys that are set twice. Every
    /// text in them may be a secret, so that no key, value or tag stands in what is told about a file.
    Synapse,
}

impl Dialect {
    /// Whose file it ought to have been.
    const fn owner(self) -> &'static str {
        match self {
            Self::Gateway => "the gateway's own configuration file",
            Self::Synapse => "a configuration file of Synapse",
        }
    }
}
