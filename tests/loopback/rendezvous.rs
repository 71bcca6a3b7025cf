//! Sign-in by QR code (MSC3886) through the whole gateway.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::gateway::{Gateway, preamble};
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

/// Where clients create sessions.
const CLIENT: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";
/// Where the operator's endpoint is by default.
const PREFIX: &str = "/_synapse/client/org.matrix.msc3886/rendezvous";
const ON: &str = "rendezvous: {enabled: true}\n";
const ABSENT: &str = "00000000000000000000000000000000";

fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    Gateway::before(upstream, &format!("rendezvous: {{enabled: true, {more}}}\n"))
}

/// Sends a request with a body and further fields.
fn ask(client: &mut Client, method: &str, target: &str, fields: &str, body: &str) -> Told {
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: {length}\r\n{fields}\r\n");
    client.ask(head + body).into()
}

/// Opens a session at an endpoint and returns its id and entity tag.
fn create(client: &mut Client, endpoint: &str, body: &str) -> (String, String) {
    let told = ask(client, "POST", endpoint, "Content-Type: text/plain\r\n", body);
    assert_eq!((told.status, told.body.len()), (201, 0), "{told:?}");
    (told.one("location").unwrap().to_owned(), told.one("etag").unwrap().to_owned())
}

/// The same path without its last segment: what a relative `Location` is resolved against.
fn beside(endpoint: &str) -> &str {
    &endpoint[..endpoint.rfind('/').unwrap()]
}

#[test]
fn a_session_is_created_read_written_and_ended_on_all_paths() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "");
    let mut client = gateway.tls_client();
    for endpoint in [CLIENT, PREFIX] {
        let (id, first) = create(&mut client, endpoint, "one");
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "a bare id: {id}");
        // Appended to the endpoint, in place of its last segment, and below the other endpoint.
        let places =
            [CLIENT, PREFIX].map(|other| [format!("{other}/{id}"), format!("{}/{id}", beside(other))]).concat();
        for place in &places {
            let told = ask(&mut client, "GET", place, "", "");
            assert_eq!((told.status, told.body.as_slice()), (200, &b"one"[..]), "{place}");
            assert_eq!((told.one("etag"), told.one("content-type")), (Some(&*first), Some("text/plain")));
            told.is_readable_for_pages();
            let unchanged = ask(&mut client, "GET", place, &format!("If-None-Match: {first}\r\n"), "");
            assert_eq!((unchanged.status, unchanged.one("etag")), (304, Some(&*first)), "{place}");
            unchanged.is_readable_for_pages();
        }
        let written = ask(&mut client, "PUT", &places[1], &format!("If-Match: {first}\r\n"), "two");
        let second = written.one("etag").unwrap().to_owned();
        assert_eq!(written.status, 202);
        assert_ne!(first, second);
        let lost = ask(&mut client, "PUT", &places[0], &format!("If-Match: {first}\r\n"), "three");
        lost.is_error(412, "M_CONCURRENT_WRITE", "session_conflict");
        assert_eq!(lost.one("etag"), Some(&*second));
        let told = ask(&mut client, "GET", &places[2], &format!("If-None-Match: {first}\r\n"), "");
        assert_eq!((told.status, told.body.as_slice()), (200, &b"two"[..]));
        assert_eq!(ask(&mut client, "DELETE", &places[3], "", "").status, 204);
        for place in &places {
            for method in ["GET", "PUT", "DELETE"] {
                ask(&mut client, method, place, "", "").is_error(404, "M_NOT_FOUND", "session_not_found");
            }
        }
    }
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn answers_have_the_fields_of_the_protocol() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "max_bytes: 10KiB");
    let mut client = gateway.tls_client();
    let created = ask(&mut client, "POST", CLIENT, "", "x");
    let id = created.one("location").unwrap();
    let read = ask(&mut client, "GET", &format!("{CLIENT}/{id}"), "", "");
    for told in [&created, &read] {
        assert_eq!(told.one("x-max-bytes"), Some("10240"));
        for field in ["etag", "expires", "last-modified"] {
            assert!(told.one(field).is_some(), "{field}: {told:?}");
        }
        assert_eq!((told.one("cache-control"), told.one("pragma")), (Some("no-store, no-transform"), Some("no-cache")));
        assert_eq!(told.one("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(read.one("content-type"), Some("application/octet-stream"));
}

#[test]
fn payloads_are_bounded_inclusively_and_methods_told() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "max_bytes: 100");
    let mut client = gateway.client();
    let (id, tag) = create(&mut client, CLIENT, &"x".repeat(100));
    let session = format!("{CLIENT}/{id}");
    let large = "x".repeat(101);
    ask(&mut client, "POST", CLIENT, "", &large).is_error(413, "M_TOO_LARGE", "body_too_large");
    ask(&mut client, "PUT", &session, &format!("If-Match: {tag}\r\n"), &large).is_error(
        413,
        "M_TOO_LARGE",
        "body_too_large",
    );
    let chunked =
        format!("POST {CLIENT} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n{large}\r\n0\r\n\r\n");
    Told::from(gateway.client().ask(chunked)).is_error(413, "M_TOO_LARGE", "body_too_large");
    assert_eq!(ask(&mut client, "GET", &session, "", "").one("etag"), Some(&*tag));
    for (method, target, allow) in [
        ("PUT", CLIENT, "POST, OPTIONS"),
        ("GET", CLIENT, "POST, OPTIONS"),
        ("POST", &session, "GET, HEAD, PUT, DELETE, OPTIONS"),
    ] {
        let told = ask(&mut client, method, target, "", "");
        told.is_error(405, "M_UNRECOGNIZED", "method_not_allowed");
        assert_eq!(told.one("allow"), Some(allow));
    }
    assert!(upstream.is_unasked());
}

