//! Sessions in the memory of this process, until another one has them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Resident;
use super::exchange::{Successor, UNAVAILABLE};
use crate::edge::metrics::RendezvousUsage;
use crate::rendezvous::capacity::Occupancy;
use crate::rendezvous::session::{Session, Stamp, Timestamp, Write};
use crate::rendezvous::{Protocol, Refusal, Room, SessionId, Visitor};

/// How many expired sessions each new one takes out. With more than one, a crowd of them shrinks without the sweep.
const DEPARTURES_PER_ARRIVAL: usize = 2;

/// How many expired sessions one sweep takes out, so that arrivals wait for it some microseconds at most.
const DEPARTURES_PER_SWEEP: usize = 256;

/// How long a request waits while the sessions go to another process, which takes a moment.
const PASSAGE: Duration = Duration::from_secs(20);

/// Sessions in a concurrent map. Reading and writing lock one shard of it; only arrivals and departures, which happen
/// once in a session's life, pass through one lock.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// Boxed, because a hash table keeps up to half of its slots empty.
    sessions: DashMap<SessionId, Box<Session>>,
    /// Exactly the keys of `sessions` whenever the lock is free. Locked before a shard, never while holding one.
    occupancy: Mutex<Occupancy>,
    counted: Counted,
    /// Held for reading while anything is done here, so that nothing is once it says that they are elsewhere.
    place: RwLock<Place>,
    /// Wakes those who wait for the place to be known.
    settled: Notify,
}

/// Where the sessions are.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Here,
    /// On their way to another process, and perhaps back.
    Underway,
    There(Arc<Successor>),
}

/// What came of an operation, or who is to be asked, with what.
pub(super) enum Turn<A, T> {
    Here(T),
    There(Arc<Successor>, A),
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
    /// Does something here, once it is known whether the sessions are.
    pub(super) async fn turn<A, T>(
        &self,
        argument: A,
        act: impl FnOnce(&Self, A) -> Result<T, Refusal>,
    ) -> Result<Turn<A, T>, Refusal> {
        loop {
            let settled = self.settled.notified();
            match &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
                Place::Here => return act(self, argument).map(Turn::Here),
                Place::There(successor) => return Ok(Turn::There(Arc::clone(successor), argument)),
                Place::Underway => {}
            }
            if timeout(PASSAGE, settled).await.is_err() {
                return Err(UNAVAILABLE);
            }
        }
    }

    /// From now on nothing changes, and whoever wants something waits.
    pub(in crate::edge) fn depart(&self) {
        self.move_to(Place::Underway);
    }

    /// The sessions stay after all.
    pub(in crate::edge) fn come_back(&self) {
        self.move_to(Place::Here);
    }

    /// Another process has the sessions now.
    pub(in crate::edge) fn arrive(&self, successor: Successor) {
        self.move_to(Place::There(Arc::new(successor)));
    }

    /// Whether another process has the sessions.
    pub(in crate::edge) fn is_elsewhere(&self) -> bool {
        matches!(&*self.place.read().unwrap_or_else(PoisonError::into_inner), Place::There(_))
    }

    fn move_to(&self, place: Place) {
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = place;
        self.settled.notify_waiters();
    }

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
