//! Sessions in the memory of the process that has taken this one's place: asked for over its control socket, while the
//! last connections of this one end.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::item::Item;
use super::{Resident, Store};
use crate::rendezvous::session::{Content, Retry, Session, Stamp, Timestamp, Write};
use crate::rendezvous::{Protocol, Refusal, Revision, Revisions, Room, SessionId, TransactionId, Visitor};

/// The order that begins an exchange, on a line as all orders are.
const ORDER: &[u8] = b"{\"order\":\"session\"}\n";
/// The longest question or answer: the largest payload, and what is said of it.
const LONGEST: u32 = 2 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many questions are asked at a time; the others wait for their turn.
const AT_A_TIME: usize = 8;
/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) const UNAVAILABLE: Refusal = Refusal::Unavailable { retry_after: RETRY_AFTER };

/// What is wanted of a store.
#[derive(Serialize, Deserialize)]
enum Question {
    Create {
        item: Item,
        max_entries: usize,
        max_per_visitor: u32,
        now: u64,
    },
    Read {
        id: String,
        protocol: String,
        now: u64,
    },
    Write {
        id: String,
        protocol: String,
        /// None is whatever there is.
        expected: Option<Vec<String>>,
        media_type: Bytes,
        payload: Bytes,
        revision: String,
        retry: Repetition,
        now: u64,
    },
    Remove {
        id: String,
        protocol: String,
        now: u64,
    },
}

#[derive(Serialize, Deserialize)]
enum Repetition {
    Unknown,
    SameContent,
    SameTransaction([u8; 16]),
}

#[derive(Serialize, Deserialize)]
enum Outcome {
    Done,
    Session(Item),
    Stamp(State),
    Absent,
    Taken,
    Stale(State),
    Full { millis: u64 },
    Crowded { millis: u64 },
    Unavailable,
}

#[derive(Serialize, Deserialize)]
struct State {
    revision: String,
    modified: u64,
    expires: u64,
}

/// The process that has the sessions.
#[derive(Debug)]
pub struct Successor {
    socket: PathBuf,
    places: Semaphore,
}

