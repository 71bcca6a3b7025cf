//! The contract of a session store, applied to each.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::*;
use crate::rendezvous::session::{Content, MAX_TRANSACTIONS, Retry};
use crate::rendezvous::{Allowance, Revision, Revisions, TransactionId};

/// Each law for each store. Those that count what the memory of this process holds are not for sessions elsewhere.
macro_rules! contract {
    (everywhere: $($law:ident)*; counted: $($counted:ident)*) => {
        mod memory {
            use super::{MemoryStore, Store};

            $(contract!(@law $law, Store::Memory(MemoryStore::default()));)*
            $(contract!(@law $counted, Store::Memory(MemoryStore::default()));)*
        }

        mod redis {
            use crate::edge::store::redis::fixture::{RedisServer, store};

            $(contract!(@law $law, let server = RedisServer::start(); store(&server));)*
            $(contract!(@law $counted, let server = RedisServer::start(); store(&server));)*
        }

        mod elsewhere {
            use crate::edge::store::exchange::fixture::Elsewhere;

            $(contract!(@law $law, let elsewhere = Elsewhere::start(); elsewhere.store());)*
        }
    };
    (@law $law:ident, $(let $server:ident = $start:expr;)? $store:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $law() {
            $(let $server = $start;)?
            super::$law($store).await;
        }
    };
}

contract! {
    everywhere:
    a_session_is_gone_when_its_time_is_up
    a_session_exists_under_its_own_id_alone
    a_write_passes_with_the_present_revision_alone
    of_writers_with_one_revision_exactly_one_wins
    the_same_payload_does_not_bring_a_revision_back
    the_protocols_share_the_places
    what_a_visitor_has_ended_counts_no_more
    a_smaller_bound_lets_the_present_sessions_live
    a_repeated_write_is_recognised_by_its_content
    a_repeated_write_is_recognised_by_its_name
    of_writers_with_one_name_all_are_told_the_same
    a_session_forgets_the_oldest_names_first;

    counted:
    what_was_put_in_is_read_back
    an_id_in_use_is_not_taken_over
    a_removed_session_stays_removed_and_makes_room
    a_flood_from_all_sides_stays_within_the_bounds
}

pub(super) const PROTOCOL: Protocol = Protocol::Msc3886;
const TTL: Duration = Duration::from_mins(1);

