//! The `rendezvous` section: the keys, names and defaults of Synapse's former rendezvous module.

use std::time::Duration;

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::msc3886::{CLIENT_PATH, Mount, Msc3886};
use super::{Limits, Rendezvous};
use crate::problem::Problems;
use crate::quantity::{Size, Span};

/// Sign-in by QR code: short messages that two devices of a user leave for each other at the homeserver until they
/// have a channel of their own (MSC3886). Synapse itself has not served this protocol since version 1.120. A block of
/// the former module `matrix_http_rendezvous_synapse` can be pasted here as it is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RendezvousSection {
    /// Whether the gateway serves rendezvous sessions: `true` or `false`. While it is `false`, which is the default,
    /// the paths are treated like any other of their kind.
    pub enabled: bool,

    /// The path below which sessions live, besides the path that clients expect,
    /// `/_matrix/client/unstable/org.matrix.msc3886/rendezvous`, which is always served too. Starts with a slash;
    /// consists of letters, digits, `-`, `.`, `_` and `~` between single slashes. Everything below it is answered by
    /// the gateway and never reaches Synapse, and so are the ids of sessions in the place of its last segment, where
    /// clients look that resolve them as relative URLs.
    pub prefix: String,

    /// How long a session lives, counted from its creation: more than zero, at most `1h`. Writing to a session does
    /// not extend it. Too short, and nobody gets through a sign-in in time; long lifetimes let abandoned sessions
    /// fill `max_entries`.
    pub ttl: Span,

    /// The largest payload of a session: from 1 byte to `1MiB`. Clients leave a few hundred bytes up to 2 KiB.
    /// Anything larger invites the use of the homeserver as a file store.
    pub max_bytes: Size,

    /// How many sessions there may be at a time: from 1 to 1000000. When there are as many, new ones are refused
    /// with 429 until one expires; live sessions are never ended to make room. `check` prints how much memory this
    /// number of sessions of the size `max_bytes` can take.
    pub max_entries: u32,

    /// Whether the path that clients expect redirects to `prefix` (with 307) to create a session, as Synapse did,
    /// instead of creating it in place: `true` or `false`. The default, `false`, suits every client and spares it a
    /// round trip; sessions answer below both paths in either case.
    pub redirect_unstable: bool,
}

impl Default for RendezvousSection {
    fn default() -> Self {
        Self {
            enabled: false,
            prefix: "/_synapse/client/org.matrix.msc3886/rendezvous".to_owned(),
            ttl: Span(Duration::from_mins(1)),
            max_bytes: Size(4096),
            max_entries: 10_000,
            redirect_unstable: false,
        }
    }
}

impl RendezvousSection {
    /// Checks the section. It is checked even where it is not enabled, so that enabling it brings no surprise.
    pub fn build(self, problems: &mut Problems) -> Option<Rendezvous> {
        let prefix = check_prefix(&self.prefix, problems);
        let limits = self.check_limits(problems);
        let redirects = self.check_redirect(prefix, problems);
        let (prefix, limits) = (prefix?, limits?);
        let redirect = if redirects? { Some(HeaderValue::from_str(prefix).ok()?) } else { None };
        let prefix = Mount::new(prefix);
        let secret_paths = prefix.secret_paths();
        let msc3886 = Msc3886 { prefix, client: Mount::new(CLIENT_PATH), redirect, limits, secret_paths };
        Some(Rendezvous { msc3886: self.enabled.then_some(msc3886) })
    }

    fn check_limits(&self, problems: &mut Problems) -> Option<Limits> {
        let ttl_is_valid = (Duration::from_millis(1)..=Duration::from_hours(1)).contains(&self.ttl.0);
        if !ttl_is_valid {
            let message = format!("{} is not between 1ms and 1h", self.ttl);
            problems.error("rendezvous.ttl", message, "write 60s, or up to 5m for users with slow second factors");
        } else if self.ttl.0 < Duration::from_secs(10) {
            let message =
                format!("sessions end {} after they were opened, before a person has scanned a code", self.ttl);
            problems.warning("rendezvous.ttl", message, "write 60s");
        }
        let size_is_valid = (1..=1 << 20).contains(&self.max_bytes.0);
        if !size_is_valid {
            let message = format!("{} is not between 1 byte and 1MiB", self.max_bytes);
            problems.error("rendezvous.max_bytes", message, "write 4KiB");
        }
        let entries_are_valid = (1..=1_000_000).contains(&self.max_entries);
        if !entries_are_valid {
            let message = format!("{} is not between 1 and 1000000", self.max_entries);
            problems.error(
                "rendezvous.max_entries",
                message,
                "write 10000; to serve no sessions, write enabled: false",
            );
        }
        let max_entries = usize::try_from(self.max_entries).ok()?;
        let limits = Limits { ttl: self.ttl.0, max_bytes: self.max_bytes.0, max_entries };
        (ttl_is_valid && size_is_valid && entries_are_valid).then_some(limits)
    }

    fn check_redirect(&self, prefix: Option<&str>, problems: &mut Problems) -> Option<bool> {
        if self.redirect_unstable && prefix == Some(CLIENT_PATH) {
            let message = "with this `prefix` the path would redirect to itself";
            problems.error("rendezvous.redirect_unstable", message, "write false, or choose another prefix");
            return None;
        }
        Some(self.redirect_unstable)
    }
}

/// The prefix without a trailing slash.
fn check_prefix<'a>(written: &'a str, problems: &mut Problems) -> Option<&'a str> {
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
    let is_above =
        |other: &str| other.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(other) = OTHERS.into_iter().find(|other| is_above(other)) {
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
