//! From files to a checked configuration: which keys there are, where each of them stands, and all that is wrong.
//!
//! The sections belong to their rooms; this module only joins them. It must not know what a key means.
//!
//! A configuration is one file and the files in `conf.d` next to it. Each top-level key may be set by one file. A file
//! in `conf.d` replaces the whole section that the main file sets, which `check` tells; two files in `conf.d` may not
//! set the same key. Sections are never merged, so that one file always holds all of a section.
//!
//! What is derived from Synapse's own configuration lies under all of these: it holds, key by key and however deep,
//! where the operator has written nothing.

mod delegation;
mod files;
mod fit;
mod reference;
mod schema;
mod section;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::listen::{ControlSection, Tls};
use crate::problem::{Problems, Severity};
use crate::rendezvous::Rendezvous;
use crate::routing::{SynapseFiles, SynapseSection};
use crate::yaml::{Content, Dialect, Findings, Mark, Node, Segment, parse};

pub use crate::yaml::Source;
pub use delegation::delegation;
pub use files::{ReadError, read};
#[cfg(feature = "edge")]
pub(crate) use reference::{escape, literal};
pub use reference::{man, man_of, reference, reference_of};
pub use section::{Config, ConfigSection};

/// Reads and checks a configuration. The first source is the main file, the others are those in `conf.d`, in order.
///
/// There is a configuration exactly if none of the problems is an error.
#[must_use]
pub fn load(sources: &[Source]) -> (Option<Config>, Problems) {
    load_with(sources, None, |_, _| ())
}

/// Where the configuration says that Synapse's own is; None if it does not, or not in an understandable way.
#[must_use]
pub fn synapse_files(sources: &[Source]) -> Option<SynapseFiles> {
    section::<SynapseSection>(sources, "synapse")?.files()
}

/// The control socket that the configuration names, whatever else is wrong with it.
#[must_use]
pub fn control_socket(sources: &[Source]) -> Option<PathBuf> {
    section::<ControlSection>(sources, "control")?.build(&mut Problems::default())?.socket
}

/// Whether anything is configured at all: a file whose lines are all comments is one that nobody has edited. What cannot
/// be understood was written by somebody.
#[must_use]
pub fn is_written(sources: &[Source]) -> bool {
    let written = |(index, source): (usize, &Source)| {
        let mut findings = Findings::default();
        parse(index, &source.bytes, Dialect::Gateway, &mut findings).is_some() || findings.count() > 0
    };
    sources.iter().enumerate().any(written)
}

/// One section alone. Whatever is wrong is told when everything is loaded.
fn section<T: DeserializeOwned>(sources: &[Source], key: &str) -> Option<T> {
    let tree = merge(sources, None, &mut Findings::default())?;
    serde_yaml::from_value(tree.at(&[Segment::Key(key.to_owned())])?.value()?).ok()
}

/// What names files, which this module does not open; each None where it is wrong, or there is none.
#[derive(Clone, Copy, Debug)]
pub struct Naming<'a> {
    /// The TLS policy.
    pub tls: Option<&'a Tls>,
    /// The rendezvous protocols.
    pub rendezvous: Option<&'a Rendezvous>,
}

/// [`load`], over what was derived from Synapse's configuration, and where `inspect` looks at the files that the
/// configuration names.
#[must_use]
pub fn load_with(
    sources: &[Source],
    derived: Option<&Source>,
    inspect: impl FnOnce(Naming<'_>, &mut Problems),
) -> (Option<Config>, Problems) {
    load_over(sources, derived, |section: ConfigSection, problems| section.build(inspect, problems))
}

/// [`load`] for any root: reads the files as a `T`, and builds what it means.
///
/// Problems that `build` reports get the file and line of their path. It is called even when something was wrong
/// already, with the default in place of what was refused; what it then reports about the gap is not told.
pub fn load_as<T, B>(sources: &[Source], build: impl FnOnce(T, &mut Problems) -> Option<B>) -> (Option<B>, Problems)
where
    T: DeserializeOwned + JsonSchema,
{
    load_over(sources, None, build)
}

fn load_over<T, B>(
    sources: &[Source],
    derived: Option<&Source>,
    build: impl FnOnce(T, &mut Problems) -> Option<B>,
) -> (Option<B>, Problems)
where
    T: DeserializeOwned + JsonSchema,
{
    let names: Vec<&str> = sources.iter().chain(derived).map(|source| source.name.as_str()).collect();
    let mut findings = Findings::default();
    let mut result = None;
    if let Some(mut tree) = merge(sources, derived, &mut findings)
        && let Some(root) = fit::fit::<T>(&mut tree, &mut findings)
    {
        let mut problems = Problems::default();
        result = build(root, &mut problems);
        for problem in problems.as_slice() {
            let place = tree.place(&problem.path);
            if !place.doubtful {
                findings.add(problem.severity, place.mark, place.path, problem.message.clone(), problem.remedy.clone());
            }
        }
        result = result.filter(|_| !problems.has_errors());
    }
    (result.filter(|_| !findings.has_errors()), findings.tell(&names))
}

/// Joins the files key by key; none if one of them cannot be read, for then its sections would seem to be missing.
fn merge(sources: &[Source], derived: Option<&Source>, findings: &mut Findings) -> Option<Node> {
    let mut merged: Vec<(String, Node)> = Vec::new();
    let mut places = BTreeMap::new();
    let mut readable = true;
    for (index, source) in sources.iter().enumerate() {
        let errors = findings.count();
        let Some(node) = parse(index, &source.bytes, Dialect::Gateway, findings) else {
            readable &= findings.count() == errors;
            continue;
        };
        let mark = node.mark;
        let Content::Mapping(entries) = node.content else {
            findings.error(mark, String::new(), "the file must hold keys with values", "write `key: value` lines");
            readable = false;
            continue;
        };
        for (key, node) in entries {
            if let Some((_, first)) = places.get(&key).and_then(|place: &usize| merged.get_mut(*place)) {
                join(&key, first, node, sources, findings);
            } else {
                places.insert(key.clone(), merged.len());
                merged.push((key, node));
            }
        }
    }
    if readable && merged.is_empty() {
        let remedy = "write one; `synapse-gateway reference` prints every key";
        findings.error(Mark::default(), String::new(), "there is no key in the configuration", remedy);
        return None;
    }
    let mut tree = Node { mark: Mark { source: 0, line: 1, column: 1 }, content: Content::Mapping(merged) };
    if let Some(derived) = derived {
        let errors = findings.count();
        match parse(sources.len(), &derived.bytes, Dialect::Gateway, findings) {
            Some(below) => tree.underlay(below),
            None => readable &= findings.count() == errors,
        }
    }
    readable.then_some(tree)
}

/// Two files set the same key.
fn join(key: &str, first: &mut Node, second: Node, sources: &[Source], findings: &mut Findings) {
    if first.same_as(&second) {
        return;
    }
    let place = |node: &Node| {
        let name = sources.get(node.mark.source).map_or("", |source| source.name.as_str());
        format!("{name}:{}", node.mark.line)
    };
    if first.mark.source == 0 {
        let message = format!("is replaced as a whole by {}", place(&second));
        let remedy = "remove one of the two".to_owned();
        findings.add(Severity::Warning, first.mark, key.to_owned(), message, remedy);
        *first = second;
    } else {
        let message = format!("is set by {} already", place(first));
        findings.error(second.mark, key.to_owned(), message, "set it in one file of `conf.d`");
    }
}

#[cfg(test)]
mod tests;
