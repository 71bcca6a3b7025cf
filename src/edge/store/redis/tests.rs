//! What several gateways on one Redis can rely on, beyond the contract of every store.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::fixture::{RedisServer, connection, store, store_with};
use super::*;
use crate::edge::store::Store;
use crate::edge::store::tests::{PROTOCOL, at, here, id, only, revision, room, visitor, write};

/// A session with revision 0 that lives so long, and the present time.
fn session(ttl: Duration) -> (Session, Timestamp) {
    let now = Timestamp::from(SystemTime::now());
    let content = Content::new(b"payload", HeaderValue::from_static("text/plain"));
    (Session::open(PROTOCOL, content, revision(0), now, ttl), now)
}

const LONG: Duration = Duration::from_mins(1);

/// How long Redis leaves a session.
async fn left(server: &RedisServer, id: SessionId) -> i64 {
    redis::cmd("PTTL").arg(key(id).0).query_async(&mut connection(server).await).await.unwrap()
}

#[tokio::test]
async fn the_end_of_a_session_is_a_matter_of_redis_and_a_write_does_not_move_it() {
    let server = RedisServer::start();
    let store = store(&server);
    let (session, now) = session(LONG);
    store.create(id(1), session, here(), room(10), now).await.unwrap();
    let before = left(&server, id(1)).await;
    assert!((50_000..=60_000).contains(&before), "{before}");
    store.write(id(1), write(only(0), "later", 1), now).await.unwrap();
    let after = left(&server, id(1)).await;
    assert!((50_000..=before).contains(&after), "{after}");
}

#[tokio::test]
async fn a_session_ends_whatever_the_clock_of_the_gateway_says() {
    let server = RedisServer::start();
    let store = store(&server);
    let (session, now) = session(Duration::from_millis(100));
    store.create(id(1), session, here(), room(10), now).await.unwrap();
    let begun = Instant::now();
    // The gateway's clock stands still.
    while store.read(id(1), PROTOCOL, now).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the session does not end");
    }
    assert_eq!(store.write(id(1), write(Revisions::Any, "", 1), now).await, Err(Refusal::Absent));
    assert_eq!(store.remove(id(1), PROTOCOL, now).await, Err(Refusal::Absent));
}

