//! Upstreams that say nothing, or no more.

use std::time::{Duration, Instant};

use super::{check_error, check_h2_error, clients};
use crate::support::DEADLINE;
use crate::support::client::{get, post};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Then, Upstream};

const BUDGET: Duration = Duration::from_millis(300);
const SHORT: &str = "timeouts: {first_byte: 300ms, upload: 300ms, long_poll_max: 300ms, federation: 300ms}";

fn silent() -> Upstream {
    Upstream::new(|_, _| Then::Hold)
}

#[test]
fn an_upstream_that_says_nothing_is_told_as_late_within_the_budget() {
    let upstream = silent();
    let gateway = Gateway::before(&upstream, SHORT);
    let requests = [
        get("/_matrix/client/versions"),
        get("/_matrix/client/v3/sync?since=s1&timeout=30000"),
        get("/_matrix/federation/v1/version"),
        format!("{}{{}}", post("/_matrix/client/v3/login", 2)),
        format!("{}{{}}", post("/_matrix/media/v3/upload", 2)),
    ];
    for request in requests {
        for mut client in clients(&gateway) {
            let started = Instant::now();
            check_error(&client.ask(&request), 504, "upstream_timeout");
            assert!((BUDGET..DEADLINE).contains(&started.elapsed()), "{:?}", started.elapsed());
        }
    }
    check_h2_error(&gateway.h2().get("/_matrix/client/versions"), 504, "upstream_timeout");
    upstream.wait(|seen| seen.ended == seen.accepted);
}

#[test]
fn each_kind_of_request_has_a_budget_of_its_own() {
    let upstream = silent();
    let gateway = Gateway::before(&upstream, "timeouts: {first_byte: 100ms, initial_sync: 1s}");
    let started = Instant::now();
    check_error(&gateway.client().get("/_matrix/client/v3/sync"), 504, "upstream_timeout");
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn an_answer_that_stalls_is_cut_off_visibly() {
    let upstream = Upstream::new(|_, peer| {
        let _ = peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n");
        Then::Hold
    });
    let gateway = Gateway::before(&upstream, SHORT);
    for mut client in clients(&gateway) {
        assert!(client.send(get("/_matrix/client/versions")).try_response().is_err());
    }
    assert!(gateway.h2().ask(h2::get("/_matrix/client/versions")).unwrap_err().is_reset());
    upstream.wait(|seen| seen.ended == 3);
}

#[test]
fn an_upstream_that_accepts_nothing_is_told_as_unavailable() {
    // Connections to this address are neither answered nor refused: it is for documentation (RFC 5737).
    let gateway = Gateway::at("192.0.2.1:8008", "timeouts: {connect: 300ms}");
    let response = gateway.client().get("/_matrix/client/versions");
    assert_eq!((response.status(), response.one("retry-after")), (503, Some("5")));
}
