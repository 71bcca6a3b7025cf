//! What is asked of the store, and what comes of it.

use std::sync::Arc;

use http::HeaderValue;

use super::session::{Content, Retry, Session, Stamp, Timestamp};
use super::{Access, Limits, Protocol, Refusal, Revisions, SessionId, TransactionId, msc3886, msc4108, msc4388};
use crate::reply::Reply;

/// What is asked, as far as the head tells, and under which bounds.
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
    /// See [`Protocol::Msc4388`].
    Msc4388 {
        /// Whether the path, and with it error codes, are the unstable ones.
        unstable: bool,
        /// Who may open sessions.
        access: Access,
    },
}

/// What can be done to sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Say whether a session could be opened.
    Discover,
    /// Open a session with the body as its payload.
    Create {
        /// The type of the payload.
        media_type: HeaderValue,
    },
    /// Open a session with a payload that the body names.
    CreateFromJson,
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
    /// Replace a session's payload by one that the body names, with the revision that is expected.
    WriteFromJson {
        /// Which.
        id: SessionId,
        /// What the writer calls this write; None where it is recognised by its data.
        transaction: Option<TransactionId>,
    },
    /// End a session.
    Remove {
        /// Which.
        id: SessionId,
    },
}

/// What to do, with the body understood.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Operation`")]
pub enum Command {
    /// See [`Operation::Discover`].
    Discover,
    /// Open a session.
    Create(Content),
    /// See [`Operation::Read`].
    Read { id: SessionId, known: Revisions },
    /// Replace a session's content.
    Write { id: SessionId, expected: Revisions, content: Content, retry: Retry },
    /// See [`Operation::Remove`].
    Remove { id: SessionId },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was found out whether a session could be opened.
    Discovered {
        /// Whether it could, by whoever asked.
        create_available: bool,
    },
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

impl Operation {
    /// The name that `explain` prints.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Create { .. } | Self::CreateFromJson => "create",
            Self::Read { .. } => "read",
            Self::Write { .. } | Self::WriteFromJson { .. } => "write",
            Self::Remove { .. } => "remove",
        }
    }
}

impl Request {
    /// How many bytes of the body to read, or None where the body has no meaning. A longer body is answered with
    /// [`Refusal::TooLarge`], which [`Request::answer`] makes.
    #[must_use]
    pub fn body_limit(&self) -> Option<u64> {
        match self.operation {
            Operation::Create { .. } | Operation::Write { .. } => Some(self.limits.max_bytes),
            Operation::CreateFromJson | Operation::WriteFromJson { .. } => {
                Some(msc4388::body_limit(self.limits.max_bytes))
            }
            Operation::Discover | Operation::Read { .. } | Operation::Remove { .. } => None,
        }
    }

    /// Whether only those may ask who have an account: it then takes an access token that Synapse knows.
    #[must_use]
    pub fn needs_account(&self) -> bool {
        let opens = matches!(self.operation, Operation::Discover | Operation::CreateFromJson);
        opens && matches!(self.dialect, Dialect::Msc4388 { access: Access::Authenticated, .. })
    }

    /// Whose sessions.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self.dialect {
            Dialect::Msc3886 => Protocol::Msc3886,
            Dialect::Msc4108 { .. } => Protocol::Msc4108,
            Dialect::Msc4388 { .. } => Protocol::Msc4388,
        }
    }

    /// Reads the body, of which there are as many bytes as there were, up to one past [`Request::body_limit`]. It is
    /// ignored where there is no limit.
    pub fn command(&self, body: &[u8]) -> Result<Command, Refusal> {
        if let Some(limit) = self.body_limit().filter(|&limit| body.len() as u64 > limit) {
            return Err(Refusal::TooLarge(limit));
        }
        let max_bytes = self.limits.max_bytes;
        Ok(match &self.operation {
            Operation::Discover => Command::Discover,
            Operation::Create { media_type } => Command::Create(Content::new(body, media_type.clone())),
            Operation::CreateFromJson => Command::Create(msc4388::read_creation(body, max_bytes)?),
            Operation::Read { id, known } => Command::Read { id: *id, known: known.clone() },
            Operation::Write { id, expected, media_type } => {
                let content = Content::new(body, media_type.clone());
                Command::Write { id: *id, expected: expected.clone(), content, retry: Retry::Unknown }
            }
            Operation::WriteFromJson { id, transaction } => {
                let (expected, content) = msc4388::read_write(body, max_bytes)?;
                let retry = transaction.map_or(Retry::SameContent, Retry::SameTransaction);
                Command::Write { id: *id, expected, content, retry }
            }
            Operation::Remove { id } => Command::Remove { id: *id },
        })
    }

    /// The answer that reports an outcome in the words of the request's protocol.
    #[must_use]
    pub fn answer(&self, outcome: Result<Done, Refusal>, now: Timestamp) -> Reply {
        match &self.dialect {
            Dialect::Msc3886 => msc3886::answer(outcome, self.limits.max_bytes),
            Dialect::Msc4108 { sessions } => msc4108::answer(outcome, sessions),
            Dialect::Msc4388 { unstable, .. } => msc4388::answer(outcome, *unstable, now),
        }
    }
}
