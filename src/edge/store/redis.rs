//! Sessions in Redis or Valkey, shared by several gateways.
//!
//! A session is a hash below the SHA-256 of its id, so that whoever sees the keys cannot use them; an id has 122 random
//! bits, which need no salt. Each operation is one command or one script, and so one step on the server. The expiry is
//! Redis's own, set when the session is opened and left alone by writes. A sorted set has each protocol's sessions in the
//! order in which they expire, by Redis's clock; by these sets `max_entries` is counted. Each visitor has one too.

mod link;

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderValue;
use redis::{RedisError, Script, ScriptInvocation};

use self::link::Link;
pub use self::link::{Password, PasswordError};
use crate::edge::metrics::RendezvousUsage;
use crate::rendezvous::session::{Content, MAX_TRANSACTIONS, Record, Retry, Session, Stamp, Timestamp, Write};
use crate::rendezvous::{Protocol, RedisServer, Refusal, Revision, Revisions, Room, SessionId, Visitor};

/// The braces keep all keys in one slot of a cluster, which is where scripts may touch them together.
const PREFIX: &str = "synapse-gateway:rendezvous:{sessions}:";
/// How many names of expired sessions each new one takes out.
const DEPARTURES_PER_ARRIVAL: usize = 16;
/// How many one sweep takes out.
const DEPARTURES_PER_SWEEP: usize = 1000;
/// A name and the revision that it led to.
const HISTORY_BYTES: usize = MAX_TRANSACTIONS * (16 + 32);
/// When to try again: the connection is tried again sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sessions in Redis.
pub struct RedisStore {
    link: Link,
    create: Script,
    write: Script,
    remove: Script,
    sweep: Script,
    counted: [Counters; Protocol::ALL.len()],
}

/// What Redis said last of a protocol's sessions, and how many expired ones this gateway has taken out.
#[derive(Default)]
struct Counters {
    entries: AtomicU64,
    expired: AtomicU64,
}

impl Counters {
    fn update(&self, live: u64, departed: u64) {
        self.entries.store(live, Ordering::Relaxed);
        self.expired.fetch_add(departed, Ordering::Relaxed);
    }
}

impl RedisStore {
    /// A store that connects when it is first needed, and again whenever the connection is lost.
    pub fn new(server: &RedisServer, password: Option<&Password>) -> Result<Self, RedisError> {
        Ok(Self {
            link: Link::new(server, password)?,
            create: Script::new(include_str!("redis/create.lua")),
            write: Script::new(include_str!("redis/write.lua")),
            remove: Script::new(include_str!("redis/remove.lua")),
            sweep: Script::new(include_str!("redis/sweep.lua")),
            counted: Default::default(),
        })
    }

    pub(super) async fn create(
        &self,
        id: SessionId,
        session: Session,
        visitor: Visitor,
        room: Room,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Record { protocol, stamp, content, .. } = session.into();
        let (key, name) = key(id);
        let ttl = u64::try_from(now.until(stamp.expires).as_millis()).unwrap_or(u64::MAX);
        let mut call = self.create.key(key);
        call.key(order(protocol)).key(visitor_order(visitor));
        for other in Protocol::ALL.into_iter().filter(|other| *other != protocol) {
            call.key(order(other));
        }
        call.arg(name).arg(ttl.max(1));
        call.arg(room.max_entries).arg(room.max_per_visitor).arg(DEPARTURES_PER_ARRIVAL);
        call.arg("protocol").arg(protocol.as_str()).arg("expires").arg(stamp.expires.millis());
        call.arg("revision").arg(stamp.revision.to_string()).arg("modified").arg(stamp.modified.millis());
        call.arg("media_type").arg(content.media_type().as_bytes()).arg("payload").arg(content.payload().as_ref());
        let (outcome, live, departed, wait): (String, u64, u64, u64) = self.call(&call).await?;
        let retry_after = Duration::from_millis(wait);
        let told = match outcome.as_str() {
            "created" => Ok(()),
            "taken" => return Err(Refusal::Taken),
            "full" => Err(Refusal::Full { retry_after }),
            "crowded" => Err(Refusal::Crowded { retry_after }),
            _ => return Err(UNAVAILABLE),
        };
        self.counted(protocol).update(live, departed);
        told
    }

