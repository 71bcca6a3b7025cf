//! The largest head.

use http::Request;

use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

/// A request with a target of this length, headers of these lengths, and what it is answered with.
#[track_caller]
fn check(target: usize, headers: &[usize], status: u16) {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let target = format!("/_matrix/client/{}", "a".repeat(target - "/_matrix/client/".len()));
    let fields = headers.iter().enumerate().map(|(at, length)| (format!("x-{at}"), "a".repeat(*length)));
    let lines: Vec<String> = fields.clone().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let request = format!("GET {target} HTTP/1.1\r\nHost: matrix.example.com\r\n{lines}\r\n");
    let response = gateway.client().ask(request);
    assert_eq!((response.status(), response.one("access-control-allow-origin")), (status, Some("*")));
    let mut request = Request::get(format!("https://matrix.example.com{target}"));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    assert_eq!(gateway.h2().ask(request.body(()).unwrap()).unwrap().status, status);
    let expected = if status == 200 { 2 } else { 0 };
    assert_eq!(upstream.requests().len(), expected);
}

#[test]
fn a_target_has_its_limit() {
    check(8192, &[], 200);
    check(8193, &[], 414);
    check(60_000, &[], 414);
}

#[test]
fn headers_have_their_limit() {
    check(100, &[14_000], 200);
    check(100, &[16_000], 431);
    check(100, &[2000; 8], 431);
    check(100, &[50_000], 431);
}

#[test]
fn header_fields_have_their_number() {
    check(100, &[1; 190], 200);
    check(100, &[1; 220], 431);
}

#[test]
fn a_head_without_end_is_given_up() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send("GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\n");
    let line = format!("X: {}\r\n", "a".repeat(1000));
    let mut sent = 0_usize;
    while client.try_send(&line).is_ok() {
        sent += line.len();
        assert!(sent < 16 << 20, "the gateway reads on and on");
    }
    assert_eq!(gateway.client().ask(get("/_matrix/client/versions")).status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}
