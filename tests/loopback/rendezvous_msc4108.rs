//! Sign-in by QR code (MSC4108) through the whole gateway, as matrix-js-sdk and matrix-rust-sdk do it.

use crate::support::asked::{over_h1, over_h2};
use crate::support::gateway::Gateway;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, fine};

const CREATE: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const SESSIONS: &str = "/_synapse/client/rendezvous";
const ON: &str = "rendezvous: {enabled: true}\n";
const ABSENT: &str = "00000000000000000000000000000000";
const TEXT: (&str, &str) = ("content-type", "text/plain");

/// Whatever carries a request: method, target, fields, body.
type Ask<'a> = dyn FnMut(&str, &str, &[(&str, &str)], &str) -> Told + 'a;

/// Lets `test` ask over HTTP/1.1, over HTTP/1.1 with TLS, and over HTTP/2.
fn over_all(gateway: &Gateway, mut test: impl FnMut(&mut Ask)) {
    let mut plain = gateway.client();
    test(&mut |method, target, fields, body| over_h1(&mut plain, method, target, fields, body));
    let mut tls = gateway.tls_client();
    test(&mut |method, target, fields, body| over_h1(&mut tls, method, target, fields, body));
    let mut h2 = gateway.h2();
    test(&mut |method, target, fields, body| over_h2(&mut h2, method, target, fields, body));
}

/// Opens a session and returns its path and its entity tag.
fn create(ask: &mut Ask, body: &str) -> (String, String) {
    let told = ask("POST", CREATE, &[TEXT], body);
    assert_eq!(told.status, 201, "{told:?}");
    let url = told.json()["url"].as_str().unwrap().to_owned();
    (url.strip_prefix("https://matrix.example.com").unwrap().to_owned(), told.one("etag").unwrap().to_owned())
}

/// The fields that matrix-rust-sdk must find on every answer about a session below 400 but that to DELETE.
#[track_caller]
fn has_stamp(told: &Told) {
    let tag = told.one("etag").unwrap();
    assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for name in ["expires", "last-modified"] {
        assert!(httpdate::parse_http_date(told.one(name).unwrap()).is_ok(), "{name}: {told:?}");
    }
    told.is_readable_for_pages();
    assert!(told.one("access-control-expose-headers").unwrap().contains("ETag"), "{told:?}");
    assert_eq!((told.one("cache-control"), told.one("pragma")), (Some("no-store, no-transform"), Some("no-cache")));
}

#[test]
fn matrix_rust_sdk_signs_in() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_all(&gateway, |ask| {
        let created = ask("POST", CREATE, &[TEXT], "");
        assert_eq!((created.status, created.one("content-type")), (201, Some("application/json")));
        has_stamp(&created);
        let url = created.json()["url"].as_str().unwrap().to_owned();
        let session = url.strip_prefix("https://matrix.example.com").unwrap();
        let tag = created.one("etag").unwrap();

        let polled = ask("GET", session, &[("if-none-match", tag)], "");
        assert_eq!((polled.status, polled.one("etag"), polled.body.len()), (304, Some(tag), 0));
        has_stamp(&polled);

        let sent = ask("PUT", session, &[TEXT, ("if-match", tag)], "LOGIN_INITIATE");
        assert_eq!(sent.status, 202, "{sent:?}");
        has_stamp(&sent);

        let received = ask("GET", session, &[("if-none-match", tag)], "");
        assert_eq!((received.status, received.body.as_slice()), (200, &b"LOGIN_INITIATE"[..]));
        assert_eq!(received.one("content-type"), Some("text/plain"), "it is compared as text");
        assert_eq!(received.one("etag"), sent.one("etag"));
        has_stamp(&received);
    });
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn matrix_js_sdk_sees_who_was_first_and_that_it_is_over() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_all(&gateway, |ask| {
        let (session, tag) = create(ask, "");
        let sent = ask("PUT", &session, &[TEXT, ("if-match", &tag)], "mine");
        let lost = ask("PUT", &session, &[TEXT, ("if-match", &tag)], "theirs");
        lost.is_error(412, "M_UNKNOWN", "session_conflict");
        assert_eq!(lost.json()["org.matrix.msc4108.errcode"], "M_CONCURRENT_WRITE");
        assert_eq!(lost.one("etag"), sent.one("etag"));
        has_stamp(&lost);
        let ended = ask("DELETE", &session, &[], "");
        assert_eq!((ended.status, ended.body.len()), (204, 0));
        ended.is_readable_for_pages();
        for method in ["GET", "DELETE"] {
            ask(method, &session, &[], "").is_error(404, "M_NOT_FOUND", "session_not_found");
        }
        let late = ask("PUT", &session, &[TEXT, ("if-match", &tag)], "late");
        late.is_error(404, "M_NOT_FOUND", "session_not_found");
    });
}

