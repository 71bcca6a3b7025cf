//! The `rendezvous` section: the keys, names and defaults of Synapse's former rendezvous module, and the protocols that
//! came after it.

mod prefix;
mod quota;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::prefix::check_prefix;
pub use self::quota::QuotaSection;
use super::msc3886::{CLIENT_PATH, Mount, Msc3886};
use super::msc4108::{self, Msc4108};
use super::msc4388::Msc4388;
use super::{Access, Advertisement, Keeping, Limits, Protocols, Rendezvous, Room, Served};
use crate::problem::Problems;
use crate::quantity::{Size, Span};

/// Sign-in by QR code: short messages that two devices of a user leave for each other at the homeserver until they
/// have a channel of their own. There are several protocols, of which each client speaks one; the gateway serves all of
/// them side by side, unless `serve` says otherwise. Sessions outlive a restart of Synapse, a reload of the gateway and
/// its restart; several gateways share them where `store` names a Redis.
///
/// The keys `prefix`, `ttl`, `max_bytes` and `redirect_unstable` are those of MSC3886, which Synapse itself has not
/// served since version 1.120. A block of the former module `matrix_http_rendezvous_synapse` can be pasted here as it
/// is.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the sections of the protocols are documented at their types")]
pub struct RendezvousSection {
    /// Whether the gateway looks after the rendezvous protocols: `true` or `false`. While it is `false`, which is the
    /// default, all their paths are treated like any other of their kind, and everything else here is of no effect.
    pub enabled: bool,

    /// The path below which sessions of MSC3886 live, besides the path that clients expect,
    /// `/_matrix/client/unstable/org.matrix.msc3886/rendezvous`, which is always served too. Starts with a slash;
    /// consists of letters, digits, `-`, `.`, `_` and `~` between single slashes. Everything below it is answered by
    /// the gateway and never reaches Synapse, and so are the ids of sessions in the place of its last segment, where
    /// clients look that resolve them as relative URLs.
    pub prefix: String,

    /// How long a session of MSC3886 lives, counted from its creation: more than zero, at most `1h`. Writing to a
    /// session does not extend it. Too short, and nobody gets through a sign-in in time; long lifetimes let abandoned
    /// sessions fill `max_entries`.
    pub ttl: Span,

    /// The largest payload of a session of MSC3886: from 1 byte to `1MiB`. Clients leave a few hundred bytes up to 2
    /// KiB. Anything larger invites the use of the homeserver as a file store.
    pub max_bytes: Size,

    /// How many sessions there may be at a time, of all protocols together: from 1 to 1000000. When there are as many,
    /// new ones are refused with 429 until one expires; live sessions are never ended to make room. `check` prints how
    /// much memory this number of sessions of the largest size can take.
    pub max_entries: u32,

    /// Whether the path that clients of MSC3886 expect redirects to `prefix` (with 307) to create a session, as Synapse
    /// did, instead of creating it in place: `true` or `false`. The default, `false`, suits every client and spares it
    /// a round trip; sessions answer below both paths in either case.
    pub redirect_unstable: bool,

    /// Whether clients are told of the protocols: `true` or `false`. With `true`, Synapse's answer to
    /// `/_matrix/client/versions` says `true` of what the gateway serves and `false` of what is `off`
    /// (`org.matrix.msc3886`, `org.matrix.msc4108`, `io.element.msc4388`); of what Synapse serves it says what Synapse
    /// says. Element Web looks there before it offers to sign in by QR code. The default, `false`, leaves the answer
    /// alone. Clients and caches keep it for up to an hour.
    pub advertise: bool,

    /// Where sessions are kept. `memory`, the default, is the memory of this gateway; `redis://host:port/database`,
    /// `rediss://host:port/database` (TLS, with a certificate that this machine trusts) or
    /// `unix:/path/of/socket?db=database` is a Redis (6 or later) or Valkey, in which all gateways that name the same
    /// database share their sessions, their `max_entries` included. The clocks of these gateways must agree to a
    /// second. While Redis cannot be reached, the rendezvous endpoints answer 503 and nothing else is affected. It may
    /// be the Redis of Synapse's workers: all keys begin with `synapse-gateway:rendezvous:`, and those that are not
    /// removed expire. Danger: `redis://` to another machine crosses the network in the clear. It changes
    /// with the process, as `limits.upstream_idle` does; sessions do not move.
    pub store: String,

