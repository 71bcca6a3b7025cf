//! How often clients may ask: token buckets, by visitor and by session.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::rendezvous::{Allowance, Refusal, SessionId, Visitor};

/// The buckets of one configuration.
#[derive(Debug)]
pub struct Throttle {
    creations: Buckets<Visitor>,
    reads: Buckets<SessionId>,
    writes: Buckets<SessionId>,
}

impl Throttle {
    /// Full buckets of the sizes that are allowed.
    #[must_use]
    pub fn new(allowance: &Allowance) -> Self {
        Self {
            creations: Buckets::new(allowance.creations_per_minute, Allowance::MAX_VISITORS),
            reads: Buckets::new(allowance.reads_per_minute, allowance.max_sessions),
            writes: Buckets::new(allowance.writes_per_minute, allowance.max_sessions),
        }
    }

    /// Whether a visitor may open one more session now.
    pub fn create(&self, visitor: Visitor) -> Result<(), Refusal> {
        self.creations.take(&visitor)
    }

    /// Whether a session may be read once more now.
    pub fn read(&self, id: SessionId) -> Result<(), Refusal> {
        self.reads.take(&id)
    }

    /// Whether a session may be written to once more now.
    pub fn write(&self, id: SessionId) -> Result<(), Refusal> {
        self.writes.take(&id)
    }

    /// Forgets those whose buckets are full again.
    pub fn sweep(&self) {
        self.creations.sweep();
        self.reads.sweep();
        self.writes.sweep();
    }
}

/// A bucket for each key; none where there is no bound.
struct Buckets<K: Hash + Eq + Clone> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    most: usize,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(per_minute: Option<NonZeroU32>, most: usize) -> Self {
        Self { limiter: per_minute.map(|bound| DefaultKeyedRateLimiter::keyed(Quota::per_minute(bound))), most }
    }

    /// Where there are as many buckets as there may be, nothing is taken and nobody refused: refusing would let a crowd
    /// lock everybody out, and the number of sessions is bounded elsewhere.
    fn take(&self, key: &K) -> Result<(), Refusal> {
        let Some(limiter) = self.limiter.as_ref().filter(|limiter| limiter.len() < self.most) else { return Ok(()) };
        let now = DefaultClock::default().now();
        limiter.check_key(key).map_err(|until| Refusal::TooOften { retry_after: until.wait_time_from(now) })
    }

    fn sweep(&self) {
        if let Some(limiter) = self.limiter.as_ref().filter(|limiter| !limiter.is_empty()) {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.limiter.as_ref().map_or(0, DefaultKeyedRateLimiter::len)
    }
}

impl<K: Hash + Eq + Clone> fmt::Debug for Buckets<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn allowance(per_minute: u32) -> Allowance {
        let bound = NonZeroU32::new(per_minute);
        Allowance {
            creations_per_minute: bound,
            reads_per_minute: bound,
            writes_per_minute: bound,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            max_sessions: 10,
        }
    }

    fn visitor(address: &str) -> Visitor {
        allowance(1).visitor(address.parse::<IpAddr>().unwrap())
    }

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_client_that_has_had_its_share_waits_for_the_next() {
        let throttle = Throttle::new(&allowance(3));
        let (one, other) = (visitor("192.0.2.1"), visitor("192.0.2.2"));
        for _ in 0..3 {
            assert_eq!(throttle.create(one), Ok(()));
        }
        let refused = throttle.create(one);
        let Err(Refusal::TooOften { retry_after }) = refused else { panic!("{refused:?}") };
        assert!(retry_after > Duration::from_secs(10) && retry_after <= Duration::from_secs(20), "{retry_after:?}");
        assert_eq!(throttle.create(other), Ok(()), "others are not held up");
    }

    #[test]
    fn a_household_is_one_client() {
        let throttle = Throttle::new(&allowance(1));
        assert_eq!(throttle.create(visitor("2001:db8::1")), Ok(()));
        assert!(throttle.create(visitor("2001:db8::ffff:1")).is_err());
        assert_eq!(throttle.create(visitor("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn reading_and_writing_are_counted_by_session_and_apart() {
        let throttle = Throttle::new(&allowance(1));
        assert_eq!((throttle.read(session(1)), throttle.write(session(1))), (Ok(()), Ok(())));
        assert!(throttle.read(session(1)).is_err() && throttle.write(session(1)).is_err());
        assert_eq!((throttle.read(session(2)), throttle.write(session(2))), (Ok(()), Ok(())));
    }

    #[test]
    fn without_a_bound_nobody_waits() {
        let throttle = Throttle::new(&allowance(0));
        assert!((0..1000).all(|_| throttle.create(visitor("192.0.2.1")).is_ok() && throttle.read(session(1)).is_ok()));
    }

    #[test]
    fn the_buckets_are_bounded_and_forgotten_when_they_are_full_again() {
        let throttle = Throttle::new(&allowance(1));
        assert!((0..1000).all(|number| throttle.write(session(number)).is_ok()));
        assert_eq!(throttle.writes.len(), 10);
        throttle.sweep();
        assert_eq!(throttle.writes.len(), 10, "they are not full yet");
        // A thousand a second: full again before this is asked.
        let quick = Throttle::new(&allowance(60_000_000));
        assert_eq!(quick.read(session(1)), Ok(()));
        while quick.reads.len() > 0 {
            quick.sweep();
        }
    }
}
