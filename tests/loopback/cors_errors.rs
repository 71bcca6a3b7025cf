//! Every answer that the gateway makes itself, and the CORS fields of every answer.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http::Request;
use socket2::{Domain, Socket, Type};

use crate::support::client::{get, lines, post};
use crate::support::gateway::{Gateway, preamble};
use crate::support::h2::{self};
use crate::support::port::Port;
use crate::support::told::{CORS_FIELDS, Told};
use crate::support::upstream::{Then, Upstream, answer, fine};

const RENDEZVOUS: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";
const VERSIONS: &str = "/_matrix/client/versions";
const UPLOAD: &str = "/_matrix/media/v3/upload";

/// Waits short enough for a test, and everything on that answers with an error of its own.
const STRICT: &str = "
timeouts: {body_idle: 300ms, first_byte: 300ms, connect: 300ms, linger: 300ms}
limits: {body: 2KiB, body_min_rate: 0}
rendezvous: {enabled: true, max_entries: 1, ttl: 1h}
admin_api: {enabled: true, networks: [192.0.2.0/24]}
";

type Fields<'a> = &'a [(&'a str, &'a str)];

/// An error as it must look.
struct Error(u16, &'static str, &'static str);

impl Error {
    /// Sends bytes over HTTP/1.1 and looks at the answer, in the clear and over TLS.
    fn over_h1(&self, gateway: &Gateway, request: impl AsRef<[u8]>) {
        let plain = self.told(gateway.client().ask(&request).into());
        assert_eq!(plain.one("strict-transport-security"), None);
        self.over_tls(gateway.tls_client().ask(&request).into());
    }

    /// Sends a request over HTTP/2 and looks at the answer. Without `end` the body never comes.
    fn over_h2(&self, gateway: &Gateway, request: Request<()>, end: bool) {
        let mut client = gateway.h2();
        let (response, _body) = client.send(request, end);
        self.over_tls(client.answer(response).unwrap().into());
    }

    fn over_tls(&self, told: Told) {
        let told = self.told(told);
        assert_eq!(told.one("strict-transport-security"), Some("max-age=31536000"), "{told:?}");
    }

    fn told(&self, told: Told) -> Told {
        let Self(status, errcode, cause) = *self;
        told.is_error(status, errcode, cause);
        let may_try_again = matches!(status, 429 | 503);
        assert_eq!(told.one("retry-after").is_some(), may_try_again, "{told:?}");
        assert_eq!(told.json()["retry_after_ms"].is_u64(), may_try_again, "{told:?}");
        told
    }
}

fn strict(upstream: &Upstream) -> Gateway {
    Gateway::before(upstream, STRICT)
}

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> (String, Request<()>) {
    let text = format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\n{}\r\n", lines(fields));
    let mut http2 = Request::builder().method(method).uri(format!("https://matrix.example.com{target}"));
    for (name, value) in fields {
        http2 = http2.header(*name, *value);
    }
    (text, http2.body(()).unwrap())
}