#[test]
fn a_request_that_lacks_something_is_told_what() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_all(&gateway, |ask| {
        let (session, tag) = create(ask, "");
        let tag = ("if-match", tag.as_str());
        for (method, target, fields, status, code) in [
            ("POST", CREATE, &[][..], 400, "M_MISSING_PARAM"),
            ("PUT", &session, &[tag], 400, "M_MISSING_PARAM"),
            ("PUT", &session, &[TEXT], 400, "M_MISSING_PARAM"),
            ("POST", CREATE, &[("content-type", "text/plain; charset=utf-8")], 400, "M_INVALID_PARAM"),
            ("PUT", &session, &[("content-type", "application/json"), tag], 400, "M_INVALID_PARAM"),
        ] {
            ask(method, target, fields, "x").is_error(status, code, "session_invalid");
        }
        let large = "x".repeat(4097);
        ask("POST", CREATE, &[TEXT], &large).is_error(413, "M_TOO_LARGE", "body_too_large");
        ask("PUT", &session, &[TEXT, tag], &large).is_error(413, "M_TOO_LARGE", "body_too_large");
        assert_eq!(ask("PUT", &session, &[TEXT, tag], &large[1..]).status, 202);
    });
}

#[test]
fn a_body_needs_no_length() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    let head = format!("POST {CREATE} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n");
    assert_eq!(gateway.client().ask(format!("{head}\r\n")).status(), 201);
    let chunked = gateway.client().ask(format!("{head}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"));
    assert_eq!(chunked.status(), 201);
    let large = format!("{head}Transfer-Encoding: chunked\r\n\r\n1001\r\n{}\r\n0\r\n\r\n", "x".repeat(4097));
    Told::from(gateway.client().ask(large)).is_error(413, "M_TOO_LARGE", "body_too_large");
}

#[test]
fn nothing_around_the_sessions_reaches_synapse() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    let unknown = [
        SESSIONS.to_owned(),
        format!("{SESSIONS}/"),
        format!("{SESSIONS}/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        format!("{SESSIONS}/%E2%82%AC"),
        format!("{SESSIONS}/{ABSENT}"),
        format!("{SESSIONS}/{ABSENT}/"),
        format!("{SESSIONS}/{ABSENT}/x"),
        format!("{CREATE}/"),
        format!("{CREATE}/{ABSENT}"),
    ];
    over_all(&gateway, |ask| {
        for target in &unknown {
            let told = ask("GET", target, &[], "");
            assert_eq!(told.status, 404, "{target}: {told:?}");
            told.is_readable_for_pages();
            let preflight = ask("OPTIONS", target, &[("origin", "https://app.example")], "");
            assert_eq!(preflight.status, 204, "{target}");
            preflight.is_readable_for_pages();
        }
        ask("GET", CREATE, &[], "").is_error(405, "M_UNRECOGNIZED", "method_not_allowed");
        let navigated = ask("GET", &format!("{SESSIONS}/{ABSENT}"), &[("sec-fetch-dest", "document")], "");
        navigated.is_error(403, "M_FORBIDDEN", "navigation_denied");
    });
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn what_synapse_serves_passes_with_its_tags_untouched() {
    let upstream = Upstream::new(|_, peer| {
        let answer = "HTTP/1.1 202 Accepted\r\nETag: W/\"theirs\"\r\nContent-Length: 0\r\n\r\n";
        peer.send(answer).map_or(Then::Close, |()| Then::Next)
    });
    let more = "rendezvous: {enabled: true, msc4108: {serve: upstream}, msc4388: {serve: off}}\n";
    let gateway = Gateway::before(&upstream, more);
    over_all(&gateway, |ask| {
        let before = upstream.requests().len();
        let told = ask("PUT", &format!("{SESSIONS}/01M7"), &[TEXT, ("if-match", "W/\"theirs\", \"b\"")], "x");
        assert_eq!((told.status, told.one("etag")), (202, Some("W/\"theirs\"")));
        told.is_readable_for_pages();
        ask("POST", CREATE, &[TEXT], "");
        let seen = upstream.requests();
        assert_eq!(seen.len(), before + 2);
        assert_eq!(seen[before].head.one("if-match"), Some("W/\"theirs\", \"b\""));
        let off = ask("GET", "/_matrix/client/v1/rendezvous", &[], "");
        off.is_error(404, "M_UNRECOGNIZED", "unknown_path");
        assert_eq!(upstream.requests().len(), before + 2);
    });
}

#[test]
fn ids_are_in_no_log() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    let mut client = gateway.client();
    let (session, _) = create(&mut |m, t, f, b| over_h1(&mut client, m, t, f, b), "");
    let told = over_h1(&mut client, "GET", &session, &[], "");
    gateway.logged(told.one("x-request-id").unwrap());
    let id = session.strip_prefix(SESSIONS).unwrap().trim_matches('/');
    assert!(!gateway.lines().iter().any(|line| line.contains(id)), "{:?}", gateway.lines());
}