    /// The file that has the password of the Redis in `store` in its first line; readable for the user
    /// `synapse-gateway` alone. It is read at the start. Unset by default: no password is sent.
    pub store_password_file: Option<PathBuf>,

    /// The directory in which the sessions of `store: memory` wait while the gateway restarts: they are written there
    /// (to the file `rendezvous-sessions`, mode 0600, at most 256 MiB) when the gateway stops, and read and removed when
    /// it starts. Unset, it is the runtime directory that systemd gives the service, or `/run/synapse-gateway` if there
    /// is one. If there is none, or if the gateway is killed or crashes, whoever is signing in at that moment has to
    /// begin again.
    pub state_dir: Option<PathBuf>,

    pub msc3886: Msc3886Section,
    pub msc4108: Msc4108Section,
    pub msc4388: Msc4388Section,
    pub limits: QuotaSection,
}

/// The protocol of 2022 (MSC3886), which Element Web and the classic Element apps spoke until 2024. Its other keys are
/// those of the former module: `prefix`, `ttl`, `max_bytes` and `redirect_unstable` above.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Msc3886Section {
    /// Who serves it: `gateway`, which is the default; `upstream`, which passes the requests to Synapse and is of use
    /// before a Synapse older than 1.120 with the module; `off`, which answers them with 404.
    pub serve: Served,
}

/// The protocol of 2024 (MSC4108), which Element X and Element Web speak. It needs `public_baseurl`, since the URL of a
/// session goes into the QR code. Clients that sign in this way also need Matrix Authentication Service.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Msc4108Section {
    /// Who serves it: `gateway`, which is the default and works whether or not `msc4108_enabled` is set in Synapse;
    /// `upstream`, which passes the requests to Synapse's main process; `off`, which answers them with 404.
    pub serve: Served,

    /// How long a session lives, counted from its creation: more than zero, at most `1h`. Synapse's own sessions live
    /// as long as the default. Write up to `5m` where signing in takes a second factor: a session that ends meanwhile
    /// ends the sign-in.
    pub ttl: Span,

    /// The largest payload: from 1 byte to `1MiB`. The default is what the protocol asks for.
    pub max_bytes: Size,
}

/// The protocol that is to follow (MSC4388), at its unstable and its stable path.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Msc4388Section {
    /// Who serves it: `gateway`, which is the default; `upstream`, which passes the requests to Synapse's main process
    /// and takes `msc4388_mode` there; `off`, which answers them with 404.
    pub serve: Served,

    /// How long a session lives, counted from its creation: more than zero, at most `1h`. The protocol asks for two
    /// to five minutes.
    pub ttl: Span,

    /// The largest payload, counted as UTF-8: from 1 byte to `1MiB`. The default is what the protocol asks for.
    pub max_bytes: Size,

    /// Who may open sessions: `open`, which is everybody; `authenticated`, which is everybody with an access token that
    /// Synapse knows. Synapse is asked for each token, and the answer kept for a minute. The default is `open`: the new
    /// device has no token yet, and the other does not send its own so far. What limits abuse are the `limits` below.
    pub create: Access,
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
            store: "memory".to_owned(),
            store_password_file: None,
            state_dir: None,
            advertise: false,
            msc3886: Msc3886Section::default(),
            msc4108: Msc4108Section::default(),
            msc4388: Msc4388Section::default(),
            limits: QuotaSection::default(),
        }
    }
}

impl Default for Msc4108Section {
    fn default() -> Self {
        Self { serve: Served::Gateway, ttl: Span(Duration::from_mins(1)), max_bytes: Size(4096) }
    }
}

impl Default for Msc4388Section {
    fn default() -> Self {
        Self { serve: Served::Gateway, ttl: Span(Duration::from_mins(2)), max_bytes: Size(4096), create: Access::Open }
    }
}

