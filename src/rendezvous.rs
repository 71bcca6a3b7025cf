//! Sign-in by QR code: which requests belong to a rendezvous session, and what they may do to it.
//!
//! A request becomes a [`Claim`] from its head alone. What is left of it, a [`Request`], is carried out on a store of
//! sessions by whoever has a clock, randomness and the store; the outcome comes back here to become an answer. This
//! room knows neither stores nor bodies in flight, and each protocol's own words stand in that protocol's file.

pub mod capacity;
mod fields;
mod identity;
mod msc3886;
mod refusal;
mod section;
pub mod session;

use std::time::Duration;

use http::HeaderValue;

pub use self::identity::{Revision, Revisions, SessionId};
use self::msc3886::Msc3886;
pub use self::refusal::Refusal;
pub use self::section::RendezvousSection;
use self::session::{Session, Stamp};
use crate::inbound::Inbound;
use crate::quantity::Size;
use crate::reply::Reply;

/// The protocols, each with its own sessions: one protocol's session does not exist for another, so that the rules of
/// the stricter one cannot be passed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Entity tags and `Location` (MSC3886, revision of October 2022, as all clients implement it).
    Msc3886,
}

/// The bounds of one protocol's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a session lives, counted from its creation.
    pub ttl: Duration,
    /// The largest payload, in bytes, inclusive.
    pub max_bytes: u64,
    /// How many sessions there may be, of all protocols together.
    pub max_entries: usize,
}

/// The rendezvous protocols as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    msc3886: Option<Msc3886>,
}

/// A request that belongs to the rendezvous endpoints, whatever comes of it. Nothing of it may reach Synapse, which
/// serves some of the same paths from sessions of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A CORS preflight, for [`crate::reply::CorsKind::Rendezvous`].
    Preflight,
    /// Answered from the head alone.
    Reply(Box<Reply>),
    /// To be carried out on the store.
    Exchange(Request),
}

/// What is asked of the store, under which bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose sessions.
    pub protocol: Protocol,
    /// The bounds at the time of the request.
    pub limits: Limits,
    /// What to do.
    pub operation: Operation,
}

/// What can be done to sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Open a session with the body as its payload.
    Create {
        /// The type of the payload.
        media_type: HeaderValue,
    },
    /// Read a session, unless the reader has seen its present revision.
    Read {
        /// Which.
        id: SessionId,
        /// What the reader has seen.
        known: Revisions,
    },
    /// Replace a session's payload by the body, if its revision is one of those expected.
    Write {
        /// Which.
        id: SessionId,
        /// What the writer believes to replace.
        expected: Revisions,
        /// The type of the payload.
        media_type: HeaderValue,
    },
    /// End a session.
    Remove {
        /// Which.
        id: SessionId,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The session is open.
    Created(SessionId, Stamp),
    /// The session as it is.
    Found(Session),
    /// The reader has seen this revision.
    Unchanged(Stamp),
    /// The session after the write.
    Written(Stamp),
    /// The session has ended.
    Removed,
}

impl Rendezvous {
    /// Whether the request is for a rendezvous endpoint, and what is to be done about it.
    ///
    /// Called for every request: it compares the path, and allocates nothing unless the request is ours.
    #[must_use]
    pub fn claims(&self, inbound: &Inbound) -> Option<Claim> {
        self.msc3886.as_ref()?.claims(inbound)
    }

    /// The configured paths below which ids stand, for whoever writes paths down. Those of the protocols themselves
    /// are the same everywhere and not listed.
    #[must_use]
    pub fn secret_paths(&self) -> &[String] {
        self.msc3886.as_ref().map_or(&[], |msc3886| &msc3886.secret_paths)
    }

    /// What the sessions can take in memory when every one of them is as large as it may be.
    #[must_use]
    pub fn worst_case_memory(&self) -> Size {
        self.msc3886.as_ref().map_or(Size(0), |msc3886| capacity::worst_case(&msc3886.limits))
    }
}

impl Request {
    /// How many bytes of the body to read, or None where the body has no meaning. A longer body is answered with
    /// [`Refusal::TooLarge`], which [`Request::answer`] makes.
    #[must_use]
    pub fn body_limit(&self) -> Option<u64> {
        match self.operation {
            Operation::Create { .. } | Operation::Write { .. } => Some(self.limits.max_bytes),
            Operation::Read { .. } | Operation::Remove { .. } => None,
        }
    }

    /// The answer that reports an outcome in the words of the request's protocol.
    #[must_use]
    pub fn answer(&self, outcome: Result<Done, Refusal>) -> Reply {
        match self.protocol {
            Protocol::Msc3886 => msc3886::answer(outcome, self.limits.max_bytes),
        }
    }
}

#[cfg(test)]
mod tests;