#[test]
fn a_refused_head_is_told_why() {
    let upstream = Upstream::answering(fine());
    let gateway = strict(&upstream);
    let long = format!("/_matrix/{}", "a".repeat(9000));
    let wide = "x".repeat(16_000);
    let session = format!("{RENDEZVOUS}/00000000000000000000000000000000");
    let table: [(Error, &str, &str, Fields); 10] = [
        (Error(404, "M_UNRECOGNIZED", "unknown_path"), "GET", "/nothing", &[]),
        (Error(405, "M_UNRECOGNIZED", "method_not_allowed"), "TRACE", VERSIONS, &[]),
        (Error(405, "M_UNRECOGNIZED", "method_not_allowed"), "PATCH", RENDEZVOUS, &[]),
        (Error(405, "M_UNRECOGNIZED", "method_not_allowed"), "DELETE", "/.well-known/matrix/client", &[]),
        (Error(403, "M_FORBIDDEN", "network_denied"), "GET", "/_synapse/admin/v1/rooms", &[]),
        (Error(403, "M_FORBIDDEN", "navigation_denied"), "GET", &session, &[("sec-fetch-mode", "navigate")]),
        (Error(404, "M_NOT_FOUND", "session_not_found"), "GET", &session, &[]),
        (Error(414, "M_UNKNOWN", "uri_too_long"), "GET", &long, &[]),
        (Error(431, "M_UNKNOWN", "headers_too_large"), "GET", VERSIONS, &[("x-wide", &wide)]),
        (Error(413, "M_TOO_LARGE", "body_too_large"), "POST", UPLOAD, &[("content-length", "2049")]),
    ];
    for (error, method, target, fields) in table {
        let (text, http2) = request(method, target, fields);
        error.over_h1(&gateway, text);
        let has_body = fields.iter().any(|(name, _)| *name == "content-length");
        error.over_h2(&gateway, http2, !has_body);
    }
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn what_only_http1_can_say_wrong_is_told_too() {
    let upstream = Upstream::answering(fine());
    let gateway = strict(&upstream);
    let twice = format!("POST {UPLOAD} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx");
    for (error, text) in [
        (Error(400, "M_UNKNOWN", "invalid_target"), "GET http://a/_matrix/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Error(400, "M_UNKNOWN", "invalid_target"), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (Error(400, "M_UNKNOWN", "invalid_host"), "GET /_matrix/x HTTP/1.1\r\n\r\n"),
        (Error(400, "M_UNKNOWN", "invalid_framing"), &twice),
    ] {
        error.over_h1(&gateway, text);
    }
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn a_host_that_is_none_is_told_over_http2_too() {
    let upstream = Upstream::answering(fine());
    let gateway = strict(&upstream);
    let request = Request::get("https://matrix!example.com/_matrix/x").body(()).unwrap();
    Error(400, "M_UNKNOWN", "invalid_host").over_h2(&gateway, request, true);
    assert!(upstream.is_unasked());
}

#[test]
fn a_full_rendezvous_store_and_a_lost_race_are_told() {
    let upstream = Upstream::answering(fine());
    let gateway = strict(&upstream);
    let created = gateway.client().ask(post(RENDEZVOUS, 0));
    assert_eq!(created.status(), 201);
    let full = Error(429, "M_LIMIT_EXCEEDED", "overloaded");
    full.over_h1(&gateway, post(RENDEZVOUS, 0));
    full.over_h2(&gateway, h2::post(RENDEZVOUS), true);
    let session = format!("{RENDEZVOUS}/{}", created.one("location").unwrap());
    let (text, http2) = request("PUT", &session, &[("if-match", "\"another\""), ("content-length", "0")]);
    let lost = Error(412, "M_CONCURRENT_WRITE", "session_conflict");
    lost.over_h1(&gateway, text);
    lost.over_h2(&gateway, http2, true);
}

#[test]
fn a_body_that_stops_coming_is_told_to_be_late() {
    let upstream = Upstream::answering(fine());
    let gateway = strict(&upstream);
    let late = Error(408, "M_UNKNOWN", "body_timeout");
    late.over_h1(&gateway, post(UPLOAD, 10) + "half");
    late.over_h1(&gateway, post(RENDEZVOUS, 10) + "half");
    late.over_h2(&gateway, h2::post(RENDEZVOUS), false);
}

#[test]
fn a_rendezvous_body_that_trickles_is_told_to_be_too_slow() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "rendezvous: {enabled: true}\nlimits: {body_min_rate: 1KiB}\n");
    let mut client = gateway.client();
    client.send(post(RENDEZVOUS, 4000));
    // The pace of a slow client.
    let told = loop {
        client.send("x");
        std::thread::sleep(Duration::from_millis(500));
        if let Some(told) = client.response_within(Duration::from_millis(1)) {
            break told;
        }
    };
    Error(408, "M_UNKNOWN", "body_too_slow").told(told.into());
}

/// Looks at the error for a request that the upstream fails, over both protocols.
fn fails(gateway: &Gateway, error: &Error) {
    error.over_h1(gateway, get(VERSIONS));
    error.over_h2(gateway, h2::get(VERSIONS), true);
}

#[test]
fn an_upstream_that_fails_is_told_of() {
    let closes = Upstream::new(|_, _| Then::Close);
    fails(&strict(&closes), &Error(502, "M_UNKNOWN", "upstream_closed"));
    let babbles = Upstream::answering("220 mail.example.com ESMTP\r\n\r\n");
    fails(&strict(&babbles), &Error(502, "M_UNKNOWN", "upstream_invalid"));
    let is_silent = Upstream::new(|_, _| Then::Hold);
    fails(&strict(&is_silent), &Error(504, "M_UNKNOWN", "upstream_timeout"));
}

#[test]
fn an_upstream_that_is_not_there_is_told_of() {
    let port = Port::reserve();
    fails(&Gateway::at(&port.address().to_string(), STRICT), &Error(503, "M_UNKNOWN", "upstream_refused"));
    fails(&Gateway::at("homeserver.invalid:8008", STRICT), &Error(503, "M_UNKNOWN", "upstream_unresolved"));
}

/// A port whose queue of connections is full, so that the kernel leaves further ones unanswered.
fn full_port() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let queue = std::iter::from_fn(connect).take(10).collect();
    (socket, queue, address)
}

#[test]
fn an_upstream_that_does_not_accept_is_told_of() {
    let (_socket, _queue, address) = full_port();
    fails(&Gateway::at(&address.to_string(), STRICT), &Error(503, "M_UNKNOWN", "upstream_connect_timeout"));
}

#[test]
fn a_tls_listener_for_servers_alone_says_nothing_about_hsts() {
    let upstream = Upstream::answering(fine());
    let listener = "listeners: [{address: '127.0.0.2:0', tls: true, serve: [federation]}]\n";
    let gateway = Gateway::start(&format!("{}{listener}", preamble(&upstream.address())));
    let mut client = gateway.tls_client();
    for target in [VERSIONS, "/_matrix/key/v2/server"] {
        assert_eq!(client.get(target).one("strict-transport-security"), None);
    }
}

