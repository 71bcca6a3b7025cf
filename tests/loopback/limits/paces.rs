//! Clients that take their time.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::DEADLINE;
use crate::support::client::{Response, get, post};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::message::Heard;
use crate::support::upstream::{Then, Upstream, answer, fine};

const TICK: Duration = Duration::from_millis(100);

#[track_caller]
fn check(response: &Response, cause: &str) {
    let body = response.json();
    assert_eq!((response.status(), &body["errcode"]), (408, &"M_UNKNOWN".into()));
    assert_eq!(body["org.matrix.gateway.cause"], cause);
    assert_eq!(response.one("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_head_that_trickles_is_cut_off_in_time() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {client_header: 1s}");
    for connect in [Gateway::client, Gateway::tls_client] {
        let started = Instant::now();
        let mut client = connect(&gateway);
        let mut endless = "GET /_matrix/client/versions HTTP/1.1\r\nX: ".bytes().chain(std::iter::repeat(b'a'));
        while client.try_send([endless.next().unwrap()]).is_ok() && client.listen(TICK) == Heard::Nothing {
            assert!(started.elapsed() < DEADLINE, "the gateway waits on and on");
        }
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    }
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {client_header: 300ms, handshake: 300ms}");
    gateway.client().closed();
    gateway.tls_client().closed();
    crate::support::client::Client::tcp(gateway.address("127.0.0.2")).closed();
}

#[test]
fn a_body_that_stops_is_answered() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {body_idle: 300ms, linger: 300ms}");
    for mut client in [gateway.client(), gateway.tls_client()] {
        check(&client.send(post("/_matrix/client/v3/login", 10)).send("{").response(), "body_timeout");
        client.closed();
    }
    let mut client = gateway.client();
    let chunked = "PUT /_matrix/client/v3/x HTTP/1.1\r\nHost: matrix.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&client.send(format!("{chunked}5\r\nhello\r\n")).response(), "body_timeout");
    assert!(upstream.is_unasked());
}

#[test]
fn a_body_that_stops_over_http_2_is_reset() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {body_idle: 300ms}");
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post("/_matrix/client/v3/login"), false);
    stream.send_data(Bytes::from_static(b"{"), false).unwrap();
    match client.answer(response) {
        Err(error) => assert!(error.is_reset(), "{error}"),
        Ok(answer) => assert_eq!(answer.status, 408),
    }
    assert_eq!(client.get("/_matrix/client/versions").status, 200, "the connection goes on");
    upstream.wait(|seen| seen.ended == 1);
    assert_eq!(upstream.only_request().target(), "/_matrix/client/versions");
}

#[test]
fn a_body_that_never_begins_over_http_2_is_reset() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {body_idle: 300ms}");
    let mut client = gateway.h2();
    let (response, _stream) = client.send(h2::post("/_matrix/client/v3/login"), false);
    match client.answer(response) {
        Err(error) => assert!(error.is_reset(), "{error}"),
        Ok(answer) => assert_eq!(answer.status, 408),
    }
}

/// Ten seconds pass before the rate is looked at.
#[test]
fn a_body_below_the_minimum_rate_is_answered() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "limits: {body_min_rate: 1000}\ntimeouts: {linger: 300ms}");
    let mut client = gateway.client();
    client.send(post("/_matrix/client/v3/login", 1_000_000));
    let started = Instant::now();
    while client.listen(TICK) == Heard::Nothing {
        client.send("a");
        assert!(started.elapsed() < DEADLINE, "the gateway waits on and on");
    }
    assert!(started.elapsed() >= Duration::from_secs(10), "{:?}", started.elapsed());
    check(&client.response(), "body_too_slow");
}

#[test]
fn an_idle_connection_is_closed() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {keep_alive: 1s}");
    for mut client in [gateway.client(), gateway.tls_client()] {
        assert_eq!(client.get("/_matrix/client/versions").status(), 200);
        let waited = client.closed();
        assert!((Duration::from_millis(900)..DEADLINE).contains(&waited), "{waited:?}");
    }
    let mut client = gateway.h2();
    assert_eq!(client.get("/_matrix/client/versions").status, 200);
    client.closed();
}

#[test]
fn a_request_in_progress_is_no_idle_connection() {
    let upstream = Upstream::new(|_, peer| {
        // Not to wait for something: that nothing happens meanwhile is what is tested.
        std::thread::sleep(Duration::from_millis(2500));
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let short = "timeouts: {keep_alive: 1s, client_header: 1s, http2_first_stream: 1s, body_idle: 1s, write: 1s}";
    let gateway = Gateway::before(&upstream, short);
    assert_eq!(gateway.client().ask(get("/_matrix/client/versions")).status(), 200);
    assert_eq!(gateway.h2().get("/_matrix/client/versions").status, 200);
}

#[test]
fn an_http_2_connection_without_a_request_is_closed() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "timeouts: {http2_first_stream: 300ms}");
    gateway.h2().closed();
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let body = "a".repeat(32 << 20);
    let upstream = Upstream::answering(answer("200 OK", &body));
    let gateway = Gateway::before(&upstream, "timeouts: {write: 500ms}");
    let mut client = gateway.client();
    client.send(get("/_matrix/media/v3/download/a/b"));
    upstream.wait(|seen| seen.ended == 1);
    let entry = gateway.log_where(|entry| entry["cause"] == "write_timeout");
    assert_eq!(entry["status"], 200);
}

#[test]
fn a_client_that_does_not_read_its_answer_over_http_2_is_cut_off() {
    let body = "a".repeat(32 << 20);
    let upstream = Upstream::answering(answer("200 OK", &body));
    let gateway = Gateway::before(&upstream, "timeouts: {write: 500ms}");
    let mut client = gateway.h2();
    let (response, _stream) = client.send(h2::get("/_matrix/media/v3/download/a/b"), true);
    let held = client.wait(response).unwrap();
    upstream.wait(|seen| seen.ended == 1);
    drop(held);
}
