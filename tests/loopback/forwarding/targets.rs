//! The request target, which federation signatures cover: byte for byte, whatever it looks like.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Request, Upstream, fine};

/// Targets that proxies are known to rewrite.
const NASTY: &[&str] = &[
    "/_matrix/client/v3/rooms/!a%2Fb%3Aexample.com/state",
    "/_matrix/client/v3/directory/room/%23room%3Aexample.com",
    "/_matrix/client/v3/a%3Fb%26c%3Dd",
    "/_matrix/client/v3/rooms/!abc:example.com/send/m.room.message/$txn,1;2@3",
    "/_matrix//client///versions",
    "/_matrix/client/../client/./versions",
    "/_matrix/client/..%2f..%2Fadmin",
    "/_matrix/client/%2e%2e/%2E%2E/x",
    "/_matrix/client/a;b=c,d!e:f@g$h",
    "/_matrix/client/{a}|b^c\\d[e]f\"g",
    "/_matrix/client/ünïcödé/€/\u{1f600}",
    "/_matrix/client/%zz%/%1/%",
    "/_matrix/client/%41%7e%7E~",
    "/_matrix/client/a+b%20c",
    "/_matrix/client/versions?",
    "/_matrix/client/versions??a=?&&b==&",
    "/_matrix/client/versions?a=/../b//c&d=http://e.example/%2F?f",
    "/_matrix/client/versions?filter={a:[1,2]}",
    "/_matrix/client/versions/",
    "/_matrix/client/*",
    "/_matrix/",
];

fn check(targets: &[&str], mut get: impl FnMut(&str) -> u16, upstream: &Upstream) {
    for target in targets {
        assert_eq!(get(target), 200, "{target}");
    }
    let requests = upstream.requests();
    let seen: Vec<&str> = requests.iter().map(Request::target).collect();
    assert_eq!(seen, targets);
}

#[test]
fn a_target_is_forwarded_byte_for_byte_from_http_1() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    check(NASTY, |target| client.get(target).status(), &upstream);
}

#[test]
fn a_target_is_forwarded_byte_for_byte_from_http_2() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.h2();
    check(NASTY, |target| client.get(target).status.as_u16(), &upstream);
}

/// What RFC 3986 allows, and what browsers send besides.
#[test]
fn any_legal_target_is_forwarded_byte_for_byte() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let client = RefCell::new(gateway.client());
    let targets = proptest::string::string_regex("/_matrix/[!$-;=?-_a-~éß€]{0,200}").unwrap();
    // A failure may cost the connection, so that smaller targets could not be tried on it.
    let config = Config { cases: 500, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    TestRunner::new(config)
        .run(&targets, |target| {
            let mut client = client.borrow_mut();
            prop_assert!(client.try_send(get(&target)).is_ok());
            let response = client.try_response();
            prop_assert_eq!(response.map(|response| response.status()), Ok(200));
            let requests = upstream.requests();
            prop_assert_eq!(requests.last().map(Request::target), Some(target.as_str()));
            Ok(())
        })
        .unwrap();
    assert_eq!(upstream.seen().accepted, 1, "one connection served them all");
}
