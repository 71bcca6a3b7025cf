//! Requests that two parsers could read differently: answered, and never forwarded.

use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

/// Each request is refused as a Matrix error that a web client may read, and none is forwarded.
#[track_caller]
fn check(requests: &[String]) {
    let upstream = Upstream::answering(fine());
    // The bodies that some of them announce never come.
    let gateway = Gateway::before(&upstream, "timeouts: {linger: 50ms}");
    for request in requests {
        let mut client = gateway.client();
        let response = client.ask(request);
        assert_eq!((response.status(), &response.json()["errcode"]), (400, &"M_UNKNOWN".into()), "{request}");
        assert_eq!(response.one("access-control-allow-origin"), Some("*"), "{request}");
        assert_eq!(response.one("content-type"), Some("application/json"), "{request}");
        assert_eq!(response.json()["org.matrix.gateway.request_id"], response.one("x-request-id").unwrap());
        client.closed();
    }
    assert_eq!(upstream.seen().accepted, 0);
}

const HOST: &str = "Host: a.example";

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{HOST}\r\n\r\n")
}

fn get_with(host: &str) -> String {
    format!("GET /_matrix/client/versions HTTP/1.1\r\n{host}\r\n")
}

fn post_with(framing: &str) -> String {
    format!("POST /_matrix/client/v3/x HTTP/1.1\r\n{HOST}\r\n{framing}\r\n\r\n")
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let targets =
        ["http://a.example/_matrix/client/versions", "*", "_matrix/client", "?/_matrix/client", "a.example:80"];
    check(&targets.map(get));
}

#[test]
fn a_target_with_a_fragment_is_refused() {
    let targets = ["/_matrix/client/a#b", "/_matrix/client/a?b=c#/../d", "/_matrix/client/#", "#/_matrix/client/a"];
    check(&targets.map(get));
}

#[test]
fn a_host_that_is_missing_or_no_host_is_refused() {
    let hosts = [
        "",
        "Host:\r\n",
        "Host: a.example, b.example\r\n",
        "Host: a.example/b\r\n",
        "Host: a.example?b\r\n",
        "Host: a.example:\r\n",
        "Host: a.example:-1\r\n",
        "Host: a.example:99999\r\n",
        "Host: a.example:http\r\n",
        "Host: [::1\r\n",
        "Host: m\u{fc}nchen.example\r\n",
        "Host: a b\r\n",
        "Host: a%41\r\n",
    ];
    check(&hosts.map(get_with));
    check(&["GET /_matrix/client/versions HTTP/1.0\r\n\r\n".to_owned()]);
}

#[test]
fn a_body_whose_length_is_in_doubt_is_refused() {
    let framings = [
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2, 2",
        "Content-Length: 00000000000000000000000002",
        "Content-Length: 9007199254740992000",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\ncontent-length: 5",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity, chunked",
    ];
    check(&framings.map(post_with));
}

/// What no parser can make sense of is answered before there is a request: without a body, to nobody who could read one.
#[test]
fn nothing_that_cannot_be_read_reaches_the_upstream() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let requests = [
        "\x16\x03\x01\x00\x05hello\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET /_matrix/client/versions\r\n\r\n".to_owned(),
        format!("GET  /_matrix/client/versions HTTP/1.1\r\n{HOST}\r\n\r\n"),
        format!("GET /_matrix/client/versions HTTP/2.0\r\n{HOST}\r\n\r\n"),
        format!("CONNECT a.example:443 HTTP/1.1\r\n{HOST}\r\n\r\n"),
        format!("TRACE /_matrix/client/versions HTTP/1.1\r\n{HOST}\r\n\r\n"),
        get("http://b.example/_matrix/client/versions"),
        get_with("Host: a.example\r\nHost: a.example\r\n"),
        get_with("Host: a.example\r\nHost: b.example\r\n"),
        get_with("Host: user@a.example\r\n"),
        get_with("Host: a.example\r\nA b: c\r\n"),
        get_with("Host: a.example\r\nA : c\r\n"),
        get_with("Host: a.example\r\n folded: c\r\n"),
        get_with("Host: a.example\r\nA: b\0c\r\n"),
        get_with("Host: a.example\r\nA: b\rc\r\n"),
        post_with("Content-Length: 2\r\nContent-Length: 3"),
        post_with("Content-Length: +2"),
        post_with("Content-Length: -2"),
        post_with("Content-Length: 99999999999999999999"),
        post_with("Transfer-Encoding: gzip"),
        post_with("Transfer-Encoding: chunked, identity"),
        post_with("Transfer-Encoding: \x0bchunked"),
    ];
    for request in requests {
        let response = gateway.client().ask(&request);
        assert!(matches!(response.status(), 400 | 405), "{request}: {response:?}");
    }
    assert_eq!(upstream.seen().accepted, 0);
}
