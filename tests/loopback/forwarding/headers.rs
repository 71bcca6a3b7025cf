//! Header fields in both directions.

use http::Request;

use crate::support::gateway::Gateway;
use crate::support::upstream::{Request as Seen, Upstream, fine};

const ID: &str = "x-request-id";

/// What the upstream sees of a GET request with these header lines.
fn seen(configuration: &str, host: &str, lines: &str) -> Seen {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, configuration);
    let request = format!("GET /_matrix/client/versions HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
    assert_eq!(gateway.client().ask(request).status(), 200);
    upstream.only_request()
}

#[test]
fn the_host_is_forwarded_with_its_port() {
    let check = |host: &str| assert_eq!(seen("", host, "").head.one("host"), Some(host));
    check("matrix.example.com");
    check("matrix.example.com:8448");
    check("MATRIX.example.com:443");
    check("[2001:db8::1]:8448");
}

#[test]
fn the_authority_of_an_http_2_request_is_forwarded_as_host() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let request = Request::get("https://matrix.example.com:8448/_matrix/client/versions").body(()).unwrap();
    assert_eq!(gateway.h2().ask(request).unwrap().status, 200);
    let head = upstream.only_request().head;
    assert_eq!(head.one("host"), Some("matrix.example.com:8448"));
    assert_eq!(head.start, "GET /_matrix/client/versions HTTP/1.1");
}

#[test]
fn cookies_that_http_2_has_split_are_joined() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let request = Request::get("https://matrix.example.com/_synapse/client/oidc/callback")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .body(())
        .unwrap();
    assert_eq!(gateway.h2().ask(request).unwrap().status, 200);
    assert_eq!(upstream.only_request().head.all("cookie"), ["a=1; b=2; c=3"]);
}

#[test]
fn what_a_client_has_to_say_reaches_the_upstream_unchanged() {
    let lines = "Authorization: X-Matrix origin=a,key=\"ed25519:1\",sig=\"x+/=\"\r\nUser-Agent: test\r\n\
                 Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: empty\r\nOrigin: https://app.example\r\n\
                 Accept-Language: de, en\r\nX-Custom: one\r\nX-Custom: two\r\nIf-None-Match: \"a\"\r\n";
    let head = seen("", "matrix.example.com", lines).head;
    for line in lines.split_terminator("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(head.all(name).contains(&value), "{line} in {head:?}");
    }
}

#[test]
fn what_only_a_hop_may_say_does_not_reach_the_upstream() {
    let lines = "Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
                 TE: trailers\r\nConnection: keep-alive, X-Nominated\r\nX-Nominated: 1\r\n";
    let head = seen("", "matrix.example.com", lines).head;
    for name in ["proxy-authorization", "proxy-connection", "keep-alive", "x-nominated", "upgrade"] {
        assert_eq!(head.one(name), None, "{name}");
    }
}

#[test]
fn a_client_cannot_have_the_headers_taken_off_that_the_gateway_adds() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    for name in ["X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id", "Host", "Authorization"] {
        let mut client = gateway.client();
        let response = client.ask(format!(
            "GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nConnection: close, {name}\r\n\r\n"
        ));
        // Either the request is refused or the headers are there: what matters is what Synapse takes for true.
        assert!(matches!(response.status(), 200 | 400), "{response:?}");
    }
    for request in upstream.requests() {
        for name in ["x-forwarded-for", "x-forwarded-proto", ID, "host"] {
            assert!(request.head.one(name).is_some(), "{name} in {request:?}");
        }
    }
}

#[test]
fn every_request_has_an_id_that_client_and_upstream_are_told() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    let request = "GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nX-Request-Id: mine\r\n\
                   X-Request-Id: mine too\r\n\r\n";
    let answers = [client.ask(request), client.ask(request)];
    let told: Vec<&str> = answers.iter().map(|answer| answer.one(ID).unwrap()).collect();
    let requests = upstream.requests();
    let seen: Vec<&str> = requests.iter().map(|request| request.head.one(ID).unwrap()).collect();
    assert_eq!(seen, told);
    assert_ne!(told[0], told[1]);
    assert!(!told.contains(&"mine"));
    assert_eq!(gateway.logged(told[0])["status"], 200);
}

#[test]
fn the_request_id_goes_by_the_name_that_is_configured() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "forwarding: {request_id_header: X-Correlation}");
    let request = "GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nX-Correlation: mine\r\n\
                   X-Request-Id: mine\r\n\r\n";
    let response = gateway.client().ask(request);
    let head = upstream.only_request().head;
    assert_eq!(head.one("x-correlation"), response.one("x-correlation"));
    assert!(response.one("x-correlation").is_some_and(|id| id != "mine"));
    assert_eq!((head.one(ID), response.one(ID)), (None, None));
}

#[test]
fn an_answer_keeps_its_fields_and_loses_those_of_the_hop() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nServer: Synapse/1.140.0\r\n\
         Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
         Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Origin: *\r\n\r\n{}",
    );
    let gateway = Gateway::before(&upstream, "");
    let response = gateway.client().get("/_matrix/client/versions");
    assert_eq!(response.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.one("server"), Some("Synapse/1.140.0"));
    assert_eq!(response.one("access-control-allow-origin"), Some("*"));
    assert_eq!((response.one("keep-alive"), response.one("proxy-authenticate")), (None, None));
}