impl RendezvousSection {
    /// Checks the section. It is checked even where it is not enabled, so that enabling it brings no surprise.
    ///
    /// `public_baseurl` is the URL that clients use, which is checked elsewhere.
    pub fn build(self, public_baseurl: Option<&str>, problems: &mut Problems) -> Option<Rendezvous> {
        let max_entries = self.check_entries(problems);
        let quota = self.limits.build(max_entries, problems);
        let room = quota.map(|(room, _)| room);
        let msc3886 = self.build_msc3886(room, problems);
        let msc4108 = self.msc4108.build(room, public_baseurl, problems);
        let msc4388 = self.msc4388.build(room, problems);
        let keeping = Keeping::build(&self.store, self.store_password_file, self.state_dir, problems);
        if self.enabled && self.msc4108.serve == Served::Gateway && public_baseurl.is_none() {
            let message = "sessions of MSC4108 have absolute URLs, and the URL of the homeserver is not known";
            problems.error("rendezvous.msc4108.serve", message, "set public_baseurl, or write upstream or off");
            return None;
        }
        let protocols =
            Protocols { keeping: keeping?, room: room?, msc3886: msc3886?, msc4108: msc4108?, msc4388: msc4388? };
        let advertisement = (self.enabled && self.advertise).then(|| Advertisement::of(&protocols));
        Some(Rendezvous { protocols: self.enabled.then_some(protocols), allowance: quota?.1, advertisement })
    }

    fn build_msc3886(&self, room: Option<Room>, problems: &mut Problems) -> Option<Msc3886> {
        let prefix = check_prefix(&self.prefix, problems);
        let limits = check_limits("rendezvous", self.ttl, self.max_bytes, room, problems);
        let redirects = self.check_redirect(prefix, problems);
        let (prefix, limits) = (prefix?, limits?);
        let redirect = if redirects? { Some(HeaderValue::from_str(prefix).ok()?) } else { None };
        let prefix = Mount::new(prefix);
        let secret_paths = prefix.secret_paths();
        let client = Mount::new(CLIENT_PATH);
        Some(Msc3886 { served: self.msc3886.serve, prefix, client, redirect, limits, secret_paths })
    }

    fn check_entries(&self, problems: &mut Problems) -> Option<usize> {
        if !(1..=1_000_000).contains(&self.max_entries) {
            let message = format!("{} is not between 1 and 1000000", self.max_entries);
            problems.error(
                "rendezvous.max_entries",
                message,
                "write 10000; to serve no sessions, write enabled: false",
            );
            return None;
        }
        usize::try_from(self.max_entries).ok()
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

impl Msc4108Section {
    fn build(&self, room: Option<Room>, base: Option<&str>, problems: &mut Problems) -> Option<Msc4108> {
        let limits = check_limits("rendezvous.msc4108", self.ttl, self.max_bytes, room, problems)?;
        let base = base.unwrap_or_default().trim_end_matches('/');
        let sessions = format!("{base}{}/", msc4108::SESSIONS).into();
        Some(Msc4108 { served: self.serve, limits, sessions })
    }
}

impl Msc4388Section {
    fn build(&self, room: Option<Room>, problems: &mut Problems) -> Option<Msc4388> {
        let limits = check_limits("rendezvous.msc4388", self.ttl, self.max_bytes, room, problems)?;
        Some(Msc4388 { served: self.serve, limits, access: self.create })
    }
}

/// Checks what each protocol has, at the keys below `path`.
fn check_limits(path: &str, ttl: Span, max_bytes: Size, room: Option<Room>, problems: &mut Problems) -> Option<Limits> {
    let ttl_is_valid = (Duration::from_millis(1)..=Duration::from_hours(1)).contains(&ttl.0);
    if !ttl_is_valid {
        let message = format!("{ttl} is not between 1ms and 1h");
        problems.error(format!("{path}.ttl"), message, "write 60s, or up to 5m for users with slow second factors");
    } else if ttl.0 < Duration::from_secs(10) {
        let message = format!("sessions end {ttl} after they were opened, before a person has scanned a code");
        problems.warning(format!("{path}.ttl"), message, "write 60s");
    }
    let size_is_valid = (1..=1 << 20).contains(&max_bytes.0);
    if !size_is_valid {
        let message = format!("{max_bytes} is not between 1 byte and 1MiB");
        problems.error(format!("{path}.max_bytes"), message, "write 4KiB");
    }
    let limits = Limits { ttl: ttl.0, max_bytes: max_bytes.0, room: room? };
    (ttl_is_valid && size_is_valid).then_some(limits)
}
