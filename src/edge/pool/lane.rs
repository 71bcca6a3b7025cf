//! The places of one process: how many requests it is given at a time, and who waits for a place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

/// So many requests of those that have waited for a process may be on their way in once it is back. Synapse lets 50
/// connections wait (`backlog` of its listeners), for both lanes; what is more the kernel resets, with the requests on them.
const AT_THE_DOOR: usize = 24;

/// Places that requests take, and a bounded line before them, first come first served.
#[derive(Debug)]
pub(in crate::edge) struct Lane {
    places: Arc<Semaphore>,
    capacity: u32,
    waiting: AtomicU32,
    door: Arc<Semaphore>,
    /// After how long a request counts as let in, if no answer shows it before.
    let_in_after: Duration,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(in crate::edge) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// A request that has waited for the process, until this is dropped, since it has an answer or has failed.
#[derive(Debug)]
pub(in crate::edge) struct AtDoor {
    _answered: oneshot::Sender<()>,
}

/// Why a request gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum NoPlace {
    /// As many wait as may.
    Crowded,
    /// None was free in time.
    Late,
}

impl Lane {
    pub(super) fn new(capacity: u32, let_in_after: Duration) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(capacity).unwrap_or(Semaphore::MAX_PERMITS)));
        let door = Arc::new(Semaphore::new(AT_THE_DOOR));
        Self { places, capacity, waiting: AtomicU32::new(0), door, let_in_after }
    }

    /// Requests that have a place, and those that wait for one.
    pub(in crate::edge) fn load(&self) -> u32 {
        self.taken().saturating_add(self.waiting())
    }

    /// Requests that have a place.
    pub(in crate::edge) fn taken(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.capacity.saturating_sub(free)
    }

    /// Requests that wait for a place.
    pub(in crate::edge) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place, or waits for one, behind at most `most_waiting` others and for at most `within`.
    pub(in crate::edge) async fn enter(&self, within: Duration, most_waiting: u32) -> Result<Place, NoPlace> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let _waits = Waits::behind(&self.waiting, most_waiting).ok_or(NoPlace::Crowded)?;
        match timeout(within, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit }),
            // The places are never closed.
            Ok(Err(_)) | Err(_) => Err(NoPlace::Late),
        }
    }

    /// Waits until one more request may go in, of those that have waited for the process; for at most `within`.
    pub(in crate::edge) async fn approach(&self, within: Duration) -> Result<AtDoor, NoPlace> {
        // It is never closed.
        let permit = timeout(within, Arc::clone(&self.door).acquire_owned()).await.ok().and_then(Result::ok);
        let permit = permit.ok_or(NoPlace::Late)?;
        let (answered, seen) = oneshot::channel();
        let let_in_after = self.let_in_after;
        tokio::spawn(async move {
            // Nothing is ever sent: it is an answer, or the time.
            let _ = timeout(let_in_after, seen).await;
            drop(permit);
        });
        Ok(AtDoor { _answered: answered })
    }
}

/// Somebody in line, also when it gives up and is dropped.
struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    fn behind(waiting: &'a AtomicU32, most: u32) -> Option<Self> {
        let joins = |before: u32| (before < most).then(|| before + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, joins).is_ok().then(|| Self(waiting))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn places_are_given_in_the_order_of_arrival() {
        let lane = Arc::new(Lane::new(1, LONG));
        let place = lane.enter(LONG, 0).await.unwrap();
        let (order, mut arrived) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (waiting, order) = (Arc::clone(&lane), order.clone());
            tokio::spawn(async move {
                let _place = waiting.enter(LONG, 3).await.unwrap();
                order.send(number).unwrap();
            });
            while lane.waiting() <= number {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(lane.load(), 4);
        drop(place);
        for number in 0..3 {
            assert_eq!(arrived.recv().await, Some(number));
        }
    }

    #[tokio::test]
    async fn who_would_be_one_too_many_is_sent_away_at_once_and_who_waits_too_long_later() {
        let lane = Lane::new(1, LONG);
        let _place = lane.enter(LONG, 0).await.unwrap();
        assert_eq!(lane.enter(LONG, 0).await.err(), Some(NoPlace::Crowded));
        assert_eq!(lane.enter(Duration::from_millis(1), 1).await.err(), Some(NoPlace::Late));
        assert_eq!((lane.waiting(), lane.load()), (0, 1), "nobody is left in line");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_line() {
        let lane = Lane::new(1, LONG);
        let place = lane.enter(LONG, 0).await.unwrap();
        tokio::select! {
            biased;
            _ = lane.enter(LONG, 1) => unreachable!("the place is taken"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(lane.waiting(), 0);
        drop(place);
        assert!(lane.enter(LONG, 0).await.is_ok());
    }

    #[tokio::test]
    async fn as_many_go_in_as_are_not_known_to_have_been_let_in() {
        let lane = Lane::new(100, LONG);
        let mut going = Vec::new();
        for _ in 0..AT_THE_DOOR {
            going.push(lane.approach(LONG).await.unwrap());
        }
        assert_eq!(lane.approach(Duration::from_millis(1)).await.err(), Some(NoPlace::Late));
        going.pop();
        assert!(lane.approach(LONG).await.is_ok(), "who has an answer makes room");
    }

    #[tokio::test]
    async fn after_a_while_a_request_counts_as_let_in_without_an_answer() {
        let lane = Lane::new(100, Duration::from_millis(1));
        let mut going = Vec::new();
        for _ in 0..2 * AT_THE_DOOR {
            going.push(lane.approach(LONG).await.unwrap());
        }
    }
}