    pub(super) async fn read(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<Session, Refusal> {
        let fields = ["protocol", "expires", "revision", "modified", "media_type", "payload"];
        let mut command = redis::cmd("HMGET");
        command.arg(key(id).0).arg(&fields);
        let found: Fields =
            self.link.call(|mut connection| async move { command.query_async(&mut connection).await }).await?;
        let (Some(named), Some(expires), Some(revision), Some(modified), Some(media_type), Some(payload)) = found
        else {
            return Err(Refusal::Absent);
        };
        if named != protocol.as_str() {
            return Err(Refusal::Absent);
        }
        let stamp = stamp(&revision, modified, expires)?;
        let media_type = HeaderValue::from_bytes(&media_type).map_err(|_| UNAVAILABLE)?;
        let content = Content::new(&payload, media_type);
        let session = Session::from(Record { protocol, stamp, content, previous: None, transactions: Vec::new() });
        if session.is_visible(protocol, now) { Ok(session) } else { Err(Refusal::Absent) }
    }

    pub(super) async fn write(&self, id: SessionId, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        let Write { protocol, expected, content, revision, retry } = write;
        let mut call = self.write.key(key(id).0);
        call.arg(protocol.as_str()).arg(now.millis());
        call.arg(content.media_type().as_bytes()).arg(content.payload().as_ref()).arg(revision.to_string());
        match retry {
            Retry::Unknown => call.arg("unknown").arg(""),
            Retry::SameContent => call.arg("content").arg(""),
            Retry::SameTransaction(name) => call.arg("name").arg(name.digest().as_slice()),
        };
        call.arg(HISTORY_BYTES);
        match expected {
            Revisions::Any => {
                call.arg("any");
            }
            Revisions::OneOf(revisions) => {
                call.arg("one_of");
                for revision in revisions {
                    call.arg(revision.to_string());
                }
            }
        }
        let (outcome, revision, modified, expires): (String, String, u64, u64) = self.call(&call).await?;
        match outcome.as_str() {
            "written" => stamp(&revision, modified, expires),
            "stale" => Err(Refusal::Stale(stamp(&revision, modified, expires)?)),
            "absent" => Err(Refusal::Absent),
            _ => Err(UNAVAILABLE),
        }
    }

    pub(super) async fn remove(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<(), Refusal> {
        let (key, name) = key(id);
        let mut call = self.remove.key(key);
        call.key(order(protocol)).arg(name).arg(protocol.as_str()).arg(now.millis());
        let (outcome, live): (String, u64) = self.call(&call).await?;
        if outcome != "removed" {
            return Err(Refusal::Absent);
        }
        self.counted(protocol).update(live, 0);
        Ok(())
    }

    /// Tidies up, and counts again: other gateways open and end sessions too.
    pub(super) async fn sweep(&self) {
        for protocol in Protocol::ALL {
            let mut call = self.sweep.key(order(protocol));
            call.arg(DEPARTURES_PER_SWEEP);
            let Ok((live, departed)) = self.call(&call).await else { return };
            self.counted(protocol).update(live, departed);
        }
    }

    pub(super) fn usage(&self, protocol: Protocol) -> RendezvousUsage {
        let counted = self.counted(protocol);
        RendezvousUsage {
            entries: counted.entries.load(Ordering::Relaxed),
            bytes: 0,
            expired: counted.expired.load(Ordering::Relaxed),
        }
    }

    fn counted(&self, protocol: Protocol) -> &Counters {
        let [msc3886, msc4108, msc4388] = &self.counted;
        match protocol {
            Protocol::Msc3886 => msc3886,
            Protocol::Msc4108 => msc4108,
            Protocol::Msc4388 => msc4388,
        }
    }

    /// A script that Redis does not know is sent to it in full and called again; the first call has then done nothing.
    async fn call<T: redis::FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Refusal> {
        self.link.call(|mut connection| async move { call.invoke_async(&mut connection).await }).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

const UNAVAILABLE: Refusal = Refusal::Unavailable { retry_after: RETRY_AFTER };

type Fields = (Option<String>, Option<u64>, Option<String>, Option<u64>, Option<Vec<u8>>, Option<Vec<u8>>);

/// The session's key and its name in the order of expiry.
fn key(id: SessionId) -> (String, String) {
    let name = hex(&id.reveal());
    (format!("{PREFIX}session:{name}"), name)
}

/// The key of the order in which a protocol's sessions expire.
fn order(protocol: Protocol) -> String {
    format!("{PREFIX}order:{}", protocol.as_str())
}

/// The key of the order in which a visitor's sessions expire. Addresses are few enough to be tried out, but they are not
/// there to be read.
fn visitor_order(visitor: Visitor) -> String {
    format!("{PREFIX}visitor:{}", hex(&visitor.address().to_string()))
}

/// The SHA-256 of a text.
fn hex(text: &str) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        // Writing to a text cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// What is there and is none of ours cannot be told from a store that is broken.
fn stamp(revision: &str, modified: u64, expires: u64) -> Result<Stamp, Refusal> {
    let revision = Revision::parse(revision).ok_or(UNAVAILABLE)?;
    Ok(Stamp { revision, modified: Timestamp::from_millis(modified), expires: Timestamp::from_millis(expires) })
}

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
