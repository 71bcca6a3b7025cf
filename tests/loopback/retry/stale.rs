//! Kept connections that the upstream closes just as they are to be used again.

use std::collections::HashMap;

use crate::support::client::post;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Connection, Then, Upstream, fine};

/// Answers the first request on each connection, and closes the connection at the head of the second.
fn forgetful(connection: &mut Connection) {
    if connection.request().is_ok() && connection.peer.send(fine()).is_ok() {
        let _ = connection.head();
    }
}

#[test]
fn requests_that_may_be_repeated_survive_an_upstream_that_closes_at_the_next_one() {
    let upstream = Upstream::raw(forgetful);
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for method in ["GET", "PUT", "DELETE", "GET"] {
        for _ in 0..10 {
            let request = format!(
                "{method} /_matrix/client/v3/x HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            assert_eq!(client.ask(request).status(), 200, "{method}");
        }
    }
    let mut client = gateway.h2();
    for _ in 0..10 {
        assert_eq!(client.get("/_matrix/client/versions").status.as_u16(), 200);
    }
}

#[test]
fn the_access_log_counts_what_was_sent_again() {
    let upstream = Upstream::raw(forgetful);
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.get("/_matrix/client/versions");
    let response = client.get("/_matrix/client/versions");
    let entry = gateway.logged(response.one("x-request-id").unwrap());
    assert_eq!((&entry["retries"], &entry["status"], &entry["cause"]), (&1.into(), &200.into(), &().into()));
}

#[test]
fn an_upstream_may_close_each_connection_right_after_its_answer() {
    let upstream = Upstream::new(|_, peer| {
        let _ = peer.send(fine());
        Then::Close
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..200 {
        assert_eq!(client.get("/_matrix/client/versions").status(), 200);
    }
}

#[test]
fn a_post_is_never_sent_twice() {
    let upstream = Upstream::raw(forgetful);
    let gateway = Gateway::before(&upstream, "");
    for number in 0..40 {
        let body = format!("{number:04}");
        let response = gateway.client().ask(format!("{}{body}", post(&format!("/_matrix/client/v3/{body}"), 4)));
        assert!(matches!(response.status(), 200 | 502), "{response:?}");
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    for request in upstream.requests().iter().filter(|request| !request.body.bytes.is_empty()) {
        *seen.entry(request.target().to_owned()).or_default() += 1;
    }
    assert!(seen.values().all(|&times| times == 1), "{seen:?}");
    assert!(seen.len() >= 20, "at least every other one came to a connection of its own: {seen:?}");
}

#[test]
fn a_post_whose_body_has_not_been_sent_is_sent_again() {
    let upstream = Upstream::raw(forgetful);
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    assert_eq!(client.get("/_matrix/client/versions").status(), 200);
    client.send(post("/_matrix/client/v3/login", 2));
    // The head on the connection that was kept, which the upstream closes, and again on the next one.
    upstream.wait(|seen| seen.accepted == 2);
    assert_eq!(client.ask("{}").status(), 200);
    let requests = upstream.requests();
    let last = requests.last().unwrap();
    assert_eq!((last.body.bytes.as_slice(), last.connection), (&b"{}"[..], 1));
}