const PATHS: [&str; 7] = [
    VERSIONS,
    "/_matrix/client/v3/rooms/!a:example.com/send/m.room.message/1",
    "/_matrix/unheard/of",
    "/_synapse/client/unheard/of",
    "/.well-known/matrix/client",
    "/.well-known/matrix/unheard_of",
    RENDEZVOUS,
];

#[test]
fn preflights_are_answered_here_on_known_and_unknown_paths() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "rendezvous: {enabled: true}\ncors: {max_age: 2h}\n");
    let asks = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    for path in PATHS {
        let (text, http2) = request("OPTIONS", path, &asks);
        let over_h2 = gateway.h2().ask(http2).unwrap();
        for told in [Told::from(gateway.client().ask(text)), Told::from(over_h2)] {
            assert_eq!((told.status, told.body.len()), (204, 0), "{path}: {told:?}");
            told.is_readable_for_pages();
            assert_eq!(told.one("access-control-max-age"), Some("7200"), "{path}");
            let methods = told.one("access-control-allow-methods").unwrap();
            assert!(methods.split(", ").any(|method| method == "PUT"), "{methods}");
            let fields = told.one("access-control-allow-headers").unwrap().to_ascii_lowercase();
            for field in ["authorization", "content-type", "if-match", "if-none-match"] {
                assert!(fields.split(", ").any(|known| known == field), "{field}: {fields}");
            }
        }
    }
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn pages_may_read_what_the_protocols_need() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "rendezvous: {enabled: true}\ncors: {extra_expose_headers: [X-Mine]}\n");
    let check = |target: &str, wanted: &[&str]| {
        let told = Told::from(gateway.client().get(target));
        told.is_readable_for_pages();
        let exposed: Vec<&str> = told.one("access-control-expose-headers").unwrap().split(", ").collect();
        for name in wanted {
            assert_eq!(exposed.iter().filter(|known| known.eq_ignore_ascii_case(name)).count(), 1, "{exposed:?}");
        }
    };
    check(VERSIONS, &["X-Mine", "X-Request-Id", "Synapse-Trace-Id", "Server"]);
    check(RENDEZVOUS, &["X-Mine", "X-Request-Id", "ETag", "Location", "X-Max-Bytes"]);
}

/// Lets the upstream answer with these fields and returns what the client gets, over both protocols.
fn with_fields(fields: &str, more: &str) -> [Told; 2] {
    let upstream = Upstream::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n"));
    let gateway = Gateway::before(&upstream, more);
    [gateway.client().get(VERSIONS).into(), gateway.h2().get(VERSIONS).into()]
}

#[test]
fn an_answer_without_cors_gets_all_of_it() {
    for told in with_fields("", "") {
        told.is_readable_for_pages();
    }
}

#[test]
fn an_answer_with_cors_twice_keeps_the_first_of_each() {
    let fields: String =
        CORS_FIELDS.iter().flat_map(|name| [name, ": *\r\n", name, ": https://twice.example\r\n"]).collect();
    for told in with_fields(&fields, "") {
        told.is_readable_for_pages();
        assert_eq!(told.one("access-control-allow-methods"), Some("*"));
        let exposed = told.one("access-control-expose-headers").unwrap();
        assert!(exposed.starts_with('*') && !exposed.contains("twice"), "{exposed}");
    }
}

#[test]
fn synapses_own_cors_stands() {
    let fields = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, BREW\r\n\
                  Access-Control-Allow-Headers: X-Theirs\r\nAccess-Control-Expose-Headers: X-Own\r\n";
    for told in with_fields(fields, "") {
        told.is_readable_for_pages();
        assert_eq!(told.one("access-control-allow-methods"), Some("GET, BREW"));
        assert_eq!(told.one("access-control-allow-headers"), Some("X-Theirs"));
        assert!(told.one("access-control-expose-headers").unwrap().starts_with("X-Own"));
    }
}

#[test]
fn cors_that_somebody_else_manages_is_left_alone() {
    let fields = "Access-Control-Allow-Origin: https://one.example\r\nAccess-Control-Allow-Origin: *\r\n";
    for told in with_fields(fields, "cors: {manage: false}\n") {
        assert_eq!(told.all("access-control-allow-origin"), ["https://one.example", "*"]);
        assert_eq!(told.one("access-control-allow-methods"), None);
    }
    let upstream = Upstream::answering(answer("200 OK", "{}"));
    let gateway = Gateway::before(&upstream, "cors: {manage: false}\n");
    let (text, http2) = request("OPTIONS", VERSIONS, &[]);
    assert_eq!(gateway.client().ask(text).status(), 200);
    assert_eq!(gateway.h2().ask(http2).unwrap().status, 200);
    assert_eq!(
        upstream.requests().iter().map(|request| request.method().to_owned()).collect::<Vec<_>>(),
        ["OPTIONS"; 2]
    );
    let refused = Told::from(gateway.client().get("/nothing"));
    assert_eq!((refused.status, refused.all("access-control-allow-origin").len()), (404, 0));
}