pub(super) fn at(seconds: u64) -> Timestamp {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// How many sessions there are, and how many bytes they hold: none in this process if they are in Redis.
fn held(store: &Store, bytes: u64) -> (u64, u64) {
    let usage = store.usage(PROTOCOL);
    match store {
        Store::Memory(_) => (usage.entries, usage.bytes),
        Store::Redis(_) => (usage.entries, usage.bytes + bytes),
    }
}

/// Room for so many, whoever they are.
pub(super) fn room(max_entries: usize) -> Room {
    Room { max_entries, max_per_visitor: u32::MAX }
}

pub(super) fn visitor(address: &str) -> Visitor {
    let allowance = Allowance {
        creations_per_minute: None,
        reads_per_minute: None,
        writes_per_minute: None,
        ipv4_prefix: 32,
        ipv6_prefix: 64,
        max_sessions: 0,
    };
    allowance.visitor(address.parse().unwrap())
}

pub(super) fn here() -> Visitor {
    visitor("192.0.2.1")
}

pub(super) fn id(number: u128) -> SessionId {
    SessionId::new(Uuid::from_u128(number))
}

pub(super) fn revision(number: u128) -> Revision {
    Revision::new(Uuid::from_u128(number))
}

pub(super) fn content(payload: &str) -> Content {
    Content::new(payload.as_bytes(), HeaderValue::from_static("text/plain"))
}

/// A session with revision 0, opened at `seconds`.
pub(super) fn session(payload: &str, seconds: u64) -> Session {
    Session::open(PROTOCOL, content(payload), revision(0), at(seconds), TTL)
}

pub(super) fn write(expected: Revisions, payload: &str, next: u128) -> Write {
    let retry = Retry::Unknown;
    Write { protocol: PROTOCOL, expected, content: content(payload), revision: revision(next), retry }
}

pub(super) fn only(number: u128) -> Revisions {
    Revisions::OneOf(vec![revision(number)])
}

async fn what_was_put_in_is_read_back(store: Store) {
    let session = session("hello", 0);
    store.create(id(1), session.clone(), here(), room(10), at(0)).await.unwrap();
    assert_eq!(store.read(id(1), PROTOCOL, at(0)).await, Ok(session));
    assert_eq!(held(&store, 5), (1, 5));
    let stamp = store.write(id(1), write(Revisions::Any, "hi", 1), at(7)).await.unwrap();
    assert_eq!(stamp, Stamp { revision: revision(1), modified: at(7), expires: at(60) });
    let now = store.read(id(1), PROTOCOL, at(8)).await.unwrap();
    assert_eq!((now.stamp(), now.content()), (stamp, &content("hi")));
    assert_eq!(held(&store, 2), (1, 2));
}

async fn a_session_is_gone_when_its_time_is_up(store: Store) {
    store.create(id(1), session("", 0), here(), room(10), at(0)).await.unwrap();
    store.write(id(1), write(Revisions::Any, "", 1), at(59)).await.unwrap();
    assert!(store.read(id(1), PROTOCOL, at(59)).await.is_ok());
    assert_eq!(store.read(id(1), PROTOCOL, at(60)).await, Err(Refusal::Absent));
    assert_eq!(store.write(id(1), write(Revisions::Any, "", 2), at(60)).await, Err(Refusal::Absent));
    assert_eq!(store.remove(id(1), PROTOCOL, at(60)).await, Err(Refusal::Absent));
}

async fn a_session_exists_under_its_own_id_alone(store: Store) {
    store.create(id(1), session("", 0), here(), room(10), at(0)).await.unwrap();
    assert_eq!(store.read(id(2), PROTOCOL, at(0)).await, Err(Refusal::Absent));
    assert_eq!(store.write(id(2), write(Revisions::Any, "", 1), at(0)).await, Err(Refusal::Absent));
    assert_eq!(store.remove(id(2), PROTOCOL, at(0)).await, Err(Refusal::Absent));
    assert!(store.read(id(1), PROTOCOL, at(0)).await.is_ok());
}

async fn an_id_in_use_is_not_taken_over(store: Store) {
    store.create(id(1), session("first", 0), here(), room(10), at(0)).await.unwrap();
    assert_eq!(store.create(id(1), session("second", 1), here(), room(10), at(1)).await, Err(Refusal::Taken));
    assert_eq!(store.read(id(1), PROTOCOL, at(1)).await, Ok(session("first", 0)));
    assert_eq!(held(&store, 5), (1, 5));
}

async fn a_write_passes_with_the_present_revision_alone(store: Store) {
    store.create(id(1), session("a", 0), here(), room(10), at(0)).await.unwrap();
    let before = session("a", 0).stamp();
    for expected in [Revisions::OneOf(Vec::new()), only(7)] {
        assert_eq!(store.write(id(1), write(expected, "b", 1), at(1)).await, Err(Refusal::Stale(before)));
    }
    assert_eq!(store.read(id(1), PROTOCOL, at(1)).await, Ok(session("a", 0)), "a refused write leaves no trace");
    let several = Revisions::OneOf(vec![revision(7), revision(0)]);
    assert!(store.write(id(1), write(several, "b", 1), at(1)).await.is_ok());
}

async fn of_writers_with_one_revision_exactly_one_wins(store: Store) {
    const WRITERS: u128 = 16;
    let store = Arc::new(store);
    store.create(id(1), session("", 0), here(), room(10), at(0)).await.unwrap();
    let mut present = 0;
    for round in 1..=50 {
        let start = Arc::new(Barrier::new(WRITERS as usize));
        let writers: Vec<_> = (1..=WRITERS)
            .map(|writer| {
                let (store, start, next) = (Arc::clone(&store), Arc::clone(&start), round * 100 + writer);
                tokio::spawn(async move {
                    start.wait().await;
                    let written = store.write(id(1), write(only(present), &next.to_string(), next), at(1)).await;
                    written.is_ok().then_some(next)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for writer in writers {
            winners.extend(writer.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        present = winners[0];
        let now = store.read(id(1), PROTOCOL, at(1)).await.unwrap();
        assert_eq!(now.stamp().revision, revision(present));
        assert_eq!(now.content(), &content(&present.to_string()));
    }
}

async fn the_same_payload_does_not_bring_a_revision_back(store: Store) {
    store.create(id(1), session("A", 0), here(), room(10), at(0)).await.unwrap();
    store.write(id(1), write(only(0), "B", 1), at(0)).await.unwrap();
    store.write(id(1), write(only(1), "A", 2), at(0)).await.unwrap();
    let refused = store.write(id(1), write(only(0), "C", 3), at(0)).await;
    assert!(matches!(refused, Err(Refusal::Stale(stamp)) if stamp.revision == revision(2)), "{refused:?}");
}

async fn a_removed_session_stays_removed_and_makes_room(store: Store) {
    for number in 0..1000 {
        store.create(id(number), session("x", 0), here(), room(1), at(0)).await.unwrap();
        assert_eq!(store.remove(id(number), PROTOCOL, at(0)).await, Ok(()));
        assert_eq!(store.read(id(number), PROTOCOL, at(0)).await, Err(Refusal::Absent));
        assert_eq!(store.remove(id(number), PROTOCOL, at(0)).await, Err(Refusal::Absent));
    }
    assert_eq!(held(&store, 0), (0, 0));
}

async fn the_protocols_share_the_places(store: Store) {
    let of = |protocol| Session::open(protocol, content(""), revision(0), at(0), TTL);
    let [first, second, third] = Protocol::ALL;
    store.create(id(1), of(first), here(), room(2), at(0)).await.unwrap();
    store.create(id(2), of(second), here(), room(2), at(0)).await.unwrap();
    let full = store.create(id(3), of(third), here(), room(2), at(0)).await;
    assert!(matches!(full, Err(Refusal::Full { .. })), "{full:?}");
    store.remove(id(1), first, at(0)).await.unwrap();
    assert_eq!(store.create(id(3), of(third), here(), room(2), at(0)).await, Ok(()));
}

async fn what_a_visitor_has_ended_counts_no_more(store: Store) {
    let room = Room { max_entries: 10, max_per_visitor: 1 };
    for number in 0..100 {
        store.create(id(number), session("", 0), here(), room, at(0)).await.unwrap();
        let second = store.create(id(1000), session("", 0), here(), room, at(0)).await;
        assert!(matches!(second, Err(Refusal::Crowded { .. })), "{second:?}");
        store.remove(id(number), PROTOCOL, at(0)).await.unwrap();
    }
}

async fn a_flood_from_all_sides_stays_within_the_bounds(store: Store) {
    const MAX: usize = 100;
    let store = Arc::new(store);
    let flooders: Vec<_> = (0..8u128)
        .map(|flooder| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut opened = 0;
                for number in 0..500u64 {
                    let id = id(flooder * 1000 + u128::from(number));
                    opened += u64::from(
                        store.create(id, session("1234", number), here(), room(MAX), at(number)).await.is_ok(),
                    );
                    assert!(held(&store, 0).0 <= MAX as u64, "{} sessions", held(&store, 0).0);
                    assert!(held(&store, 0).1 <= 4 * MAX as u64, "{} bytes", held(&store, 0).1);
                }
                opened
            })
        })
        .collect();
    let mut opened = 0;
    for flooder in flooders {
        opened += flooder.await.unwrap();
    }
    assert!(opened >= MAX as u64, "{opened} sessions were let in");
}

async fn a_smaller_bound_lets_the_present_sessions_live(store: Store) {
    for number in 0..5 {
        store.create(id(number), session("", 0), here(), room(5), at(0)).await.unwrap();
    }
    assert!(store.create(id(5), session("", 1), here(), room(2), at(1)).await.is_err());
    for number in 0..5 {
        assert!(store.read(id(number), PROTOCOL, at(1)).await.is_ok());
    }
}

async fn a_repeated_write_is_recognised_by_its_content(store: Store) {
    let again =
        |expected, payload: &str, next| Write { retry: Retry::SameContent, ..write(only(expected), payload, next) };
    store.create(id(1), session("a", 0), here(), room(10), at(0)).await.unwrap();
    let first = store.write(id(1), again(0, "b", 1), at(1)).await.unwrap();
    assert_eq!(store.write(id(1), again(0, "b", 2), at(2)).await, Ok(first), "nothing advances");
    assert_eq!(store.write(id(1), again(0, "c", 2), at(2)).await, Err(Refusal::Stale(first)), "other content");
    assert_eq!(store.write(id(1), again(7, "b", 2), at(2)).await, Err(Refusal::Stale(first)), "another revision");
    let second = store.write(id(1), again(1, "b", 3), at(3)).await.unwrap();
    assert_eq!(second.revision, revision(3), "the same content is written again");
    assert_eq!(store.write(id(1), again(0, "b", 4), at(4)).await, Err(Refusal::Stale(second)), "too long ago");
    let unknown = write(only(1), "b", 4);
    assert_eq!(store.write(id(1), unknown, at(4)).await, Err(Refusal::Stale(second)), "nobody asked for it");
}

fn named(name: &str, expected: u128, payload: &str, next: u128) -> Write {
    let retry = Retry::SameTransaction(TransactionId::parse(id(1), name).unwrap());
    Write { retry, ..write(only(expected), payload, next) }
}

async fn a_repeated_write_is_recognised_by_its_name(store: Store) {
    store.create(id(1), session("a", 0), here(), room(10), at(0)).await.unwrap();
    let first = store.write(id(1), named("m1", 0, "b", 1), at(1)).await.unwrap();
    assert_eq!(store.write(id(1), named("m1", 0, "b", 2), at(2)).await, Ok(first));
    assert_eq!(store.write(id(1), named("m1", 5, "x", 2), at(2)).await, Ok(first), "whatever else it says");
    let refused = store.write(id(1), named("m2", 0, "c", 3), at(3)).await;
    assert_eq!(refused, Err(Refusal::Stale(first)));
    let second = store.write(id(1), named("m3", 1, "d", 4), at(4)).await.unwrap();
    let refused = store.write(id(1), named("m2", 4, "c", 5), at(5)).await;
    assert_eq!(refused, Err(Refusal::Stale(second)), "a refusal is told again as well");
    let told_again = store.write(id(1), named("m1", 0, "b", 6), at(6)).await.unwrap();
    assert_eq!(told_again.revision, first.revision, "and so is the first answer");
    let now = store.read(id(1), PROTOCOL, at(6)).await.unwrap();
    assert_eq!((now.stamp(), now.content()), (second, &content("d")));
    assert_eq!(store.write(id(1), named("m1", 0, "b", 7), at(60)).await, Err(Refusal::Absent), "not beyond the end");
}

async fn of_writers_with_one_name_all_are_told_the_same(store: Store) {
    const WRITERS: u128 = 16;
    let store = Arc::new(store);
    store.create(id(1), session("", 0), here(), room(10), at(0)).await.unwrap();
    let start = Arc::new(Barrier::new(WRITERS as usize));
    let writers: Vec<_> = (1..=WRITERS)
        .map(|next| {
            let (store, start) = (Arc::clone(&store), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                store.write(id(1), named("m", 0, "x", next), at(1)).await.unwrap().revision
            })
        })
        .collect();
    let mut told = Vec::new();
    for writer in writers {
        told.push(writer.await.unwrap());
    }
    let now = store.read(id(1), PROTOCOL, at(1)).await.unwrap();
    assert_eq!(told, vec![now.stamp().revision; WRITERS as usize]);
}

async fn a_session_forgets_the_oldest_names_first(store: Store) {
    store.create(id(1), session("", 0), here(), room(10), at(0)).await.unwrap();
    for number in 0..=MAX_TRANSACTIONS as u128 {
        store.write(id(1), named(&format!("m{number}"), number, "x", number + 1), at(1)).await.unwrap();
    }
    let repeated = store.write(id(1), named("m1", 9999, "x", 9999), at(2)).await.unwrap();
    assert_eq!(repeated.revision, revision(2), "still known");
    let forgotten = store.write(id(1), named("m0", 0, "x", 9999), at(2)).await;
    assert!(matches!(forgotten, Err(Refusal::Stale(_))), "{forgotten:?}");
}

// What Redis does by a clock of its own, which no test can turn on.

fn usage(store: &MemoryStore) -> RendezvousUsage {
    store.usage(PROTOCOL)
}

#[test]
fn a_full_store_refuses_until_something_expires() {
    let store = MemoryStore::default();
    store.create(id(1), session("", 0), here(), room(2), at(0)).unwrap();
    store.create(id(2), session("", 10), here(), room(2), at(10)).unwrap();
    let refused = store.create(id(3), session("", 45), here(), room(2), at(45));
    assert_eq!(refused, Err(Refusal::Full { retry_after: Duration::from_secs(15) }));
    for number in [1, 2] {
        assert!(store.read(id(number), PROTOCOL, at(45)).is_ok(), "{number} was ended to make room");
    }
    assert_eq!(store.create(id(3), session("", 60), here(), room(2), at(60)), Ok(()));
    assert!(store.read(id(2), PROTOCOL, at(60)).is_ok());
    assert!(store.create(id(4), session("", 60), here(), room(2), at(60)).is_err());
}

#[test]
fn a_visitor_that_has_had_its_share_leaves_room_for_others() {
    let store = MemoryStore::default();
    let room = Room { max_entries: 4, max_per_visitor: 2 };
    let (greedy, other) = (visitor("2001:db8::1"), visitor("2001:db8:0:1::1"));
    store.create(id(1), session("", 0), greedy, room, at(0)).unwrap();
    store.create(id(2), session("", 10), visitor("2001:db8::2"), room, at(10)).unwrap();
    let refused = store.create(id(3), session("", 20), greedy, room, at(20));
    let Err(Refusal::Crowded { retry_after }) = refused else { panic!("{refused:?}") };
    assert!(retry_after > Duration::ZERO && retry_after <= TTL, "{retry_after:?}");
    for number in [4, 5] {
        assert_eq!(store.create(id(number), session("", 20), other, room, at(20)), Ok(()));
    }
    let full = store.create(id(6), session("", 20), here(), room, at(20));
    assert!(matches!(full, Err(Refusal::Full { .. })), "{full:?}");
    assert_eq!(store.create(id(7), session("", 60), greedy, room, at(60)), Ok(()), "one of theirs has expired");
    assert!(store.create(id(8), session("", 60), greedy, room, at(60)).is_err());
}

#[test]
fn a_sweep_takes_out_what_has_expired_and_nothing_else() {
    let store = MemoryStore::default();
    assert_eq!(store.sweep(at(0)), None);
    for number in 0..1000 {
        store.create(id(number), session("x", 0), here(), room(2000), at(0)).unwrap();
    }
    store.create(id(1000), session("xy", 10), here(), room(2000), at(10)).unwrap();
    assert_eq!(store.sweep(at(59)), Some(at(60)));
    assert_eq!(usage(&store).entries, 1001);
    let mut sweeps = 1;
    while store.sweep(at(60)) == Some(at(60)) {
        sweeps += 1;
        assert!(sweeps < 1000, "the sweep makes no progress");
    }
    assert!(sweeps > 1, "a sweep has no bound");
    assert_eq!(usage(&store).expired, 1000);
    assert_eq!((usage(&store).entries, usage(&store).bytes), (1, 2));
    assert_eq!(store.sweep(at(60)), Some(at(70)));
    assert!(store.read(id(1000), PROTOCOL, at(60)).is_ok());
}

#[test]
fn each_protocol_is_counted_for_itself() {
    let store = MemoryStore::default();
    for (number, protocol) in (1..).zip(Protocol::ALL) {
        let session = Session::open(protocol, content(&"x".repeat(number)), revision(0), at(0), TTL);
        store.create(id(number as u128), session, here(), room(10), at(0)).unwrap();
    }
    store.remove(id(1), Protocol::Msc3886, at(0)).unwrap();
    let held = |protocol| {
        let RendezvousUsage { entries, bytes, expired } = store.usage(protocol);
        (entries, bytes, expired)
    };
    assert_eq!(Protocol::ALL.map(held), [(0, 0, 0), (1, 2, 0), (1, 3, 0)]);
    while store.sweep(at(60)).is_some() {}
    assert_eq!(Protocol::ALL.map(held), [(0, 0, 0), (0, 0, 1), (0, 0, 1)]);
}

/// Nothing is done while they are on their way, and whoever waits is answered where they are then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_on_their_way_are_waited_for() {
    let elsewhere = exchange::fixture::Elsewhere::start();
    let store = Arc::new(Store::Memory(MemoryStore::default()));
    let Store::Memory(memory) = &*store else { unreachable!() };
    store.create(id(1), session("here", 0), here(), room(9), at(0)).await.unwrap();
    let reading = |number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.read(id(number), PROTOCOL, at(1)).await })
    };
    memory.depart();
    let waiting = reading(1);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    assert_eq!(memory.live(at(1)).len(), 1);
    memory.come_back();
    assert_eq!(waiting.await.unwrap().unwrap().content().payload(), "here");

    elsewhere.store().create(id(1), session("there", 0), here(), room(9), at(0)).await.unwrap();
    memory.depart();
    let waiting = reading(1);
    memory.arrive(elsewhere.successor());
    assert_eq!(waiting.await.unwrap().unwrap().content().payload(), "there");
    assert_eq!(reading(2).await.unwrap(), Err(Refusal::Absent));
    // A process that is gone has taken them along; nothing is answered from what was here.
    drop(elsewhere);
    assert!(matches!(reading(1).await.unwrap(), Err(Refusal::Unavailable { .. })));
}
