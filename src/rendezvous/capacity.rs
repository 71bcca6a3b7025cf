//! How many sessions there may be, and who leaves first.
//!
//! A full house lets expired sessions go and then refuses newcomers. It never ends a live session to make room, since
//! that would let a stranger end everybody's sign-in by opening sessions of his own.

use std::collections::BTreeSet;

use super::session::Timestamp;
use super::{Limits, Refusal, SessionId};
use crate::quantity::Size;

/// What a session takes beside its payload: its record, its share of the tables with the slack that they grow by, and
/// a media type of its own. Measured at 250 bytes as a rule and at 400 in the worst case.
const OVERHEAD: u64 = 640;

/// Allocators round up, large payloads to whole pages: a thirty-second part covers a page from 128 KiB on, which is
/// where that begins.
const ROUNDING: u64 = 32;

/// The sessions that are in, in the order in which they expire. Every operation takes logarithmic time, whatever the
/// others do.
#[derive(Debug, Default)]
pub struct Occupancy {
    departures: BTreeSet<(Timestamp, SessionId)>,
}

impl Occupancy {
    /// Lets a session in, unless there are `max_entries` already.
    ///
    /// Expired sessions count until [`Occupancy::pop_expired`] has taken them out.
    pub fn enter(
        &mut self,
        id: SessionId,
        expires: Timestamp,
        max_entries: usize,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        match self.next_departure() {
            Some(next) if self.departures.len() >= max_entries => Err(Refusal::Full { retry_after: now.until(next) }),
            Some(_) | None => {
                self.departures.insert((expires, id));
                Ok(())
            }
        }
    }

    /// Takes out a session that ended before its time.
    pub fn leave(&mut self, id: SessionId, expires: Timestamp) {
        self.departures.remove(&(expires, id));
    }

    /// Takes out the session that expired first, if any has.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<SessionId> {
        let expired = self.next_departure()? <= now;
        if expired { self.departures.pop_first().map(|(_, id)| id) } else { None }
    }

    /// When the next session expires, or has expired.
    #[must_use]
    pub fn next_departure(&self) -> Option<Timestamp> {
        self.departures.first().map(|(expires, _)| *expires)
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
}

/// The memory of `max_entries` sessions of the largest size, with `beside` bytes beside their payload each.
pub(super) fn worst_case(limits: &Limits, beside: u64) -> Size {
    let entries = u64::try_from(limits.max_entries).unwrap_or(u64::MAX);
    let each = limits.max_bytes.saturating_add(limits.max_bytes / ROUNDING).saturating_add(OVERHEAD + beside);
    Size(entries.saturating_mul(each))
}
