//! Where rendezvous sessions are kept. Which one is chosen makes no difference that a client could see: the contract
//! is written down once, as tests that every store passes.

mod change;
mod exchange;
mod item;
mod memory;
mod redis;
mod shelf;

pub(super) use self::change::{move_in, open, put_away, start};
pub use self::exchange::Successor;
pub(super) use self::exchange::answer;
pub use self::memory::MemoryStore;
use self::memory::Turn;
pub use self::redis::{Password, PasswordError, RedisStore};
pub use self::shelf::{Kept, MOST, Resident, Shelf, ShelfError, pack, unpack};
use crate::edge::metrics::RendezvousUsage;
use crate::rendezvous::session::{Session, Stamp, Timestamp, Write};
use crate::rendezvous::{Protocol, Refusal, Room, SessionId, Visitor};

/// A store of rendezvous sessions.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one store for each process")]
pub enum Store {
    /// In the memory of this process, or of the one that takes its place: not shared with another gateway.
    Memory(MemoryStore),
    /// In a Redis that several gateways share. It has its own clock for the end of a session: there, and also by the
    /// `now` that is passed, a session is absent whose time is up.
    Redis(Box<RedisStore>),
}

impl Store {
    /// Puts a new session of a visitor in, unless there are as many live ones already as there is room for, of that
    /// visitor or of all, or the id is in use.
    pub async fn create(
        &self,
        id: SessionId,
        session: Session,
        visitor: Visitor,
        room: Room,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match self {
            Self::Memory(store) => {
                let create = |store: &MemoryStore, session| store.create(id, session, visitor, room, now);
                match store.turn(session, create).await? {
                    Turn::Here(()) => Ok(()),
                    Turn::There(successor, session) => successor.create(id, session, visitor, room, now).await,
                }
            }
            Self::Redis(store) => store.create(id, session, visitor, room, now).await,
        }
    }

    /// Gives a copy of a live session of that protocol.
    pub async fn read(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<Session, Refusal> {
        match self {
            Self::Memory(store) => match store.turn((), |store, ()| store.read(id, protocol, now)).await? {
                Turn::Here(session) => Ok(session),
                Turn::There(successor, ()) => successor.read(id, protocol, now).await,
            },
            Self::Redis(store) => store.read(id, protocol, now).await,
        }
    }

    /// Compares and replaces as [`Session::write`] does, in one step: of all writers that expect the same revision,
    /// one succeeds.
    pub async fn write(&self, id: SessionId, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        match self {
            Self::Memory(store) => match store.turn(write, |store, write| store.write(id, write, now)).await? {
                Turn::Here(stamp) => Ok(stamp),
                Turn::There(successor, write) => successor.write(id, write, now).await,
            },
            Self::Redis(store) => store.write(id, write, now).await,
        }
    }

    /// Ends a live session of that protocol.
    pub async fn remove(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<(), Refusal> {
        match self {
            Self::Memory(store) => match store.turn((), |store, ()| store.remove(id, protocol, now)).await? {
                Turn::Here(()) => Ok(()),
                Turn::There(successor, ()) => successor.remove(id, protocol, now).await,
            },
            Self::Redis(store) => store.remove(id, protocol, now).await,
        }
    }

    /// Frees the memory of some expired sessions, a bounded number at a time.
    pub async fn sweep(&self, now: Timestamp) {
        match self {
            Self::Memory(store) => {
                store.sweep(now);
            }
            Self::Redis(store) => store.sweep().await,
        }
    }

    /// What the sessions of a protocol take in this process, and how many have expired in it. Of Redis it says how many
    /// sessions there were when it was last asked, over all gateways; they take nothing here.
    #[must_use]
    pub fn usage(&self, protocol: Protocol) -> RendezvousUsage {
        match self {
            Self::Memory(store) => store.usage(protocol),
            Self::Redis(store) => store.usage(protocol),
        }
    }
}

#[cfg(test)]
mod tests;