#[tokio::test]
async fn the_bound_holds_over_all_gateways_until_something_ends() {
    let server = RedisServer::start();
    let (one, other) = (store(&server), store(&server));
    let (long, now) = session(LONG);
    let (short, _) = session(Duration::from_millis(400));
    one.create(id(1), long.clone(), here(), room(2), now).await.unwrap();
    other.create(id(2), short, here(), room(2), now).await.unwrap();
    let begun = Instant::now();
    loop {
        match one.create(id(3), long.clone(), here(), room(2), now).await {
            Err(Refusal::Full { retry_after }) => assert!(retry_after <= Duration::from_millis(400), "{retry_after:?}"),
            other => break assert_eq!(other, Ok(())),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it stays full");
    }
    assert!(begun.elapsed() >= Duration::from_millis(300), "a live session was counted as gone");
    assert!(other.read(id(1), PROTOCOL, now).await.is_ok());
    other.sweep(now).await;
    assert_eq!(other.usage(PROTOCOL).entries, 2);
    assert_eq!([&one, &other].map(|store| store.usage(PROTOCOL).expired).iter().sum::<u64>(), 1);
    assert!(matches!(other.create(id(4), long, here(), room(2), now).await, Err(Refusal::Full { .. })));
}

#[tokio::test]
async fn a_visitor_has_its_share_over_all_gateways_and_leaves_room_for_others() {
    let server = RedisServer::start();
    let (one, other) = (store(&server), store(&server));
    let (long, now) = session(LONG);
    let (short, _) = session(Duration::from_millis(200));
    let room = Room { max_entries: 10, max_per_visitor: 2 };
    let greedy = visitor("2001:db8::1");
    one.create(id(1), long.clone(), greedy, room, now).await.unwrap();
    other.create(id(2), short, visitor("2001:db8::2"), room, now).await.unwrap();
    assert_eq!(one.create(id(3), long.clone(), here(), room, now).await, Ok(()));
    let begun = Instant::now();
    loop {
        match one.create(id(4), long.clone(), greedy, room, now).await {
            Err(Refusal::Crowded { retry_after }) => assert!(retry_after <= LONG, "{retry_after:?}"),
            told => break assert_eq!(told, Ok(())),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it stays crowded");
    }
    assert!(begun.elapsed() >= Duration::from_millis(100), "a live session was counted as gone");
    other.remove(id(1), PROTOCOL, now).await.unwrap();
    assert_eq!(other.create(id(5), long.clone(), greedy, room, now).await, Ok(()));
    assert!(matches!(one.create(id(6), long, greedy, room, now).await, Err(Refusal::Crowded { .. })));
}

#[tokio::test]
async fn names_of_sessions_that_have_expired_do_not_pile_up() {
    let server = RedisServer::start();
    let store = store(&server);
    let (long, now) = session(LONG);
    let (short, _) = session(Duration::from_millis(50));
    // It keeps the names of the others from going as one.
    store.create(id(9), long.clone(), here(), room(100), now).await.unwrap();
    for number in 0..5 {
        store.create(id(number), short.clone(), here(), room(100), now).await.unwrap();
    }
    let begun = Instant::now();
    while store.read(id(4), PROTOCOL, now).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the session does not end");
    }
    store.create(id(5), long, here(), room(100), now).await.unwrap();
    for key in [order(PROTOCOL), visitor_order(here())] {
        let names: u64 = redis::cmd("ZCARD").arg(key).query_async(&mut connection(&server).await).await.unwrap();
        assert_eq!(names, 2);
    }
    assert_eq!(store.usage(PROTOCOL).expired, 5);
}

#[tokio::test]
async fn a_flood_over_two_gateways_fills_the_places_and_no_more() {
    let server = RedisServer::start();
    let stores = [Arc::new(store(&server)), Arc::new(store(&server))];
    let (session, now) = session(LONG);
    let mut flood = JoinSet::new();
    for number in 0..400u128 {
        let (store, session) = (Arc::clone(&stores[(number % 2) as usize]), session.clone());
        flood.spawn(async move { store.create(id(number), session, here(), room(50), now).await.is_ok() });
    }
    assert_eq!(flood.join_all().await.into_iter().filter(|opened| *opened).count(), 50);
}

#[tokio::test]
async fn a_dump_of_redis_has_no_id_and_expires_to_nothing() {
    let server = RedisServer::start();
    let store = store(&server);
    let secret = SessionId::new(Uuid::new_v4());
    let (session, now) = session(Duration::from_millis(50));
    store.create(secret, session, here(), room(10), now).await.unwrap();
    let mut connection = connection(&server).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert!(keys.iter().all(|key| key.starts_with("synapse-gateway:rendezvous:{")), "{keys:?}");
    assert!(keys.iter().all(|key| !key.contains(&secret.reveal())), "{keys:?}");
    let begun = Instant::now();
    while redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await.unwrap() > 0 {
        store.sweep(now).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "something stays for ever");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_over_two_gateways_exactly_one_wins_every_round() {
    const ROUNDS: u128 = 10_000;
    const WRITERS: u128 = 4;
    let server = RedisServer::start();
    let stores = [Arc::new(store(&server)), Arc::new(store(&server))];
    let (session, now) = session(Duration::from_mins(50));
    stores[0].create(id(1), session, here(), room(10), now).await.unwrap();
    let mut present = 0;
    for round in 1..=ROUNDS {
        let mut race = JoinSet::new();
        for writer in 0..WRITERS {
            let (store, next) = (Arc::clone(&stores[(writer % 2) as usize]), round * WRITERS + writer);
            race.spawn(async move { (next, store.write(id(1), write(only(present), "A", next), now).await) });
        }
        let outcomes = race.join_all().await;
        let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).map(|(next, _)| *next).collect();
        let [winner] = winners[..] else { panic!("round {round}: {outcomes:?}") };
        for (_, outcome) in outcomes.iter().filter(|(next, _)| *next != winner) {
            let told = matches!(outcome, Err(Refusal::Stale(stamp)) if stamp.revision == revision(winner));
            assert!(told, "round {round}: {outcome:?}");
        }
        present = winner;
    }
    let stale = stores[0].write(id(1), write(only(0), "A", 1), now).await;
    assert!(matches!(stale, Err(Refusal::Stale(_))), "the first revision is back: {stale:?}");
}

/// Every answer is right, or says that there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_redis_that_dies_and_comes_back_gives_right_answers_or_none() {
    let mut server = RedisServer::start();
    let stores = [Arc::new(store(&server)), Arc::new(store(&server))];
    let (session, now) = session(LONG);
    for generation in 0..3u128 {
        let mut load = JoinSet::new();
        let busy = Arc::new(Barrier::new(9));
        for worker in 0..8u128 {
            let busy = Arc::clone(&busy);
            let (store, session) = (Arc::clone(&stores[(worker % 2) as usize]), session.clone());
            let id = id(generation * 100 + worker);
            load.spawn(async move { work_until_lost(&store, id, session, now, &busy).await });
        }
        busy.wait().await;
        server.kill();
        load.join_all().await;
        for store in &stores {
            let asked = Instant::now();
            assert_eq!(store.read(id(1), PROTOCOL, now).await, Err(UNAVAILABLE));
            assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
        }
        server.start_again();
        let begun = Instant::now();
        for store in &stores {
            // It is empty: what was in it is gone, and nothing else is said.
            while let Err(refusal) = store.read(id(1), PROTOCOL, now).await {
                if refusal == Refusal::Absent {
                    break;
                }
                assert_eq!(refusal, UNAVAILABLE);
                assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Opens a session and writes to it, one revision after the other, until the store is lost.
async fn work_until_lost(store: &Store, id: SessionId, session: Session, now: Timestamp, busy: &Barrier) {
    store.create(id, session, here(), room(100), now).await.unwrap();
    for next in 1..1_000_000 {
        if next == 20 {
            busy.wait().await;
        }
        match store.write(id, write(only(next - 1), &next.to_string(), next), now).await {
            Ok(stamp) => assert_eq!(stamp.revision, revision(next)),
            Err(refusal) => return assert_eq!(refusal, UNAVAILABLE),
        }
        match store.read(id, PROTOCOL, now).await {
            Ok(session) => assert_eq!(session.content().payload(), next.to_string().as_bytes()),
            Err(refusal) => return assert_eq!(refusal, UNAVAILABLE),
        }
    }
    panic!("the store was not lost");
}

#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for() {
    let server = RedisServer::start();
    let store = store(&server);
    assert_eq!(store.read(id(1), PROTOCOL, at(0)).await, Err(Refusal::Absent));
    let mut connection = connection(&server).await;
    redis::cmd("CLIENT").arg("PAUSE").arg(2000).query_async::<()>(&mut connection).await.unwrap();
    let begun = Instant::now();
    let mut waits = Vec::new();
    loop {
        let asked = Instant::now();
        let told = store.read(id(1), PROTOCOL, at(0)).await;
        if told == Err(UNAVAILABLE) {
            waits.push(asked.elapsed());
        } else if !waits.is_empty() {
            assert_eq!(told, Err(Refusal::Absent));
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::task::yield_now().await;
    }
    assert!(waits.iter().all(|wait| *wait < Duration::from_millis(1500)), "{waits:?}");
}

#[tokio::test]
async fn without_the_password_nothing_is_answered_and_with_it_everything() {
    let server = RedisServer::start();
    let mut admin = connection(&server).await;
    let set = redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("open sesame").query_async::<()>(&mut admin).await;
    set.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "open sesame\n").unwrap();
    let password = Password::read(file.path()).unwrap();
    assert!(!format!("{password:?}").contains("sesame"));
    for (password, told) in [(None, UNAVAILABLE), (Some(&password), Refusal::Absent)] {
        let store = store_with(&server, password);
        assert_eq!(store.read(id(1), PROTOCOL, at(0)).await, Err(told));
    }
    std::fs::write(file.path(), " \n").unwrap();
    assert!(matches!(Password::read(file.path()), Err(PasswordError::Empty)));
}
