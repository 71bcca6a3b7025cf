//! Sessions in the memory of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::Resident;
use crate::edge::metrics::RendezvousUsage;
use crate::rendezvous::capacity::Occupancy;
use crate::rendezvous::session::{Session, Stamp, Timestamp, Write};
use crate::rendezvous::{Protocol, Refusal, Room, SessionId, Visitor};

/// How many expired sessions each new one takes out. With more than one, a crowd of them shrinks without the sweep.
const DEPARTURES_PER_ARRIVAL: usize = 2;

/// How many expired sessions one sweep takes out, so that arrivals wait for it some microseconds at most.
const DEPARTURES_PER_SWEEP: usize = 256;

/// Sessions in a concurrent map. Reading and writing lock one shard of it; only arrivals and departures, which happen
/// once in a session's life, pass through one lock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Boxed, because a hash table keeps up to half of its slots empty.
    sessions: DashMap<SessionId, Box<Session>>,
    /// Exactly the keys of `sessions` whenever the lock is free. Locked before a shard, never while holding one.
    occupancy: Mutex<Occupancy>,
    counted: Counted,
}

/// What there is of each protocol.
#[derive(Debug, Default)]
struct Counted {
    msc3886: Counters,
    msc4108: Counters,
    msc4388: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    entries: AtomicU64,
    bytes: AtomicU64,
    expired: AtomicU64,
}

impl Counted {
    const fn of(&self, protocol: Protocol) -> &Counters {
        match protocol {
            Protocol::Msc3886 => &self.msc3886,
            Protocol::Msc4108 => &self.msc4108,
            Protocol::Msc4388 => &self.msc4388,
        }
    }
}

impl MemoryStore {
    /// See [`super::Store::create`].
    pub fn create(
        &self,
        id: SessionId,
        session: Session,
        visitor: Visitor,
        room: Room,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut occupancy = self.occupancy();
        self.expire(&mut occupancy, DEPARTURES_PER_ARRIVAL, now);
        let Entry::Vacant(vacancy) = self.sessions.entry(id) else {
            return Err(Refusal::Taken);
        };
        occupancy.enter(id, visitor, session.stamp().expires, room, now)?;
        let counted = self.counted.of(session.protocol());
        counted.entries.fetch_add(1, Ordering::Relaxed);
        counted.bytes.fetch_add(size(&session), Ordering::Relaxed);
        vacancy.insert(Box::new(session));
        Ok(())
    }

    pub(super) fn read(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<Session, Refusal> {
        let session = self.sessions.get(&id).filter(|session| session.is_visible(protocol, now));
        session.map(|session| Session::clone(&session)).ok_or(Refusal::Absent)
    }

    pub(super) fn write(&self, id: SessionId, write: Write, now: Timestamp) -> Result<Stamp, Refusal> {
        let mut session = self.sessions.get_mut(&id).ok_or(Refusal::Absent)?;
        let before = size(&session);
        let stamp = session.write(write, now)?;
        let counted = self.counted.of(session.protocol());
        counted.bytes.fetch_add(size(&session), Ordering::Relaxed);
        counted.bytes.fetch_sub(before, Ordering::Relaxed);
        Ok(stamp)
    }

    pub(super) fn remove(&self, id: SessionId, protocol: Protocol, now: Timestamp) -> Result<(), Refusal> {
        let mut occupancy = self.occupancy();
        let removed = self.sessions.remove_if(&id, |_, session| session.is_visible(protocol, now));
        let (_, session) = removed.ok_or(Refusal::Absent)?;
        occupancy.leave(id, session.stamp().expires);
        self.departed(&session);
        Ok(())
    }

    pub(super) fn sweep(&self, now: Timestamp) -> Option<Timestamp> {
        let mut occupancy = self.occupancy();
        self.expire(&mut occupancy, DEPARTURES_PER_SWEEP, now);
        occupancy.next_departure()
    }

    /// Copies of the live sessions.
    pub fn live(&self, now: Timestamp) -> Vec<Resident> {
        let occupancy = self.occupancy();
        let resident = |(id, visitor)| {
            let session = self.sessions.get(&id).filter(|session| session.is_visible(session.protocol(), now))?;
            Some(Resident { id, visitor, session: Session::clone(&session) })
        };
        occupancy.iter().filter_map(resident).collect()
    }

    pub(super) fn usage(&self, protocol: Protocol) -> RendezvousUsage {
        let counted = self.counted.of(protocol);
        RendezvousUsage {
            entries: counted.entries.load(Ordering::Relaxed),
            bytes: counted.bytes.load(Ordering::Relaxed),
            expired: counted.expired.load(Ordering::Relaxed),
        }
    }

    fn expire(&self, occupancy: &mut Occupancy, most: usize, now: Timestamp) {
        for id in std::iter::from_fn(|| occupancy.pop_expired(now)).take(most) {
            if let Some((_, session)) = self.sessions.remove(&id) {
                self.counted.of(session.protocol()).expired.fetch_add(1, Ordering::Relaxed);
                self.departed(&session);
            }
        }
    }

    fn departed(&self, session: &Session) {
        let counted = self.counted.of(session.protocol());
        counted.entries.fetch_sub(1, Ordering::Relaxed);
        counted.bytes.fetch_sub(size(session), Ordering::Relaxed);
    }

    /// No step between lock and unlock can panic half-way, so a poisoned lock guards nothing broken.
    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(session: &Session) -> u64 {
    session.content().payload().len() as u64
}
