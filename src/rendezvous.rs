//! Sign-in by QR code: which requests belong to a rendezvous session, and what they may do to it.
//!
//! A request becomes a [`Claim`] from its head alone. What is left of it, a [`Request`], is carried out on a store of
//! sessions by whoever has a clock, randomness and the store; the outcome comes back here to become an answer. This
//! room knows neither stores nor bodies in flight, and each protocol's own words stand in that protocol's file.

mod advertisement;
mod allowance;
pub mod capacity;
mod fields;
mod identity;
mod keeping;
mod msc3886;
mod msc4108;
mod msc4388;
mod refusal;
mod request;
mod section;
pub mod session;

use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::advertisement::{Advertisement, MAX_VERSIONS, VERSIONS};
pub use self::allowance::{Allowance, Room, Visitor};
pub use self::identity::{Revision, Revisions, SessionId, TransactionId};
pub use self::keeping::{Keeping, RedisEndpoint, RedisServer};
use self::msc3886::Msc3886;
use self::msc4108::Msc4108;
use self::msc4388::Msc4388;
pub use self::refusal::Refusal;
pub use self::request::{Command, Dialect, Done, Operation, Request};
pub use self::section::{Msc3886Section, Msc4108Section, Msc4388Section, QuotaSection, RendezvousSection};
use crate::inbound::Inbound;
use crate::matrix::MatrixError;
use crate::quantity::Size;
use crate::reply::Reply;

/// The protocols, each with its own sessions: one protocol's session does not exist for another, so that the rules of
/// the stricter one cannot be passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Entity tags and `Location` (MSC3886, revision of October 2022, as all clients implement it).
    Msc3886,
    /// Entity tags and the URL of the session (MSC4108, revision of 2024).
    Msc4108,
    /// Sequence tokens and JSON (MSC4388).
    Msc4388,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Msc3886, Self::Msc4108, Self::Msc4388];

    /// The name in metrics and in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msc3886 => "msc3886",
            Self::Msc4108 => "msc4108",
            Self::Msc4388 => "msc4388",
        }
    }
}

/// Who serves a protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// The gateway.
    #[default]
    Gateway,
    /// Synapse.
    Upstream,
    /// Nobody: the paths are answered with 404.
    Off,
}

/// Who may open sessions, where a protocol lets the server decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who has an access token that Synapse knows.
    Authenticated,
}

/// The bounds of one protocol's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a session lives, counted from its creation.
    pub ttl: Duration,
    /// The largest payload, in bytes, inclusive.
    pub max_bytes: u64,
    /// How many sessions there may be.
    pub room: Room,
}

/// The rendezvous protocols as configured; nothing where they are switched off as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    protocols: Option<Protocols>,
    allowance: Allowance,
    advertisement: Option<Advertisement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Protocols {
    keeping: Keeping,
    room: Room,
    msc3886: Msc3886,
    msc4108: Msc4108,
    msc4388: Msc4388,
}

/// A request that belongs to the rendezvous endpoints, whatever comes of it. Unless Synapse serves the protocol, nothing
/// of it may get there: Synapse has some of the same paths, with sessions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A CORS preflight, for [`crate::reply::CorsKind::Rendezvous`].
    Preflight,
    /// Answered from the head alone.
    Reply(Box<Reply>),
    /// To be carried out on the store.
    Exchange(Request),
    /// To be forwarded to the one process of Synapse that has the sessions in its memory.
    Upstream,
}

impl Rendezvous {
    /// Whether the request is for a rendezvous endpoint, and what is to be done about it.
    ///
    /// Called for every request: it compares the path, and allocates nothing unless the request is ours.
    #[must_use]
    pub fn claims(&self, inbound: &Inbound) -> Option<Claim> {
        let Protocols { msc3886, msc4108, msc4388, .. } = self.protocols.as_ref()?;
        let newer = || msc4108.claims(inbound).or_else(|| msc4388.claims(inbound));
        msc3886.claims(inbound).or_else(newer)
    }

    /// What one client and one session may take.
    #[must_use]
    pub const fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// What to add to Synapse's answer to [`VERSIONS`], if anything.
    #[must_use]
    pub const fn advertisement(&self) -> Option<&Advertisement> {
        self.advertisement.as_ref()
    }

    /// The configured paths below which ids stand, for whoever writes paths down. Those of the protocols themselves
    /// are the same everywhere and not listed.
    #[must_use]
    pub fn secret_paths(&self) -> &[String] {
        self.protocols.as_ref().map_or(&[], |protocols| &protocols.msc3886.secret_paths)
    }

    /// Where the sessions are kept; None where there are none.
    #[must_use]
    pub fn keeping(&self) -> Option<&Keeping> {
        self.protocols.as_ref().map(|protocols| &protocols.keeping)
    }

    /// How many sessions there may be, of all protocols together; None where there are none.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        self.protocols.as_ref().map(|protocols| protocols.room)
    }

    /// What the sessions that are kept here can take in memory when every one of them is as large as it may be.
    #[must_use]
    pub fn worst_case_memory(&self) -> Size {
        let Some(Protocols { msc3886, msc4108, msc4388, .. }) = &self.protocols else { return Size(0) };
        let protocols = [
            (msc3886.served, &msc3886.limits, 0),
            (msc4108.served, &msc4108.limits, 0),
            (msc4388.served, &msc4388.limits, session::HISTORY_BYTES),
        ];
        let ours = protocols.into_iter().filter(|(served, ..)| *served == Served::Gateway);
        // They share the places: at worst all of them are taken by sessions of the largest kind.
        let sessions = ours.map(|(_, limits, beside)| capacity::worst_case(limits, beside)).max();
        sessions.map_or(Size(0), |sessions| Size(sessions.saturating_add(self.allowance.worst_case())))
    }
}

impl Served {
    /// What becomes of a request for one of the protocol's paths; `ours` says it where the gateway serves them.
    fn claim(self, inbound: &Inbound, ours: impl FnOnce() -> Claim) -> Claim {
        match self {
            Self::Upstream => Claim::Upstream,
            Self::Gateway | Self::Off if inbound.method == Method::OPTIONS => Claim::Preflight,
            Self::Gateway => ours(),
            Self::Off => Claim::Reply(Box::new(MatrixError::unrecognized().into())),
        }
    }
}

#[cfg(test)]
mod tests;
