//! What is added to Synapse's answer to `/_matrix/client/versions`, and that nothing else is changed.

use serde_json::{Value, json};

use crate::support::asked::{over_h1, over_h2};
use crate::support::gateway::Gateway;
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer};

const VERSIONS: &str = "/_matrix/client/versions";
const ON: &str = "rendezvous: {enabled: true, advertise: true, msc3886: {serve: off}, msc4108: {serve: upstream}}\n";
const THEIRS: &str = r#"{"versions":["v1.1"],"unstable_features":{"org.matrix.msc4108":false}}"#;

/// A Synapse that gives each request this answer.
fn answering(answer: impl Into<Vec<u8>>) -> (Upstream, Gateway) {
    let upstream = Upstream::answering(answer);
    let gateway = Gateway::before(&upstream, ON);
    (upstream, gateway)
}

fn merged() -> Value {
    json!({"versions": ["v1.1"], "unstable_features":
        {"org.matrix.msc4108": false, "org.matrix.msc3886": false, "io.element.msc4388": true}})
}

fn over_both(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> [Told; 2] {
    [
        over_h1(&mut gateway.tls_client(), method, target, fields, ""),
        over_h2(&mut gateway.h2(), method, target, fields, ""),
    ]
}

#[test]
fn the_features_are_added_and_the_head_stays_true() {
    let cache = "public, max-age=600, s-maxage=3600";
    let fields = format!("Cache-Control: {cache}\r\nVary: Authorization\r\nETag: \"x\"\r\nAccept-Ranges: bytes");
    let length = THEIRS.len();
    let whole = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{THEIRS}");
    let (first, second) = THEIRS.split_at(20);
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    let chunked = format!("HTTP/1.1 200 OK\r\n{fields}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let ended = format!("HTTP/1.1 200 OK\r\n{fields}\r\nConnection: close\r\n\r\n{THEIRS}");
    for (theirs, then) in [(whole, Then::Next), (chunked, Then::Next), (ended, Then::Close)] {
        let upstream = Upstream::new(move |_, peer| peer.send(&theirs).map_or(Then::Close, |()| then));
        let gateway = Gateway::before(&upstream, ON);
        let asked = [("accept-encoding", "gzip"), ("if-none-match", "\"x\""), ("range", "bytes=0-1")];
        for told in over_both(&gateway, "GET", VERSIONS, &asked) {
            assert_eq!((told.status, told.json()), (200, merged()));
            assert_eq!((told.one("cache-control"), told.one("vary")), (Some(cache), Some("Authorization")));
            for stale in ["content-length", "etag", "accept-ranges", "content-encoding"] {
                assert_eq!(told.one(stale), None, "{stale}: {told:?}");
            }
            told.is_readable_for_pages();
        }
        for request in upstream.requests() {
            assert_eq!(request.head.all("accept-encoding"), ["identity"]);
            assert_eq!((request.head.one("if-none-match"), request.head.one("range")), (None, None));
        }
    }
}

#[test]
fn an_old_client_gets_the_whole_of_it_too() {
    let (_upstream, gateway) = answering(answer("200 OK", THEIRS));
    let mut client = gateway.client();
    let told = Told::from(client.ask(format!("GET {VERSIONS} HTTP/1.0\r\nHost: a\r\n\r\n")));
    assert_eq!((told.json(), told.one("transfer-encoding")), (merged(), None));
}

#[test]
fn the_head_alone_promises_no_length() {
    let length = THEIRS.len();
    let (_upstream, gateway) =
        answering(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"));
    let mut client = gateway.client();
    let head = client.send(format!("HEAD {VERSIONS} HTTP/1.1\r\nHost: a\r\n\r\n")).response_head().unwrap();
    assert_eq!((head.one("content-length"), head.one("content-type")), (None, Some("application/json")));
}

#[test]
fn what_cannot_be_added_to_passes_as_it_is() {
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(300_000));
    let coded = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}\u{3}\u{4}";
    for (theirs, status, body) in [
        (answer("200 OK", &large), 200, large.as_str()),
        (answer("200 OK", "[]"), 200, "[]"),
        (answer("200 OK", ""), 200, ""),
        (answer("404 Not Found", THEIRS), 404, THEIRS),
        (coded.to_owned(), 200, "\u{1}\u{2}\u{3}\u{4}"),
    ] {
        let (_upstream, gateway) = answering(theirs);
        for told in over_both(&gateway, "GET", VERSIONS, &[]) {
            assert_eq!(told.status, status);
            assert!(told.text() == body, "{} bytes in place of {}", told.body.len(), body.len());
        }
    }
}

#[test]
fn other_answers_are_none_of_its_business() {
    let (upstream, gateway) = answering(answer("200 OK", THEIRS));
    for told in over_both(&gateway, "GET", "/_matrix/client/v3/capabilities", &[("accept-encoding", "gzip")]) {
        assert_eq!(told.text(), THEIRS);
        assert_eq!(told.one("content-length"), Some(&*THEIRS.len().to_string()));
    }
    assert_eq!(upstream.requests()[0].head.one("accept-encoding"), Some("gzip"));
    let silent = Gateway::before(&upstream, "rendezvous: {enabled: true}\n");
    for told in over_both(&silent, "GET", VERSIONS, &[]) {
        assert_eq!(told.text(), THEIRS);
    }
}
