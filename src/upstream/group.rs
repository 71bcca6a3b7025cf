//! The processes that share a role, and which of them a request is for.

use std::net::{Ipv6Addr, SocketAddr};

use pingora_ketama::{Bucket, Continuum};
use uuid::Uuid;

use crate::upstream_address::UpstreamId;

/// So many requests are no load, whatever the mean: a key does not move because of two requests at a time.
const NO_LOAD: u64 = 8;

/// How much more than its share of a group's requests a process may have before a key spills over to the next one, in
/// percent of the mean.
const BOUNDED_LOAD: u64 = 125;

/// What is known of a process when a request is to be placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is taken for there, and takes new requests.
    pub available: bool,
    /// Requests in flight there.
    pub load: u32,
}

/// How a request is placed in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// By its key, on a consistent hash ring.
    Key {
        /// The hash of the key.
        hash: u64,
        /// Whether it stays with the key's process however busy that is.
        strict: bool,
    },
    /// Where the fewest requests are in flight.
    LeastLoaded,
    /// At the first one.
    First,
}

/// Processes that serve the same requests.
pub struct Group {
    members: Vec<UpstreamId>,
    ring: Continuum,
    /// Where each member stands on the ring.
    places: Vec<(SocketAddr, UpstreamId)>,
}

impl Group {
    /// A group of processes with their names. A place on the ring depends on the name alone: it is the same in every
    /// gateway, and a process that joins or leaves moves the keys of its own share only.
    #[must_use]
    pub fn new(members: &[(UpstreamId, &str)]) -> Self {
        let place = |name: &str| {
            let point = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
            SocketAddr::from((Ipv6Addr::from(point.as_u128()), 0))
        };
        let places: Vec<_> = members.iter().map(|&(id, name)| (place(name), id)).collect();
        let buckets: Vec<_> = places.iter().map(|&(place, _)| Bucket::new(place, 1)).collect();
        Self { members: members.iter().map(|&(id, _)| id).collect(), ring: Continuum::new(&buckets), places }
    }

    /// The processes, in the order of the configuration.
    #[must_use]
    pub fn members(&self) -> &[UpstreamId] {
        &self.members
    }

    /// The process for a request, of those that are available; None if none is.
    pub fn choose(&self, placement: Placement, standing: impl Fn(UpstreamId) -> Standing) -> Option<UpstreamId> {
        match placement {
            Placement::First => self.members.iter().copied().find(|&id| standing(id).available),
            Placement::LeastLoaded => self.least_loaded(standing),
            Placement::Key { hash, strict } => self.by_key(hash, strict, standing),
        }
    }

    fn least_loaded(&self, standing: impl Fn(UpstreamId) -> Standing) -> Option<UpstreamId> {
        let standings = self.members.iter().map(|&id| (id, standing(id)));
        let available = standings.filter(|(_, standing)| standing.available);
        available.min_by_key(|(_, standing)| standing.load).map(|(id, _)| id)
    }

    fn by_key(&self, hash: u64, strict: bool, standing: impl Fn(UpstreamId) -> Standing) -> Option<UpstreamId> {
        let (mut available, mut load) = (0, 0);
        for standing in self.members.iter().map(|&id| standing(id)).filter(|standing| standing.available) {
            available += 1;
            load += u64::from(standing.load);
        }
        if available == 0 {
            return None;
        }
        // The request itself counts, so that a group without any is not full.
        let most = ((load + 1) * BOUNDED_LOAD).div_ceil(available * 100).max(NO_LOAD);
        let has_room = |standing: Standing| strict || u64::from(standing.load) < most;
        // Its points on the ring are many, and mixed well: those who follow come within a few of them.
        let ring = self.ring.node_iter(&hash.to_le_bytes()).filter_map(|place| self.member(place));
        let mut candidates = ring.take(self.members.len() * POINTS).filter(|&id| standing(id).available);
        let mut first = None;
        let chosen = candidates.find(|&id| {
            first.get_or_insert(id);
            has_room(standing(id))
        });
        chosen.or(first).or_else(|| self.least_loaded(standing))
    }

    fn member(&self, place: &SocketAddr) -> Option<UpstreamId> {
        self.places.iter().find(|(known, _)| known == place).map(|&(_, id)| id)
    }
}

/// How many points of the ring are looked at for each member before the least loaded one is taken instead.
const POINTS: usize = 16;

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Group").field(&self.members).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(names: &[&str]) -> Group {
        let members: Vec<_> = names.iter().enumerate().map(|(place, &name)| (UpstreamId(place), name)).collect();
        Group::new(&members)
    }

    fn key(hash: u64) -> Placement {
        Placement::Key { hash, strict: false }
    }

    fn idle(_: UpstreamId) -> Standing {
        Standing { available: true, load: 0 }
    }

    #[test]
    fn a_key_stays_with_its_process_and_all_get_a_share() {
        let group = group(&["one", "two", "three", "four"]);
        let mut shares = [0; 4];
        for hash in 0..10_000 {
            let chosen = group.choose(key(hash), idle).unwrap();
            assert_eq!(group.choose(key(hash), idle), Some(chosen));
            shares[chosen.0] += 1;
        }
        assert!(shares.iter().all(|share| (1_500..3_500).contains(share)), "{shares:?}");
    }

    #[test]
    fn when_one_goes_its_own_keys_move_and_no_others() {
        let (all, fewer) = (group(&["one", "two", "three", "four"]), group(&["one", "two", "three"]));
        let without = |id: UpstreamId| Standing { available: id.0 != 3, load: 0 };
        let mut moved = 0;
        for hash in 0..10_000 {
            let before = all.choose(key(hash), idle).unwrap();
            // Whether it is taken out of the configuration, or only not available.
            for after in [fewer.choose(key(hash), idle), all.choose(key(hash), without)] {
                assert!(before.0 == 3 || Some(before) == after, "{hash}: {before:?} to {after:?}");
            }
            moved += u32::from(before.0 == 3);
        }
        assert!((1_500..3_500).contains(&moved), "{moved} of 10000");
    }

    #[test]
    fn a_crowded_process_passes_keys_on_unless_they_are_strict() {
        let group = group(&["one", "two"]);
        let of_one = (0..100).find(|&hash| group.choose(key(hash), idle) == Some(UpstreamId(0))).unwrap();
        let check = |loads: [u32; 2], strict, expected| {
            let standing = |id: UpstreamId| Standing { available: true, load: loads[id.0] };
            let chosen = group.choose(Placement::Key { hash: of_one, strict }, standing);
            assert_eq!(chosen, Some(UpstreamId(expected)), "{loads:?} {strict}");
        };
        check([0, 0], false, 0);
        check([7, 0], false, 0);
        check([10, 10], false, 0);
        check([20, 0], false, 1);
        check([20, 0], true, 0);
    }

    #[test]
    fn the_least_loaded_and_the_first_are_chosen_of_those_that_are_there() {
        let group = group(&["one", "two", "three"]);
        let standing = |id: UpstreamId| Standing { available: id.0 != 0, load: [0, 5, 3][id.0] };
        assert_eq!(group.choose(Placement::LeastLoaded, standing), Some(UpstreamId(2)));
        assert_eq!(group.choose(Placement::First, standing), Some(UpstreamId(1)));
        let nobody = |_| Standing::default();
        for placement in [Placement::LeastLoaded, Placement::First, key(1)] {
            assert_eq!(group.choose(placement, nobody), None);
        }
    }
}
