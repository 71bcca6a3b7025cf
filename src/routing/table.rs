//! Finds the endpoint that a raw path is.
//!
//! The rows are laid out as a tree of path segments, so that a look-up walks one path's segments, whatever the number of
//! rows. It allocates nothing. Of several patterns that fit a path, the one with the first literal segment wins.

use std::collections::HashMap;

use super::pattern::{Method, Segment, expand};
use super::release::Release;
use super::rows::{Affinity, Query, ROWS, Row};
use crate::role::Role;

/// An endpoint that workers serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of its row.
    pub id: &'static str,
    /// Who serves it.
    pub role: Role,
    /// Which of them.
    pub affinity: Affinity,
}

/// What decides besides the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synapse {
    /// The release that runs.
    pub release: Release,
    /// Whether log-ins are delegated to Matrix Authentication Service.
    pub delegated: bool,
}

/// All endpoints that workers serve, in all known releases.
#[derive(Debug)]
pub struct Table {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<&'static str, usize>,
    any: Option<usize>,
    /// Rows of paths that end here.
    here: Vec<&'static Row>,
    /// Rows of paths that go on from here in any way.
    below: Vec<&'static Row>,
}

impl Default for Table {
    fn default() -> Self {
        let mut table = Self { nodes: vec![Node::default()] };
        for row in ROWS {
            for pattern in row.paths.iter().flat_map(|path| expand(path)) {
                table.insert(&pattern, row);
            }
        }
        table
    }
}

/// A request, as far as rows look at it.
struct Asked<'a> {
    method: Method,
    query: Option<&'a str>,
    synapse: Synapse,
}

impl Table {
    /// The endpoint of a request; None for what the main process alone serves. HEAD follows GET.
    #[must_use]
    pub fn find(&self, method: &http::Method, path: &str, query: Option<&str>, synapse: Synapse) -> Option<Endpoint> {
        let asked = Asked { method: Method::of(method)?, query, synapse };
        let row = self.search(0, path.strip_prefix('/'), &asked)?;
        Some(Endpoint { id: row.id, role: row.role, affinity: row.affinity })
    }

    /// The names of all rows.
    pub fn endpoints(&self) -> impl Iterator<Item = &'static str> {
        ROWS.iter().map(|row| row.id)
    }

    /// Rows below a node for the rest of a path; None for a path that has no further segment.
    fn search(&self, node: usize, rest: Option<&str>, asked: &Asked<'_>) -> Option<&'static Row> {
        let node = self.nodes.get(node)?;
        let Some(rest) = rest else { return first(&node.here, asked) };
        let (segment, tail) = match rest.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (rest, None),
        };
        let literal = node.literals.get(segment).and_then(|&next| self.search(next, tail, asked));
        let any = || node.any.filter(|_| !segment.is_empty()).and_then(|next| self.search(next, tail, asked));
        literal.or_else(any).or_else(|| first(&node.below, asked))
    }

    fn insert(&mut self, pattern: &[Segment], row: &'static Row) {
        let mut at = 0;
        for segment in pattern {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            let next = match segment {
                Segment::Literal(text) => *node.literals.entry(text).or_insert(fresh),
                Segment::Any => *node.any.get_or_insert(fresh),
                Segment::Rest => {
                    node.below.push(row);
                    return;
                }
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.here.push(row);
        }
    }
}

fn first(rows: &[&'static Row], asked: &Asked<'_>) -> Option<&'static Row> {
    rows.iter().copied().find(|row| fits(row, asked))
}

fn fits(row: &Row, asked: &Asked<'_>) -> bool {
    let Synapse { release, delegated } = asked.synapse;
    row.methods.contains(&asked.method)
        && row.is_in(release)
        && row.is_with(delegated)
        && match row.query {
            Query::Any => true,
            Query::Initial => is_initial(asked.query),
        }
}

/// Whether a `/sync` or `/events` begins without a position, or wants everything.
fn is_initial(query: Option<&str>) -> bool {
    let mut pairs = query.into_iter().flat_map(|query| query.split('&'));
    let mut has_position = false;
    let whole = pairs.any(|pair| {
        has_position |= pair.starts_with("since=") || pair.starts_with("from=");
        pair == "full_state=true"
    });
    whole || !has_position
}
