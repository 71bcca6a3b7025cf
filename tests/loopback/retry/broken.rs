//! Upstreams that are not there, go away, or do not speak HTTP.

use super::{check_error, check_h2_error, clients};
use crate::support::client::{get, post};
use crate::support::gateway::Gateway;
use crate::support::message::Broken;
use crate::support::port::Port;
use crate::support::upstream::{Then, Upstream};

#[test]
fn an_upstream_that_refuses_connections_is_told_as_unavailable() {
    let port = Port::reserve();
    let gateway = Gateway::at(&port.address().to_string(), "");
    for request in [get("/_matrix/client/versions"), format!("{}{{}}", post("/_matrix/client/v3/login", 2))] {
        for mut client in clients(&gateway) {
            let response = client.ask(&request);
            check_error(&response, 503, "upstream_refused");
            assert_eq!((response.one("retry-after"), &response.json()["retry_after_ms"]), (Some("5"), &5000.into()));
            // Pingora keeps no connection after a failure; what matters is that it says so.
            assert_eq!(response.one("connection"), Some("close"));
        }
    }
    let answer = gateway.h2().get("/_matrix/client/versions");
    check_h2_error(&answer, 503, "upstream_refused");
    assert_eq!(answer.one("retry-after"), Some("5"));
    let entry = gateway.logged(answer.one("x-request-id").unwrap());
    assert_eq!((&entry["status"], &entry["cause"]), (&503.into(), &"upstream_refused".into()));
}

#[test]
fn an_upstream_without_a_socket_is_told_as_unavailable() {
    let gateway = Gateway::at("unix:/nonexistent/synapse.sock", "");
    check_error(&gateway.client().get("/_matrix/client/versions"), 503, "upstream_refused");
}

#[test]
fn behind_a_cdn_an_outage_is_told_as_something_to_wait_for() {
    let port = Port::reserve();
    let gateway = Gateway::at(&port.address().to_string(), "errors: {cdn_safe: true}");
    let response = gateway.client().get("/_matrix/client/versions");
    assert_eq!((response.status(), &response.json()["errcode"]), (429, &"M_LIMIT_EXCEEDED".into()));
    assert_eq!((response.one("retry-after"), &response.json()["retry_after_ms"]), (Some("5"), &5000.into()));
    let upstream = Upstream::answering("nonsense\r\n\r\n");
    let gateway = Gateway::before(&upstream, "errors: {cdn_safe: true}");
    assert_eq!(gateway.client().get("/_matrix/client/versions").status(), 429);
}

#[test]
fn an_upstream_that_closes_before_its_answer_is_told_as_bad() {
    let upstream = Upstream::new(|_, _| Then::Close);
    let gateway = Gateway::before(&upstream, "");
    for mut client in clients(&gateway) {
        check_error(&client.get("/_matrix/client/versions"), 502, "upstream_closed");
    }
    check_h2_error(&gateway.h2().get("/_matrix/client/versions"), 502, "upstream_closed");
    let asked = || upstream.requests().iter().filter(|request| request.target() != "/health").count();
    assert_eq!(asked(), 6, "each was asked once more: it reads, and Synapse may have been about to restart");
    check_error(&gateway.client().ask(post("/_matrix/client/v3/login", 0)), 502, "upstream_closed");
    assert_eq!(asked(), 7, "what may have been done is not asked again");
}

/// The upstream says this and then nothing, so that only what it said can be the reason to give up.
#[track_caller]
fn check_invalid(said: &[u8]) {
    let answer = said.to_vec();
    let upstream = Upstream::new(move |_, peer| {
        let _ = peer.send(&answer);
        Then::Hold
    });
    let gateway = Gateway::before(&upstream, "");
    let shown = String::from_utf8_lossy(said);
    let response = gateway.client().get("/_matrix/client/versions");
    assert_eq!(response.status(), 502, "{shown}");
    check_error(&response, 502, "upstream_invalid");
    check_h2_error(&gateway.h2().get("/_matrix/client/versions"), 502, "upstream_invalid");
}

#[test]
fn an_answer_that_is_not_http_1_is_told_as_bad_at_once() {
    check_invalid(b"nonsense\r\n\r\n");
    check_invalid(b"<!doctype html><title>HTTP/0.9</title>");
    check_invalid(b"\x15\x03\x01\x00\x02\x02\x46");
    check_invalid(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00");
    check_invalid(b"SSH-2.0-OpenSSH_9.2\r\n");
    check_invalid(b"\r\n\r\n\r\nnonsense");
}

#[test]
fn an_answer_of_doubtful_form_is_told_as_bad_at_once() {
    check_invalid(b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}");
    check_invalid(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x");
    check_invalid(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}");
    check_invalid(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA b: c\r\n\r\n{}");
    check_invalid(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\0c\r\n\r\n{}");
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let check = |answer: &'static str| {
        let upstream = Upstream::new(move |_, peer| {
            let _ = peer.send(answer);
            Then::Close
        });
        let gateway = Gateway::before(&upstream, "");
        for mut client in clients(&gateway) {
            let broken = client.send(get("/_matrix/client/v3/sync")).try_response().unwrap_err();
            assert!(matches!(broken, Broken::Truncated(_) | Broken::Closed), "{broken:?} of {answer}");
        }
        let error = gateway.h2().ask(crate::support::h2::get("/_matrix/client/v3/sync")).unwrap_err();
        assert!(error.is_reset(), "{error} of {answer}");
        let entry = gateway.log_where(|entry| entry["protocol"] == "HTTP/2.0");
        assert_eq!(entry["cause"], "upstream_truncated", "{entry}");
    };
    check("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"a\":");
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n");
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a");
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n");
}
