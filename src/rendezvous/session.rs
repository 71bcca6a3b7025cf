//! The life of a session: opened with a payload, read and replaced for a fixed time, then gone.

mod record;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;

pub use self::record::Record;
use super::{Protocol, Refusal, Revision, Revisions, TransactionId};

/// A point in time in whole milliseconds, not after the year 9999, which is as far as HTTP dates go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// What a session holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    payload: Bytes,
    media_type: MediaType,
}

/// A type, in as little memory as the usual ones allow.
#[derive(Clone, PartialEq, Eq)]
enum MediaType {
    Json,
    Text,
    Other(Box<HeaderValue>),
}

static JSON: HeaderValue = HeaderValue::from_static("application/json");
static TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// What changes about a session with each write, and its end, which does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The present state.
    pub revision: Revision,
    /// When this state was written.
    pub modified: Timestamp,
    /// When the session ends: its creation plus the lifetime. Writes do not extend it.
    pub expires: Timestamp,
}

/// A session of one protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    protocol: Protocol,
    stamp: Stamp,
    content: Content,
    /// Boxed, because most sessions have none.
    history: Option<Box<History>>,
}

/// What a session remembers of its writes, so that a repeated one is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct History {
    /// The state before the present one.
    previous: Option<Revision>,
    /// The named writes, oldest first.
    transactions: Vec<(TransactionId, Verdict)>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It led to this revision.
    Accepted(Revision),
    /// Somebody else had written.
    Refused,
}

/// How a write is recognised that was carried out before, but whose answer its writer has not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Not at all: it is refused, as the revision that it expects is no longer the present one.
    Unknown,
    /// By expecting the revision before the present one and having the present payload. It then succeeds and changes
    /// nothing.
    SameContent,
    /// By its name. What came of the first write with this name in this session is told again, whatever the present
    /// revision is and whatever the content. The last [`MAX_TRANSACTIONS`] names are remembered.
    SameTransaction(TransactionId),
}

/// How many named writes a session remembers. A sign-in takes about ten; a client would have to repeat a write after as
/// many others to find it forgotten.
pub const MAX_TRANSACTIONS: usize = 64;

/// What a full history takes in memory, rounded up.
pub(super) const HISTORY_BYTES: u64 = 3 << 10;

/// A conditional replacement of a session's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Whose session.
    pub protocol: Protocol,
    /// What the writer believes to replace.
    pub expected: Revisions,
    /// What to put in its place.
    pub content: Content,
    /// The revision after the write; never used before.
    pub revision: Revision,
    /// How it is recognised if it was carried out before.
    pub retry: Retry,
}

impl Timestamp {
    const MAX: u64 = 253_402_300_799_999;

    /// The point so many milliseconds after 1970, or the last one there is.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.min(Self::MAX))
    }

    /// The milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// This point, or the last one there is, that much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(Self::MAX))
    }

    /// How long it is from here to `later`; zero if that has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

impl From<SystemTime> for Timestamp {
    /// A clock before 1970 reads as 1970.
    fn from(time: SystemTime) -> Self {
        Self(0).after(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0)
    }
}

impl Content {
    /// Copies the payload: a slice of the buffer that it was received in would keep the whole buffer in memory.
    #[must_use]
    pub fn new(payload: &[u8], media_type: HeaderValue) -> Self {
        let media_type = match media_type {
            json if json == JSON => MediaType::Json,
            text if text == TEXT => MediaType::Text,
            other => MediaType::Other(Box::new(other)),
        };
        Self { payload: Bytes::copy_from_slice(payload), media_type }
    }

    /// The bytes that one device left for the other.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Their type.
    #[must_use]
    pub fn media_type(&self) -> &HeaderValue {
        match &self.media_type {
            MediaType::Json => &JSON,
            MediaType::Text => &TEXT,
            MediaType::Other(other) => other,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes of {:?})", self.payload.len(), self.media_type())
    }
}

impl Session {
    /// Opens a session that ends `ttl` from now.
    #[must_use]
    pub fn open(protocol: Protocol, content: Content, revision: Revision, now: Timestamp, ttl: Duration) -> Self {
        Self { protocol, stamp: Stamp { revision, modified: now, expires: now.after(ttl) }, content, history: None }
    }

    /// Whose it is.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its present state.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// What it holds.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Whether it exists for that protocol at that time: expired is absent, swept or not.
    #[must_use]
    pub fn is_visible(&self, protocol: Protocol, now: Timestamp) -> bool {
        self.protocol == protocol && now < self.stamp.expires
    }

    /// Replaces the content and the revision, or neither. The stamp has the revision that this write led to, also where
    /// it is a repetition and others have followed.
    ///
    /// The caller sees to it that nobody else writes between the comparison and the replacement.
    pub fn write(&mut self, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        if !self.is_visible(write.protocol, now) {
            return Err(Refusal::Absent);
        }
        let Retry::SameTransaction(name) = write.retry else { return self.replace(write, now) };
        match self.recorded(name) {
            Some(Verdict::Accepted(revision)) => return Ok(Stamp { revision, ..self.stamp }),
            Some(Verdict::Refused) => return Err(Refusal::Stale(self.stamp)),
            None => {}
        }
        let outcome = self.replace(write, now);
        let history = self.history.get_or_insert_default();
        if history.transactions.len() >= MAX_TRANSACTIONS {
            history.transactions.remove(0);
        }
        let verdict = outcome.as_ref().map_or(Verdict::Refused, |stamp| Verdict::Accepted(stamp.revision));
        history.transactions.push((name, verdict));
        outcome
    }

    fn replace(&mut self, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        if !write.expected.include(self.stamp.revision) {
            let previous = self.history.as_ref().and_then(|history| history.previous);
            let repeated = write.retry == Retry::SameContent
                && previous.is_some_and(|previous| write.expected.include(previous))
                && write.content == self.content;
            return if repeated { Ok(self.stamp) } else { Err(Refusal::Stale(self.stamp)) };
        }
        match write.retry {
            Retry::Unknown => {}
            Retry::SameContent | Retry::SameTransaction(_) => {
                self.history.get_or_insert_default().previous = Some(self.stamp.revision);
            }
        }
        self.content = write.content;
        self.stamp.revision = write.revision;
        self.stamp.modified = now;
        Ok(self.stamp)
    }

    fn recorded(&self, name: TransactionId) -> Option<Verdict> {
        let transactions = &self.history.as_ref()?.transactions;
        transactions.iter().find(|(known, _)| *known == name).map(|(_, verdict)| *verdict)
    }
}
