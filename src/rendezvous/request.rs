//! What is asked of the store, and what comes of it.

use std::sync::Arc;

use http::HeaderValue;

use super::session::{Session, Stamp};
use super::{Limits, Protocol, Refusal, Revisions, SessionId, msc3886, msc4108};
use crate::reply::Reply;

/// What is asked of the store, under which bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose sessions, and how to answer.
    pub dialect: Dialect,
    /// The bounds at the time of the request.
    pub limits: Limits,
    /// What to do.
    pub operation: Operation,
}

/// A protocol, and what its answers need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// See [`Protocol::Msc3886`].
    Msc3886,
    /// See [`Protocol::Msc4108`].
    Msc4108 {
        /// The URL that ids are appended to, with its slash.
        sessions: Arc<str>,
    },
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

    /// Whose sessions.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self.dialect {
            Dialect::Msc3886 => Protocol::Msc3886,
            Dialect::Msc4108 { .. } => Protocol::Msc4108,
        }
    }

    /// The answer that reports an outcome in the words of the request's protocol.
    #[must_use]
    pub fn answer(&self, outcome: Result<Done, Refusal>) -> Reply {
        match &self.dialect {
            Dialect::Msc3886 => msc3886::answer(outcome, self.limits.max_bytes),
            Dialect::Msc4108 { sessions } => msc4108::answer(outcome, sessions),
        }
    }
}
