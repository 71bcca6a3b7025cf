//! The operator's own path.

use super::super::{msc4108, msc4388};
use crate::problem::Problems;

/// The prefix without a trailing slash.
pub(super) fn check_prefix<'a>(written: &'a str, problems: &mut Problems) -> Option<&'a str> {
    const PATH: &str = "rendezvous.prefix";
    const REMEDY: &str = "write /_synapse/client/org.matrix.msc3886/rendezvous";
    const MAX: usize = 200;
    /// A prefix above one of these would keep the rest of Matrix from Synapse.
    const OTHERS: [&str; 7] = [
        "/_matrix/client/v3",
        "/_matrix/federation/v1",
        "/_matrix/key/v2",
        "/_matrix/media/v3",
        "/_synapse/admin",
        "/_synapse/client",
        "/.well-known/matrix",
    ];
    /// Nor may it be a path of another protocol, or below one, where that protocol's ids stand.
    const PROTOCOLS: [&str; 4] = [msc4108::ENDPOINT, msc4108::SESSIONS, msc4388::UNSTABLE, msc4388::STABLE];
    let Some(segments) = written.strip_prefix('/') else {
        problems.error(PATH, format!("`{written}` does not start with a slash"), REMEDY);
        return None;
    };
    let prefix = written.strip_suffix('/').unwrap_or(written);
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    if prefix.len() > MAX {
        problems.error(PATH, format!("the path is longer than {MAX} characters"), REMEDY);
        return None;
    }
    if !segments.split('/').all(is_plain_segment) {
        let message = format!("`{written}` is not a path of plain segments");
        let remedy = "use letters, digits, `-`, `.`, `_` and `~` between single slashes, and no `.` or `..`";
        problems.error(PATH, message, remedy);
        return None;
    }
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let hidden = OTHERS.into_iter().chain(PROTOCOLS).find(|other| is_within(other, prefix));
    if let Some(other) = hidden.or_else(|| PROTOCOLS.into_iter().find(|other| is_within(prefix, other))) {
        problems.error(PATH, format!("`{written}` would hide {other}"), REMEDY);
        return None;
    }
    Some(prefix)
}

/// Only characters that no client or proxy writes in two ways (RFC 3986, section 2.3).
fn is_plain_segment(segment: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !segment.is_empty() && segment.bytes().all(is_unreserved) && !matches!(segment, "." | "..")
}