#[test]
fn the_unstable_path_may_redirect_to_the_operators_endpoint() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "redirect_unstable: true");
    let mut client = gateway.client();
    let told = ask(&mut client, "POST", CLIENT, "", "x");
    assert_eq!((told.status, told.one("location")), (307, Some(PREFIX)));
    told.is_readable_for_pages();
    let (id, _) = create(&mut client, PREFIX, "x");
    assert_eq!(ask(&mut client, "GET", &format!("{CLIENT}/{id}"), "", "").status, 200);
}

#[test]
fn a_custom_prefix_serves_and_the_default_one_does_not() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "prefix: /_synapse/client/qr");
    let mut client = gateway.client();
    let (id, _) = create(&mut client, "/_synapse/client/qr", "x");
    for place in ["/_synapse/client/qr/", "/_synapse/client/", &format!("{CLIENT}/")] {
        assert_eq!(ask(&mut client, "GET", &format!("{place}{id}"), "", "").status, 200, "{place}");
    }
    assert!(upstream.is_unasked());
    assert_eq!(ask(&mut client, "POST", PREFIX, "", "x").status, 200);
    assert_eq!(upstream.only_request().target(), PREFIX);
}

#[test]
fn where_it_is_off_the_paths_are_synapses() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for (method, target) in [("POST", CLIENT.to_owned()), ("GET", format!("{CLIENT}/{ABSENT}"))] {
        assert_eq!(ask(&mut client, method, &target, "", "x").text(), "{}");
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_session_ends_when_its_time_is_over_whoever_wrote_to_it() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "ttl: 1s");
    let mut client = gateway.client();
    let started = Instant::now();
    let (id, _) = create(&mut client, CLIENT, "x");
    let session = format!("{CLIENT}/{id}");
    // Asks until the session is gone, writing all the while.
    let gone = loop {
        let told = ask(&mut client, "PUT", &session, "", "again");
        if told.status == 404 {
            break told;
        }
        assert!((202, true) == (told.status, started.elapsed() < Duration::from_secs(10)), "{told:?}");
        thread::sleep(Duration::from_millis(20));
    };
    gone.is_error(404, "M_NOT_FOUND", "session_not_found");
    assert!(started.elapsed() >= Duration::from_secs(1));
    ask(&mut client, "GET", &session, "", "").is_error(404, "M_NOT_FOUND", "session_not_found");
}

#[test]
fn a_full_store_refuses_newcomers_until_somebody_has_left() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "max_entries: 2, ttl: 1h");
    let mut client = gateway.client();
    let (first, _) = create(&mut client, CLIENT, "1");
    let (second, _) = create(&mut client, PREFIX, "2");
    let refused = ask(&mut client, "POST", CLIENT, "", "3");
    refused.is_error(429, "M_LIMIT_EXCEEDED", "overloaded");
    let wait: u64 = refused.one("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert!(refused.json()["retry_after_ms"].as_u64().unwrap() <= 3_600_000);
    // Those who are in go on.
    assert_eq!(ask(&mut client, "PUT", &format!("{CLIENT}/{second}"), "", "more").status, 202);
    assert_eq!(ask(&mut client, "DELETE", &format!("{CLIENT}/{first}"), "", "").status, 204);
    create(&mut client, CLIENT, "3");
}

#[test]
fn sessions_survive_a_reload() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "");
    let mut client = gateway.client();
    let (id, tag) = create(&mut client, CLIENT, "kept");
    let listeners = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";
    let more = "rendezvous: {enabled: true, prefix: /_synapse/client/other, ttl: 2m}\n";
    gateway.configure(&format!("{}{listeners}{more}", preamble(&upstream.address())));
    gateway.signal("HUP");
    gateway.line(|line| line == "the configuration was reloaded");
    let told = ask(&mut client, "GET", &format!("/_synapse/client/other/{id}"), "", "");
    assert_eq!((told.status, told.body.as_slice(), told.one("etag")), (200, &b"kept"[..], Some(&*tag)));
    // And their ids are as secret under the new prefix as they were under the old one.
    gateway.logged(told.one("x-request-id").unwrap());
    assert!(!gateway.lines().iter().any(|line| line.contains(&id)), "{:?}", gateway.lines());
}

#[test]
fn pages_of_a_browser_do_not_get_to_see_a_session() {
    let upstream = Upstream::answering(fine());
    let gateway = gateway(&upstream, "");
    let mut client = gateway.client();
    let (id, _) = create(&mut client, CLIENT, "<script>");
    let session = format!("{CLIENT}/{id}");
    for fields in ["Sec-Fetch-Mode: navigate\r\n", "Sec-Fetch-Dest: iframe\r\n", "Sec-Fetch-User: ?1\r\n"] {
        ask(&mut client, "GET", &session, fields, "").is_error(403, "M_FORBIDDEN", "navigation_denied");
    }
    let script = "Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Site: cross-site\r\n";
    assert_eq!(ask(&mut client, "GET", &session, script, "").status, 200);
}

#[test]
fn a_client_that_waits_for_leave_to_send_gets_it_or_is_refused_at_once() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    let expecting = |length: usize| {
        format!("POST {CLIENT} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut client = gateway.client();
    assert_eq!(client.ask(expecting(4)).status(), 100);
    assert_eq!(client.ask("body").status(), 201);
    Told::from(gateway.client().ask(expecting(100_000))).is_error(413, "M_TOO_LARGE", "body_too_large");
}
