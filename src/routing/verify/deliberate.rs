//! Where the table differs from what Synapse registers, and is meant to.

use super::super::pattern::Method::{self, Delete, Get, Put};
use super::super::pattern::{Segment, expand};

/// Requests that do not go where Synapse's registrations say.
struct Deliberate {
    methods: &'static [Method],
    /// As in the rows of the table.
    path: &'static str,
    /// Whether the table gives them to workers.
    to_worker: bool,
    reason: &'static str,
}

const ALL: &[Deliberate] = &[
    Deliberate {
        methods: &[Put, Delete],
        path: "/_matrix/client/{V}/pushrules/**",
        to_worker: true,
        reason: "a worker is asked only if it writes the stream `push_rules`, and what is compared is one that writes none",
    },
    Deliberate {
        methods: &[Get],
        path: "/_matrix/federation/v1/openid/userinfo",
        to_worker: false,
        reason: "workers register it, and fail when they are asked (synapse#17189)",
    },
];

/// Why a request goes to a worker, or to the main process, in spite of what Synapse registers.
pub(super) fn reason(method: &http::Method, path: &str, to_worker: bool) -> Option<&'static str> {
    let method = Method::of(method)?;
    let meant = |one: &&Deliberate| {
        one.to_worker == to_worker
            && one.methods.contains(&method)
            && expand(one.path).iter().any(|pattern| fits(pattern, path))
    };
    ALL.iter().find(meant).map(|one| one.reason)
}

fn fits(pattern: &[Segment], path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    for expected in pattern {
        let fits = match (expected, segments.next()) {
            (Segment::Rest, _) => return true,
            (Segment::Literal(text), Some(segment)) => *text == segment,
            (Segment::Any, Some(segment)) => !segment.is_empty(),
            (Segment::Literal(_) | Segment::Any, None) => false,
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
pub(super) fn reasons() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|one| one.reason)
}
