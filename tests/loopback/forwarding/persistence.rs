//! One connection, several requests: HTTP/1.0, HEAD, pipelining.

use crate::support::client::{get, post};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Then, Upstream, answer, fine};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";

#[test]
fn a_client_of_http_1_0_gets_an_answer_without_chunks_that_ends_with_the_connection() {
    let upstream = Upstream::answering(CHUNKED);
    let gateway = Gateway::before(&upstream, "");
    let request = "GET /_matrix/client/versions HTTP/1.0\r\nHost: matrix.example.com\r\n\r\n";
    let response = gateway.client().ask(request);
    assert_eq!((response.status(), response.text()), (200, "{}"));
    assert_eq!((response.one("transfer-encoding"), response.one("content-length")), (None, None));
}

#[test]
fn a_client_of_http_1_0_gets_errors_too() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    let response = client.ask("GET /nowhere HTTP/1.0\r\nHost: matrix.example.com\r\n\r\n");
    assert_eq!((response.status(), &response.json()["errcode"]), (404, &"M_UNRECOGNIZED".into()));
    client.closed();
}

#[test]
fn an_answer_to_head_has_the_length_of_the_body_that_it_lacks() {
    let upstream = Upstream::new(|request, peer| {
        assert_eq!(request.method(), "HEAD");
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n").map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..2 {
        client.send("HEAD /_matrix/media/v3/download/a/b HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n");
        assert_eq!(client.response_head().unwrap().one("content-length"), Some("12345"));
    }
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n");
    let head = client.response_head().unwrap();
    assert!(head.start.starts_with("HTTP/1.1 404 "), "{head:?}");
    assert!(head.one("content-length").is_some_and(|length| length != "0"), "{head:?}");
    client.send("HEAD /_matrix/media/v3/download/a/b HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n");
    assert_eq!(client.response_head().unwrap().one("content-length"), Some("12345"), "the connection goes on");
}

#[test]
fn requests_in_one_packet_are_answered_in_turn() {
    let upstream = Upstream::new(|request, peer| {
        let body = format!("{{\"target\":\"{}\"}}", request.target());
        peer.send(answer("200 OK", &body)).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    let targets = ["/_matrix/client/a", "/_matrix/client/b", "/_matrix/client/c"];
    client.send(targets.map(get).concat());
    for target in targets {
        assert_eq!(client.response().json()["target"], target);
    }
}

#[test]
fn a_request_behind_a_body_in_one_packet_is_answered() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(format!("{}{{}}{}", post("/_matrix/client/v3/login", 2), get("/_matrix/client/versions")));
    assert_eq!((client.response().status(), client.response().status()), (200, 200));
    let requests = upstream.requests();
    assert_eq!((requests[0].body.bytes.as_slice(), requests[1].target()), (&b"{}"[..], "/_matrix/client/versions"));
}

#[test]
fn a_request_that_comes_while_another_is_pending_waits_for_its_turn() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::new(move |request, peer| {
        if request.target().ends_with("/first") {
            let _ = wait.lock().unwrap().recv();
        }
        let body = format!("{{\"target\":\"{}\"}}", request.target());
        peer.send(answer("200 OK", &body)).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(get("/_matrix/client/first"));
    upstream.wait(|seen| seen.requests.len() == 1);
    client.send(get("/_matrix/client/second"));
    // Another connection's whole exchange: time enough for the gateway to trip over what it read too early.
    assert_eq!(gateway.client().get("/_matrix/client/other").status(), 200);
    go.send(()).unwrap();
    assert_eq!(client.response().json()["target"], "/_matrix/client/first");
    assert_eq!(client.response().json()["target"], "/_matrix/client/second");
}

#[test]
fn a_connection_serves_the_gateway_s_own_answers_and_the_upstream_s_in_turn() {
    let upstream = Upstream::answering(CHUNKED);
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/_matrix/client/versions").text(), "{}");
        assert_eq!(client.get("/nowhere").status(), 404);
        assert_eq!(client.get("/.well-known/matrix/client").status(), 200);
        assert_eq!(client.get("/health").status(), 200);
        let preflight = "OPTIONS /_matrix/client/v3/sync HTTP/1.1\r\nHost: matrix.example.com\r\n\r\n";
        assert_eq!(client.ask(preflight).status(), 204);
    }
}

#[test]
fn a_client_that_asks_for_it_gets_its_connection_closed() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    let request = "GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nConnection: close\r\n\r\n";
    assert_eq!(client.ask(request).one("connection"), Some("close"));
    client.closed();
}
