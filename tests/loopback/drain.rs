//! SIGTERM: what has begun ends well, nothing new begins, and the process goes as soon as nothing is left.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::certificates::{NAME, client_config};
use crate::support::client::{Client, get, post};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::message::Broken;
use crate::support::upstream::{Then, Upstream, fine};

const VERSIONS: &str = "/_matrix/client/versions";
const SYNC: &str = "/_matrix/client/v3/sync?since=s1&timeout=30000";
/// Far below the grace period of 30 s, far above what a busy machine needs.
const SOON: Duration = Duration::from_secs(5);

/// An upstream that answers once the gate is open.
fn behind(gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::new(move |_, peer| {
        gate.wait();
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    })
}

/// Asks the gateway to stop, and waits until it takes no connection any more.
fn stop(gateway: &Gateway) -> Instant {
    let asked = Instant::now();
    gateway.signal("TERM");
    gateway.line(|line| line.starts_with("stopping: "));
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let address = gateway.address(ip);
        assert!(TcpStream::connect(address).is_err(), "{address}");
    }
    asked
}

/// Waits for the end of the process, which must be a good one.
fn ended_since(gateway: &mut Gateway, asked: Instant) -> Duration {
    assert_eq!(gateway.ended().code(), Some(0));
    asked.elapsed()
}

#[test]
fn a_gateway_without_connections_ends_at_once() {
    let upstream = Upstream::answering(fine());
    for name in ["TERM", "INT"] {
        let mut gateway = Gateway::before(&upstream, "");
        let asked = Instant::now();
        gateway.signal(name);
        assert!(ended_since(&mut gateway, asked) < SOON, "{name}");
        assert_eq!(gateway.lines().last().unwrap(), "stopped");
    }
}

/// A service manager may reload as soon as it has started, and a person may think better of it.
#[test]
fn a_signal_at_the_very_start_is_not_lost_and_kills_nobody() {
    let upstream = Upstream::answering(fine());
    for _ in 0..5 {
        let mut gateway = Gateway::before(&upstream, "");
        gateway.signal("HUP");
        gateway.line(|line| line == "the configuration was reloaded");
        let asked = Instant::now();
        gateway.signal("TERM");
        assert!(ended_since(&mut gateway, asked) < SOON);
    }
}

#[test]
fn requests_in_flight_are_answered_and_the_process_ends_with_the_last() {
    let gate = Gate::new();
    let upstream = behind(&gate);
    let mut gateway = Gateway::before(&upstream, "");
    let (mut http1, mut tls, mut http2) = (gateway.client(), gateway.tls_client(), gateway.h2());
    http1.send(get(VERSIONS));
    tls.send(get(SYNC));
    let (versions, _) = http2.send(h2::get(VERSIONS), true);
    let (sync, _) = http2.send(h2::get(SYNC), true);
    upstream.wait(|seen| seen.requests.len() == 4);
    let asked = stop(&gateway);
    gate.open();
    for client in [&mut http1, &mut tls] {
        let response = client.response();
        assert_eq!((response.status(), response.one("connection")), (200, Some("close")));
        client.closed();
    }
    assert_eq!(http2.answer(versions).unwrap().status, 200);
    assert_eq!(http2.answer(sync).unwrap().status, 200);
    http2.closed();
    assert!(ended_since(&mut gateway, asked) < SOON);
}

#[test]
fn who_was_accepted_just_before_is_answered_once() {
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::before(&upstream, "");
    let (mut plain, mut tls) = (gateway.client(), gateway.tls_client());
    let asked = stop(&gateway);
    for client in [&mut plain, &mut tls] {
        let response = client.get(VERSIONS);
        assert_eq!((response.status(), response.one("connection")), (200, Some("close")));
        client.closed();
    }
    assert!(ended_since(&mut gateway, asked) < SOON);
}

