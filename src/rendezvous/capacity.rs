//! How many sessions there may be, and who leaves first.
//!
//! A full house lets expired sessions go and then refuses newcomers. It never ends a live session to make room, since
//! that would let a stranger end everybody's sign-in by opening sessions of his own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::session::Timestamp;
use super::{Limits, Refusal, Room, SessionId, Visitor};

/// What a session takes beside its payload: its record, its share of the tables with the slack that they grow by, and
/// a media type of its own. Measured at 250 to 300 bytes as a rule, depending on how many visitors there are, and at 430
/// in the worst case.
const OVERHEAD: u64 = 640;

/// Allocators round up, large payloads to whole pages: a thirty-second part covers a page from 128 KiB on, which is
/// where that begins.
const ROUNDING: u64 = 32;

/// The sessions that are in, in the order in which they expire. Every operation takes logarithmic time, whatever the
/// others do.
#[derive(Debug, Default)]
pub struct Occupancy {
    departures: BTreeMap<(Timestamp, SessionId), Visitor>,
    /// How many of them each visitor has opened; none of them has 0.
    visitors: BTreeMap<Visitor, u32>,
}

impl Occupancy {
    /// Lets a session in, unless there are as many as there may be, of this visitor or of all.
    ///
    /// Expired sessions count until [`Occupancy::pop_expired`] has taken them out.
    pub fn enter(
        &mut self,
        id: SessionId,
        visitor: Visitor,
        expires: Timestamp,
        room: Room,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(next) = self.next_departure().filter(|_| self.departures.len() >= room.max_entries) {
            return Err(Refusal::Full { retry_after: now.until(next) });
        }
        let of_visitor = self.visitors.entry(visitor).or_default();
        if *of_visitor >= room.max_per_visitor {
            // By then, all that the visitor has now are gone.
            return Err(Refusal::Crowded { retry_after: now.until(expires) });
        }
        *of_visitor += 1;
        self.departures.insert((expires, id), visitor);
        Ok(())
    }

    /// Takes out a session that ended before its time.
    pub fn leave(&mut self, id: SessionId, expires: Timestamp) {
        if let Some(visitor) = self.departures.remove(&(expires, id)) {
            self.left(visitor);
        }
    }

    /// Takes out the session that expired first, if any has.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<SessionId> {
        let first = self.departures.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, id), visitor) = first.remove_entry();
        self.left(visitor);
        Some(id)
    }

    /// When the next session expires, or has expired.
    #[must_use]
    pub fn next_departure(&self) -> Option<Timestamp> {
        self.departures.first_key_value().map(|((expires, _), _)| *expires)
    }

    /// The sessions, and who has opened each.
    pub fn iter(&self) -> impl Iterator<Item = (SessionId, Visitor)> {
        self.departures.iter().map(|((_, id), visitor)| (*id, *visitor))
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.departures.len()
    }

    /// Whether nobody is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.departures.is_empty()
    }

    fn left(&mut self, visitor: Visitor) {
        if let Entry::Occupied(mut of_visitor) = self.visitors.entry(visitor) {
            match of_visitor.get().saturating_sub(1) {
                0 => drop(of_visitor.remove()),
                fewer => drop(of_visitor.insert(fewer)),
            }
        }
    }
}

/// The memory of `max_entries` sessions of the largest size, with `beside` bytes beside their payload each.
pub(super) fn worst_case(limits: &Limits, beside: u64) -> u64 {
    let entries = u64::try_from(limits.room.max_entries).unwrap_or(u64::MAX);
    let each = limits.max_bytes.saturating_add(limits.max_bytes / ROUNDING).saturating_add(OVERHEAD + beside);
    entries.saturating_mul(each)
}
