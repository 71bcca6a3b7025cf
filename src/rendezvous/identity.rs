//! What names a session and what names a state of it. Both are drawn at random by the edge and passed in.

use std::fmt;

use uuid::Uuid;

/// The id of a session: 122 random bits, written as 32 lower-case hexadecimal digits.
///
/// Whoever has the id may read, write and end the session, so it shows in no `Debug` output and has no `Display`.
/// Looking one up need not take constant time: an attacker who measures how a randomly seeded hash map compares random
/// keys learns nothing that helps to guess the next digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Uuid);

/// A state of a session: opaque, different after every accepted write, and never used again. It is drawn afresh, not
/// computed from the payload, so that writing A, B and A again does not bring the first state back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision(Uuid);

/// What a client calls one of its writes, so that it can repeat it. Kept as a digest together with the session's id,
/// since names may be long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TransactionId(Uuid);

/// A condition on the present revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revisions {
    /// Holds for whatever there is.
    Any,
    /// Holds for these. For none at all when it is empty, as when a client sent tags that cannot be ours.
    OneOf(Vec<Revision>),
}

impl SessionId {
    /// Takes a random UUID (version 4).
    #[must_use]
    pub const fn new(random: Uuid) -> Self {
        Self(random)
    }

    /// Reads an id in the one spelling that we hand out, so that a session has a single URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_simple(text).map(Self)
    }

    /// The id in the clear, for the client that it belongs to and for the store.
    #[must_use]
    pub fn reveal(self) -> String {
        self.0.simple().to_string()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(redacted)")
    }
}

impl TransactionId {
    /// Reads a name: an opaque identifier of at most 255 characters (Matrix specification, appendices, "Opaque
    /// Identifiers").
    #[must_use]
    pub fn parse(session: SessionId, name: &str) -> Option<Self> {
        const MAX: usize = 255;
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let is_opaque = (1..=MAX).contains(&name.len()) && name.bytes().all(is_known);
        is_opaque.then(|| Self(Uuid::new_v5(&session.0, name.as_bytes())))
    }

    /// The name that has this digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(digest))
    }

    /// The digest, for the store: 128 bits.
    #[must_use]
    pub const fn digest(self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransactionId(redacted)")
    }
}

impl Revision {
    /// Takes a random UUID (version 4).
    #[must_use]
    pub const fn new(random: Uuid) -> Self {
        Self(random)
    }

    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_simple(text).map(Self)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl Revisions {
    /// Whether the condition holds.
    #[must_use]
    pub fn include(&self, revision: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(revisions) => revisions.contains(&revision),
        }
    }
}

/// The crate also reads upper case, hyphens and braces.
fn parse_simple(text: &str) -> Option<Uuid> {
    let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours { Uuid::try_parse(text).ok() } else { None }
}