impl Successor {
    /// Has its control socket there.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket, places: Semaphore::new(AT_A_TIME) }
    }

    pub(super) async fn create(
        &self,
        id: SessionId,
        session: Session,
        visitor: Visitor,
        room: Room,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let item = Item::of(Resident { id, visitor, session });
        let Room { max_entries, max_per_visitor } = room;
        self.ask(Question::Create { item, max_entries, max_per_visitor, now: now.millis() }).await?.done()
    }

    pub(super) async fn read(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<Session, Refusal> {
        let protocol = protocol.as_str().to_owned();
        let outcome = self.ask(Question::Read { id: id.reveal(), protocol, now: now.millis() }).await?;
        let Outcome::Session(item) = outcome else { return Err(outcome.refusal()) };
        item.open().map(|resident| resident.session).ok_or(UNAVAILABLE)
    }

    pub(super) async fn write(&self, id: SessionId, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        let Write { protocol, expected, content, revision, retry } = write;
        let question = Question::Write {
            id: id.reveal(),
            protocol: protocol.as_str().to_owned(),
            expected: match expected {
                Revisions::Any => None,
                Revisions::OneOf(revisions) => Some(revisions.iter().map(Revision::to_string).collect()),
            },
            media_type: Bytes::copy_from_slice(content.media_type().as_bytes()),
            payload: content.payload().clone(),
            revision: revision.to_string(),
            retry: match retry {
                Retry::Unknown => Repetition::Unknown,
                Retry::SameContent => Repetition::SameContent,
                Retry::SameTransaction(name) => Repetition::SameTransaction(name.digest()),
            },
            now: now.millis(),
        };
        let outcome = self.ask(question).await?;
        let Outcome::Stamp(state) = outcome else { return Err(outcome.refusal()) };
        state.open().ok_or(UNAVAILABLE)
    }

    pub(super) async fn remove(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<(), Refusal> {
        let protocol = protocol.as_str().to_owned();
        self.ask(Question::Remove { id: id.reveal(), protocol, now: now.millis() }).await?.done()
    }

    async fn ask(&self, question: Question) -> Result<Outcome, Refusal> {
        let asked = async {
            let _place = self.places.acquire().await.map_err(io::Error::other)?;
            let mut stream = UnixStream::connect(&self.socket).await?;
            stream.write_all(ORDER).await?;
            send(&mut stream, &question).await?;
            receive(&mut stream).await
        };
        let outcome = timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        outcome.map_err(|error| {
            log::warn!("the process that has the rendezvous sessions does not answer: {error}");
            UNAVAILABLE
        })
    }
}

/// Answers the question of a process whose place this one has taken. `begun` is what has come of it already.
pub(in crate::edge) async fn answer(store: &Store, begun: &[u8], mut stream: UnixStream) -> io::Result<()> {
    let question = timeout(PATIENCE, receive(&mut begun.chain(&mut stream))).await??;
    let outcome = carry_out(store, question).await.unwrap_or_else(|| Ok(Outcome::Unavailable));
    let outcome = outcome.unwrap_or_else(Outcome::refused);
    timeout(PATIENCE, send(&mut stream, &outcome)).await?
}

/// None if it is a question that nobody asks.
async fn carry_out(store: &Store, question: Question) -> Option<Result<Outcome, Refusal>> {
    let protocol_of = |text: &str| Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == text);
    Some(match question {
        Question::Create { item, max_entries, max_per_visitor, now } => {
            let Resident { id, visitor, session } = item.open()?;
            let room = Room { max_entries, max_per_visitor };
            let created = store.create(id, session, visitor, room, Timestamp::from_millis(now)).await;
            created.map(|()| Outcome::Done)
        }
        Question::Read { id, protocol, now } => {
            let id = SessionId::parse(&id)?;
            let read = store.read(id, protocol_of(&protocol)?, Timestamp::from_millis(now)).await;
            // Whose it is stays here.
            let visitor = Visitor::named(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            read.map(|session| Outcome::Session(Item::of(Resident { id, visitor, session })))
        }
        Question::Write { id, protocol, expected, media_type, payload, revision, retry, now } => {
            let expected = match expected {
                None => Revisions::Any,
                Some(list) => Revisions::OneOf(list.iter().map(|text| Revision::parse(text)).collect::<Option<_>>()?),
            };
            let write = Write {
                protocol: protocol_of(&protocol)?,
                expected,
                content: Content::new(&payload, HeaderValue::from_bytes(&media_type).ok()?),
                revision: Revision::parse(&revision)?,
                retry: match retry {
                    Repetition::Unknown => Retry::Unknown,
                    Repetition::SameContent => Retry::SameContent,
                    Repetition::SameTransaction(name) => Retry::SameTransaction(TransactionId::from_digest(name)),
                },
            };
            let written = store.write(SessionId::parse(&id)?, write, Timestamp::from_millis(now)).await;
            written.map(|stamp| Outcome::Stamp(State::of(stamp)))
        }
        Question::Remove { id, protocol, now } => {
            let id = SessionId::parse(&id)?;
            let removed = store.remove(id, protocol_of(&protocol)?, Timestamp::from_millis(now)).await;
            removed.map(|()| Outcome::Done)
        }
    })
}

impl Outcome {
    #[expect(clippy::needless_pass_by_value, reason = "it is what an answer has in place of an outcome")]
    fn refused(refusal: Refusal) -> Self {
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        match refusal {
            Refusal::Absent => Self::Absent,
            Refusal::Taken => Self::Taken,
            Refusal::Stale(stamp) => Self::Stale(State::of(stamp)),
            Refusal::Full { retry_after } => Self::Full { millis: millis(retry_after) },
            Refusal::Crowded { retry_after } => Self::Crowded { millis: millis(retry_after) },
            // Everything else is refused before a store is asked.
            Refusal::Method(_)
            | Refusal::TooLarge(_)
            | Refusal::MissingHeader(_)
            | Refusal::InvalidHeader(_)
            | Refusal::MediaType
            | Refusal::Json
            | Refusal::Transaction
            | Refusal::NoToken
            | Refusal::UnknownToken
            | Refusal::Unverified { .. }
            | Refusal::Unrecognized
            | Refusal::Navigation
            | Refusal::TooOften { .. }
            | Refusal::Unavailable { .. } => Self::Unavailable,
        }
    }

    fn done(self) -> Result<(), Refusal> {
        match self {
            Self::Done => Ok(()),
            Self::Session(_)
            | Self::Stamp(_)
            | Self::Absent
            | Self::Taken
            | Self::Stale(_)
            | Self::Full { .. }
            | Self::Crowded { .. }
            | Self::Unavailable => Err(self.refusal()),
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Absent => Refusal::Absent,
            Self::Taken => Refusal::Taken,
            Self::Stale(state) => state.open().map_or(UNAVAILABLE, Refusal::Stale),
            Self::Full { millis } => Refusal::Full { retry_after: Duration::from_millis(millis) },
            Self::Crowded { millis } => Refusal::Crowded { retry_after: Duration::from_millis(millis) },
            // Or the answer to another question.
            Self::Unavailable | Self::Done | Self::Session(_) | Self::Stamp(_) => UNAVAILABLE,
        }
    }
}

impl State {
    fn of(Stamp { revision, modified, expires }: Stamp) -> Self {
        Self { revision: revision.to_string(), modified: modified.millis(), expires: expires.millis() }
    }

    fn open(self) -> Option<Stamp> {
        Some(Stamp {
            revision: Revision::parse(&self.revision)?,
            modified: Timestamp::from_millis(self.modified),
            expires: Timestamp::from_millis(self.expires),
        })
    }
}

async fn send(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    ciborium::into_writer(message, &mut bytes).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    for (place, byte) in bytes.iter_mut().zip(length.to_be_bytes()) {
        *place = byte;
    }
    stream.write_all(&bytes).await
}

async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let length = stream.read_u32().await?;
    if length > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    if stream.take(length.into()).read_to_end(&mut bytes).await? < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    ciborium::from_reader(&bytes[..]).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
pub(super) mod fixture;