#[test]
fn idle_connections_close_soon_while_others_go_on() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::new(move |request, peer| {
        if request.target() == SYNC {
            waiting.wait();
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let mut gateway = Gateway::before(&upstream, "");
    let (mut idle, mut idle_tls, mut idle_h2) = (gateway.client(), gateway.tls_client(), gateway.h2());
    assert_eq!((idle.get(VERSIONS).status(), idle_tls.get(VERSIONS).status()), (200, 200));
    assert_eq!(idle_h2.get(VERSIONS).status, 200);
    let mut polling = gateway.client();
    polling.send(get(SYNC));
    upstream.wait(|seen| seen.requests.iter().any(|request| request.target() == SYNC));
    let asked = stop(&gateway);
    assert!(idle.closed() < SOON);
    assert!(idle_tls.closed() < SOON);
    idle_h2.closed();
    assert!(asked.elapsed() < SOON);
    gate.open();
    assert_eq!(polling.response().status(), 200);
    assert!(ended_since(&mut gateway, asked) < SOON);
}

/// As a phone that fell asleep: its connection is there, and nobody reads it.
#[test]
fn an_http_2_client_that_does_not_listen_holds_nobody_up() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // GET https://matrix.example.com/health, the first and last frame of stream 1 (RFC 7541, appendix A).
    let fields = [b"\x82\x87\x44\x07/health\x41\x12".as_slice(), b"matrix.example.com"].concat();
    let length = u8::try_from(fields.len()).unwrap();
    let request = [[0, 0, length, 1, 5, 0, 0, 0, 1].as_slice(), &fields].concat();
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::before(&upstream, "");
    let mut deaf = Client::tls(gateway.address("127.0.0.2"), NAME, client_config(&["h2"])).unwrap();
    deaf.send(PREFACE).send(SETTINGS).send(request);
    gateway.log_where(|entry| entry["target"] == "/health" && entry["status"] == 200);
    let asked = stop(&gateway);
    assert!(ended_since(&mut gateway, asked) < SOON);
    drop(deaf);
}

#[test]
fn an_upload_and_a_download_that_have_begun_are_finished() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::new(move |request, peer| {
        if request.method() == "GET" {
            let begun = peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            waiting.wait();
            return begun.and_then(|()| peer.send("later")).map_or(Then::Close, |()| Then::Next);
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let mut gateway = Gateway::before(&upstream, "");
    let (mut upload, mut download) = (gateway.client(), gateway.client());
    upload.send(post("/_matrix/media/v3/upload", 8) + "half");
    download.send(get("/_matrix/media/v3/download/a/b"));
    let head = download.response_head().unwrap();
    assert_eq!(head.one("content-length"), Some("10"));
    upstream.wait(|seen| seen.accepted == 2);
    let asked = stop(&gateway);
    upload.send("rest");
    assert_eq!(upload.response().status(), 200);
    gate.open();
    assert_eq!(download.bytes(10), b"firstlater");
    assert!(ended_since(&mut gateway, asked) < SOON);
    let uploaded = upstream.requests().into_iter().find(|request| request.method() == "POST").unwrap();
    assert_eq!(uploaded.body.bytes, b"halfrest");
}

#[test]
fn the_process_ends_at_the_end_of_its_grace_whatever_is_open() {
    let upstream = Upstream::new(|_, _| Then::Hold);
    let mut gateway = Gateway::before(&upstream, "timeouts: {shutdown_grace: 1s}\n");
    let mut client = gateway.client();
    client.send(get(SYNC));
    let mut http2 = gateway.h2();
    let (answer, _) = http2.send(h2::get(SYNC), true);
    upstream.wait(|seen| seen.requests.len() == 2);
    let asked = stop(&gateway);
    let taken = ended_since(&mut gateway, asked);
    assert!(taken >= Duration::from_secs(1) && taken < SOON, "{taken:?}");
    gateway.line(|line| line.starts_with("warning: stopped with 2 connections open"));
    assert!(matches!(client.try_response(), Err(Broken::Closed)));
    assert!(http2.answer(answer).is_err());
    // Both stand in the log all the same, once.
    let logged: Vec<_> = gateway.log().into_iter().filter(|entry| entry["cause"] == "stopped").collect();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(logged.iter().all(|entry| entry["status"].is_null() && entry["class"] == "long_poll"), "{logged:?}");
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let upstream = Upstream::new(|_, _| Then::Hold);
    for second in ["TERM", "INT"] {
        let mut gateway = Gateway::before(&upstream, "");
        let before = upstream.requests().len();
        let mut client = gateway.client();
        client.send(get(SYNC));
        upstream.wait(|seen| seen.requests.len() > before);
        let asked = stop(&gateway);
        gateway.signal(second);
        assert!(ended_since(&mut gateway, asked) < SOON);
        gateway.line(|line| line == "warning: stopped at once: a second signal came");
    }
}

#[test]
fn a_reload_while_stopping_does_not_bring_the_listeners_back() {
    let gate = Gate::new();
    let upstream = behind(&gate);
    let mut gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(get(SYNC));
    upstream.wait(|seen| seen.requests.len() == 1);
    let asked = stop(&gateway);
    gateway.signal("HUP");
    gate.open();
    assert_eq!(client.response().status(), 200);
    assert!(ended_since(&mut gateway, asked) < SOON);
    assert!(!gateway.lines().iter().any(|line| line.contains("reloaded")));
}

#[test]
fn the_last_lines_of_the_access_log_are_written() {
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::before(&upstream, "log: {target: '{dir}/access.log'}\n");
    let mut client = gateway.client();
    for _ in 0..50 {
        assert_eq!(client.get(VERSIONS).status(), 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    let log = std::fs::read_to_string(gateway.directory().join("access.log")).unwrap();
    assert_eq!(log.lines().count(), 50);
}
