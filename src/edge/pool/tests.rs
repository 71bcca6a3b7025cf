use std::time::Duration;

use super::*;
use crate::limits::TimeoutsSection;
use crate::problem::Problems;

fn pool(address: &str) -> Pool {
    let timeouts = TimeoutsSection::default().build(&mut Problems::default()).unwrap();
    let mut upstreams = Upstreams::new(Vec::new());
    upstreams.add("main".to_owned(), address.parse().unwrap());
    Pool::new(&upstreams.as_slice()[0], &timeouts)
}

fn forward() -> Forward {
    Forward {
        destination: crate::decide::Destination::Fixed(Upstreams::MAIN),
        skip: 0,
        websocket: false,
        silence: Duration::from_secs(7),
        body_limit: 0,
        matrix: true,
        endpoint: None,
        advertise: false,
    }
}

fn addresses(pool: &Pool) -> Vec<String> {
    let peer = |attempt| pool.peer(attempt, &forward()).unwrap()._address.to_string();
    (0..pool.len()).map(peer).collect()
}

fn moved(pool: &Pool, to: &[&str]) {
    pool.move_to("synapse", to.iter().map(|address| address.parse().unwrap()).collect());
}

#[test]
fn an_address_and_a_socket_need_no_lookup() {
    assert_eq!(addresses(&pool("127.0.0.1:8008")), ["127.0.0.1:8008"]);
    assert_eq!(pool("unix:/run/synapse.sock").len(), 1);
}

#[tokio::test]
async fn a_name_has_no_address_until_it_is_looked_up() {
    let pool = pool("localhost:8008");
    assert!(pool.peer(0, &forward()).is_none());
    pool.resolve().await;
    assert!(addresses(&pool).iter().all(|address| address.ends_with(":8008")), "{:?}", addresses(&pool));
    assert!(!addresses(&pool).is_empty());
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_has_none() {
    let pool = pool("nowhere.invalid:8008");
    pool.resolve().await;
    assert_eq!(pool.len(), 0);
}

#[test]
fn what_was_good_is_kept_until_there_is_something_else() {
    let pool = pool("synapse:8008");
    moved(&pool, &["192.0.2.2:8008", "192.0.2.1:8008", "192.0.2.1:8008"]);
    assert_eq!(addresses(&pool), ["192.0.2.1:8008", "192.0.2.2:8008"]);
    moved(&pool, &[]);
    assert_eq!(pool.len(), 2);
    moved(&pool, &["192.0.2.3:8008"]);
    assert_eq!(addresses(&pool), ["192.0.2.3:8008"]);
}

#[test]
fn the_address_that_answered_is_tried_first_from_then_on() {
    let pool = pool("localhost:8008");
    moved(&pool, &["[::1]:8008", "127.0.0.1:8008"]);
    assert_eq!(addresses(&pool), ["127.0.0.1:8008", "[::1]:8008"]);
    pool.connected(1);
    assert_eq!(addresses(&pool), ["[::1]:8008", "127.0.0.1:8008"]);
    // An answer that rotates the same addresses changes nothing.
    moved(&pool, &["127.0.0.1:8008", "[::1]:8008"]);
    assert_eq!(addresses(&pool), ["[::1]:8008", "127.0.0.1:8008"]);
}

#[test]
fn a_peer_waits_as_long_as_the_request_says_and_switches_protocols_only_if_it_may() {
    let pool = pool("127.0.0.1:8008");
    let peer = pool.peer(0, &forward()).unwrap();
    assert_eq!(peer.options.read_timeout, Some(Duration::from_secs(7)));
    assert_eq!(peer.options.http_upstream_request_policy.h1_upgrade, H1UpgradePolicy::Deny);
    let peer = pool.peer(0, &Forward { websocket: true, ..forward() }).unwrap();
    assert_eq!(peer.options.http_upstream_request_policy.h1_upgrade, H1UpgradePolicy::WebSocketOnly);
    assert!(peer.options.idle_timeout.unwrap() < Duration::from_mins(1), "Synapse closes first");
}
