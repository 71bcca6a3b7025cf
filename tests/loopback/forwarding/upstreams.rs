//! Upstreams of all kinds.

use std::net::{TcpListener, ToSocketAddrs as _};

use tempfile::TempDir;

use crate::support::gateway::Gateway;
use crate::support::upstream::{Then, Upstream, answer, fine};

#[test]
fn an_upstream_may_listen_on_a_unix_socket() {
    let directory = TempDir::new().unwrap();
    let upstream = Upstream::on_unix(&directory.path().join("synapse.sock"), |request, peer| {
        let body = format!("{{\"target\":\"{}\"}}", request.target());
        peer.send(answer("200 OK", &body)).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/_matrix/client/versions?a").json()["target"], "/_matrix/client/versions?a");
    }
    let head = &upstream.requests()[0].head;
    assert_eq!((head.one("host"), head.one("x-forwarded-for")), (Some("matrix.example.com"), Some("127.0.0.1")));
    assert_eq!(upstream.seen().accepted, 1, "the connection was used again");
}

/// An upstream on each address of the name in turn, so that the first address that is tried is not always the right one.
#[test]
fn a_name_is_tried_on_the_family_that_answers() {
    let addresses: Vec<_> = ("localhost", 0).to_socket_addrs().unwrap().collect();
    for listener in addresses.into_iter().filter_map(|address| TcpListener::bind(address).ok()) {
        let upstream =
            Upstream::on(
                listener,
                |connection| {
                    while connection.request().is_ok() && connection.peer.send(fine()).is_ok() {}
                },
            );
        let port = upstream.address().rsplit(':').next().unwrap().to_owned();
        let gateway = Gateway::at(&format!("localhost:{port}"), "");
        for _ in 0..3 {
            assert_eq!(gateway.client().get("/_matrix/client/versions").status(), 200, "{}", upstream.address());
        }
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[test]
fn large_headers_of_an_upstream_reach_the_client() {
    let cookie = "c".repeat(20_000);
    let upstream = Upstream::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Large: {cookie}\r\nSet-Cookie: {cookie}\r\n\r\n{{}}"
    ));
    let gateway = Gateway::before(&upstream, "");
    assert_eq!(gateway.client().get("/_matrix/client/versions").one("x-large"), Some(cookie.as_str()));
    assert_eq!(gateway.h2().get("/_matrix/client/versions").one("x-large"), Some(cookie.as_str()));
}

#[test]
fn an_upstream_may_speak_http_1_0() {
    let upstream = Upstream::new(|_, peer| {
        let _ = peer.send("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}");
        Then::Close
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..2 {
        let response = client.get("/_matrix/client/versions");
        assert_eq!((response.status(), response.text()), (200, "{\"a\":1}"));
    }
    assert_eq!(gateway.h2().get("/_matrix/client/versions").body, b"{\"a\":1}");
}

#[test]
fn informational_answers_of_an_upstream_are_not_mistaken_for_the_answer() {
    let upstream = Upstream::answering(format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", fine()));
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    let mut response = client.get("/_matrix/client/versions");
    while response.status() < 200 {
        response = client.response();
    }
    assert_eq!((response.status(), response.text()), (200, "{}"));
}

#[test]
fn bodiless_answers_stay_bodiless() {
    let upstream = Upstream::new(|request, peer| {
        let status = request.target().rsplit('/').next().unwrap();
        let head = format!("HTTP/1.1 {status} Nothing\r\nETag: \"a\"\r\n\r\n");
        peer.send(head).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for status in [204, 304, 204] {
        let response = client.get(&format!("/_matrix/client/{status}"));
        assert_eq!((response.status(), response.one("etag"), response.body.len()), (status, Some("\"a\""), 0));
    }
}
