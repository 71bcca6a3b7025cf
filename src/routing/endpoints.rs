//! Synapse's endpoints, as far as they differ in what they need from a proxy.
//!
//! Paths are matched raw and case-sensitively, segment by segment, as Synapse's own servlets match them.

use http::Method;

use crate::class::RouteClass;

/// The parts of Synapse that a listener may serve or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/_matrix` but for the server-server API, and `/_synapse/client`.
    Client,
    /// `/_matrix/media`, which other servers fetch from as well.
    Media,
    /// `/_matrix/federation` and `/_matrix/key`.
    Federation,
    /// `/_synapse/admin`.
    Admin,
    /// `/_synapse/mas`, which Matrix Authentication Service alone uses.
    Mas,
}

/// More segments than any endpoint has before its last parameter.
const DEPTH: usize = 8;

/// What a path on the allow-list is; None for a path that is not on it.
///
/// `since` is whether the query has a position to go on from: without one, `/sync` is a device's first.
#[must_use]
pub fn classify(method: &Method, path: &str, since: bool) -> Option<(Api, RouteClass)> {
    let mut segments = [""; DEPTH];
    let mut depth = 0;
    for (place, segment) in segments.iter_mut().zip(path.split('/').skip(1)) {
        *place = segment;
        depth += 1;
    }
    let segments = segments.split_at(depth).0;
    match segments {
        ["_matrix", "federation", _, "media", ..] => Some((Api::Federation, RouteClass::Download)),
        ["_matrix", "federation" | "key", ..] => Some((Api::Federation, RouteClass::Federation)),
        ["_matrix", "media", _, endpoint, ..] => Some((Api::Media, media(method, endpoint))),
        ["_matrix", "client", "api", version, rest @ ..] | ["_matrix", "client", version, rest @ ..] => {
            Some((Api::Client, client(method, version, rest, since)))
        }
        ["_matrix", _, ..] | ["_synapse", "client", _, ..] => Some((Api::Client, RouteClass::Client)),
        ["_synapse", "admin", _, ..] => Some((Api::Admin, RouteClass::Admin)),
        ["_synapse", "mas", _, ..] => Some((Api::Mas, RouteClass::Mas)),
        _ => None,
    }
}

fn media(method: &Method, endpoint: &str) -> RouteClass {
    match endpoint {
        "upload" if matches!(*method, Method::POST | Method::PUT) => RouteClass::Upload,
        "download" | "thumbnail" | "preview_url" => RouteClass::Download,
        _ => RouteClass::Client,
    }
}

fn client(method: &Method, version: &str, rest: &[&str], since: bool) -> RouteClass {
    match rest {
        // MSC4186, simplified sliding sync, whose position is in the body: the path proposed as stable, and today's.
        ["sync"] if version == "v4" => RouteClass::LongPoll,
        ["org.matrix.simplified_msc3575", "sync"] => RouteClass::LongPoll,
        ["sync" | "events"] if since => RouteClass::LongPoll,
        ["sync" | "events" | "initialSync"] | ["rooms", _, "initialSync"] => RouteClass::InitialSync,
        ["media", "upload", ..] => RouteClass::Upload,
        ["media", "download" | "thumbnail" | "preview_url", ..] => RouteClass::Download,
        ["join" | "knock" | "createRoom", ..] | ["rooms", _, "join" | "knock" | "invite", ..]
            if *method != Method::GET =>
        {
            RouteClass::Join
        }
        _ => RouteClass::Client,
    }
}