#[test]
fn a_flood_from_one_address_leaves_the_sign_in_of_others_alone() {
    let upstream = Upstream::answering(fine());
    let more = "rendezvous: {enabled: true, max_entries: 100, limits: {creations_per_minute: 1000, sessions: 50}}\n\
                forwarding: {trusted_proxies: [127.0.0.0/8]}\n";
    let gateway = Gateway::before(&upstream, more);
    let mut client = gateway.client();
    let mut open = |address: &str| over_h1(&mut client, "POST", CREATE, &[TEXT, ("x-forwarded-for", address)], "x");
    let flood: Vec<Told> = (0..200).map(|number| open(&format!("2001:db8::{number:x}"))).collect();
    assert_eq!(flood.iter().filter(|told| told.status == 201).count(), 50);
    for told in flood.iter().filter(|told| told.status != 201) {
        told.is_error(429, "M_LIMIT_EXCEEDED", "rate_limited");
        let wait = told.one("retry-after").unwrap().parse::<u64>().unwrap();
        assert!((1..=60).contains(&wait) && told.json()["retry_after_ms"].as_u64().unwrap() <= wait * 1000);
    }
    assert_eq!(open("2001:db8:0:1::1").status, 201, "the network next door");
    let session = open("198.51.100.7").json()["url"].as_str().unwrap().to_owned();
    let session = session.strip_prefix("https://matrix.example.com").unwrap();
    assert_eq!(over_h1(&mut client, "GET", session, &[], "").text(), "x");
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let upstream = Upstream::answering(fine());
    let limits = "limits: {creations_per_minute: 3, reads_per_minute: 3, writes_per_minute: 3}";
    let gateway = Gateway::before(&upstream, &format!("rendezvous: {{enabled: true, {limits}}}\n"));
    let mut client = gateway.client();
    let mut ask = |method: &str, target: &str, fields: &[(&str, &str)], body: &str| {
        over_h1(&mut client, method, target, fields, body)
    };
    let (session, _) = create(&mut ask, "");
    let any = ("if-match", "*");
    for (method, target, fields, status, times) in
        [("POST", CREATE, &[TEXT][..], 201, 2), ("GET", &session, &[], 200, 3), ("PUT", &session, &[TEXT, any], 202, 3)]
    {
        for _ in 0..times {
            assert_eq!(ask(method, target, fields, "x").status, status, "{method}");
        }
        let refused = ask(method, target, fields, "x");
        refused.is_error(429, "M_LIMIT_EXCEEDED", "rate_limited");
        assert!((1..=20).contains(&refused.one("retry-after").unwrap().parse::<u64>().unwrap()), "{refused:?}");
    }
    assert_eq!(ask("DELETE", &session, &[], "").status, 204);
}

#[test]
fn sessions_are_counted_by_protocol() {
    let upstream = Upstream::answering(fine());
    let more = "rendezvous: {enabled: true, msc4108: {ttl: 2s}, limits: {creations_per_minute: 2}}\n";
    let gateway = Gateway::before(&upstream, &format!("{more}{METRICS}"));
    let metrics = Metrics::of(&gateway);
    let mut client = gateway.client();
    let (session, tag) = create(&mut |m, t, f, b| over_h1(&mut client, m, t, f, b), "ping");
    for _ in 0..2 {
        over_h1(&mut client, "PUT", &session, &[TEXT, ("if-match", &tag)], "pong!");
    }
    assert_eq!(over_h1(&mut client, "POST", "/_matrix/client/v1/rendezvous", &[], "{\"data\":\"\"}").status, 200);
    assert_eq!(over_h1(&mut client, "POST", CREATE, &[TEXT], "").status, 429);
    for (series, value) in [
        ("rendezvous_created_total{protocol=\"msc4108\"}", 1.0),
        ("rendezvous_conflicts_total{protocol=\"msc4108\"}", 1.0),
        ("rendezvous_refused_total{cause=\"rate_limited\",protocol=\"msc4108\"}", 1.0),
        ("rendezvous_created_total{protocol=\"msc4388\"}", 1.0),
        ("rendezvous_entries{protocol=\"msc4388\"}", 1.0),
        ("rendezvous_expired_total{protocol=\"msc4108\"}", 1.0),
        ("rendezvous_entries{protocol=\"msc4108\"}", 0.0),
        ("rendezvous_bytes{protocol=\"msc4108\"}", 0.0),
    ] {
        metrics.wait(series, value);
    }
}
