//! Who the client is, as Synapse is told.

use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

/// What the upstream is told about the client of a request with these header lines.
#[track_caller]
fn check(configuration: &str, lines: &str, address: &str, scheme: &str) {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, configuration);
    let request = format!("GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\n{lines}\r\n");
    assert_eq!(gateway.client().ask(request).status(), 200);
    let head = upstream.only_request().head;
    assert_eq!((head.all("x-forwarded-for"), head.all("x-forwarded-proto")), (vec![address], vec![scheme]));
    for name in ["forwarded", "x-real-ip", "true-client-ip", "x-forwarded-host", "x-forwarded-port"] {
        assert_eq!(head.one(name), None, "{name}");
    }
}

const TRUSTED: &str = "forwarding: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}";

#[test]
fn the_client_is_whoever_connected_whatever_it_says() {
    check("", "", "127.0.0.1", "http");
    check(
        "",
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2, 192.0.2.3\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.4\r\nX-Real-IP: 192.0.2.5\r\nTrue-Client-IP: 192.0.2.6\r\n\
         X-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 1\r\n",
        "127.0.0.1",
        "http",
    );
}

#[test]
fn tls_is_told_as_https() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    assert_eq!(gateway.tls_client().get("/_matrix/client/versions").status(), 200);
    assert_eq!(gateway.h2().get("/_matrix/client/versions").status.as_u16(), 200);
    for request in upstream.requests() {
        assert_eq!(request.head.one("x-forwarded-proto"), Some("https"));
        assert_eq!(request.head.one("x-forwarded-for"), Some("127.0.0.1"));
    }
}

#[test]
fn a_trusted_proxy_says_who_the_client_is() {
    check(TRUSTED, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1", "https");
    check(TRUSTED, "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.1.2.3\r\n", "192.0.2.1", "http");
    check(TRUSTED, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1", "http");
    check(TRUSTED, "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1", "http");
    check(TRUSTED, "X-Forwarded-For: 192.0.2.1, nonsense, 10.1.2.3\r\n", "10.1.2.3", "http");
    check(TRUSTED, "", "127.0.0.1", "http");
}

#[test]
fn the_access_log_names_the_client_that_the_trusted_proxy_named() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, TRUSTED);
    let response = gateway
        .client()
        .ask("GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    let entry = gateway.logged(response.one("x-request-id").unwrap());
    assert_eq!((entry["client"].as_str(), entry["scheme"].as_str()), (Some("192.0.2.1"), Some("http")));
}
