//! Sign-in by QR code (MSC4388) through the whole gateway.

use serde_json::{Value, json};

use crate::support::asked::{over_h1, over_h2};
use crate::support::gateway::Gateway;
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer, fine};

const UNSTABLE: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
const STABLE: &str = "/_matrix/client/v1/rendezvous";
const ON: &str = "rendezvous: {enabled: true}\n";
const AUTHENTICATED: &str = "rendezvous: {enabled: true, msc4388: {create: authenticated}}\n";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Sends JSON over HTTP/1.1 and over HTTP/2 in turn.
struct Asking<'a> {
    gateway: &'a Gateway,
    http2: bool,
}

impl Asking<'_> {
    fn with(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Told {
        if self.http2 {
            over_h2(&mut self.gateway.h2(), method, target, fields, body)
        } else {
            over_h1(&mut self.gateway.tls_client(), method, target, fields, body)
        }
    }

    fn send(&self, method: &str, target: &str, body: &Value) -> Told {
        self.with(method, target, &[JSON], &body.to_string())
    }

    fn get(&self, target: &str) -> Told {
        self.with("GET", target, &[], "")
    }

    /// Opens a session and returns its path and its token.
    fn create(&self, endpoint: &str, data: &str) -> (String, String) {
        let told = self.send("POST", endpoint, &json!({ "data": data }));
        assert_eq!(told.status, 200, "{told:?}");
        let text = |name: &str| told.json()[name].as_str().unwrap().to_owned();
        (format!("{endpoint}/{}", text("id")), text("sequence_token"))
    }
}

fn over_both(gateway: &Gateway, test: impl Fn(Asking)) {
    for http2 in [false, true] {
        test(Asking { gateway, http2 });
    }
}

fn write(token: &str, data: &str) -> Value {
    json!({ "sequence_token": token, "data": data })
}

#[test]
fn two_devices_talk_at_the_stable_and_at_the_unstable_path() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_both(&gateway, |ask| {
        for (endpoint, conflict) in [(STABLE, "M_CONCURRENT_WRITE"), (UNSTABLE, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE")]
        {
            let discovered = ask.get(endpoint);
            assert_eq!((discovered.status, discovered.json()), (200, json!({"create_available": true})));
            discovered.is_readable_for_pages();
            let (session, first) = ask.create(endpoint, "ping");
            let read = ask.with("GET", &session, &[("if-none-match", "*")], "");
            assert_eq!((read.status, &read.json()["data"]), (200, &json!("ping")));
            assert_eq!(read.json()["sequence_token"], first);
            let left = read.json()["expires_in_ms"].as_u64().unwrap();
            assert!((60_000..=120_000).contains(&left), "{left}");
            assert_eq!(read.one("cache-control"), Some("no-store, no-transform"));

            let written = ask.send("PUT", &session, &write(&first, "pong"));
            let second = written.json()["sequence_token"].as_str().unwrap().to_owned();
            assert_ne!(second, first);
            let repeated = ask.send("PUT", &session, &write(&first, "pong"));
            assert_eq!((repeated.status, repeated.json()), (200, written.json()));
            let stale = ask.send("PUT", &session, &write(&first, "late"));
            stale.is_error(409, conflict, "session_conflict");
            assert_eq!(ask.get(&session).json()["sequence_token"], second);

            let ended = ask.with("DELETE", &session, &[], "");
            assert_eq!((ended.status, ended.json()), (200, json!({})));
            for method in ["GET", "DELETE"] {
                ask.with(method, &session, &[], "").is_error(404, "M_NOT_FOUND", "session_not_found");
            }
        }
    });
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn a_named_write_is_answered_once_and_for_all() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_both(&gateway, |ask| {
        let (session, first) = ask.create(UNSTABLE, "");
        let written = ask.send("PUT", &format!("{session}/m1"), &write(&first, "a"));
        let second = written.json()["sequence_token"].as_str().unwrap().to_owned();
        let refused = ask.send("PUT", &format!("{session}/m2"), &write(&first, "b"));
        refused.is_error(409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE", "session_conflict");
        assert_eq!(ask.send("PUT", &format!("{session}/m3"), &write(&second, "c")).status, 200);
        // By either path, by whatever body.
        let stable = session.replace(UNSTABLE, STABLE);
        for session in [&session, &stable] {
            let again = ask.send("PUT", &format!("{session}/m1"), &write("", "x"));
            assert_eq!((again.status, again.json()), (200, written.json()));
            assert_eq!(ask.send("PUT", &format!("{session}/m2"), &write(&second, "b")).status, 409);
        }
        assert_eq!(ask.get(&session).json()["data"], "c");
        let odd = ask.send("PUT", &format!("{session}/a:b"), &write(&second, ""));
        odd.is_error(400, "M_INVALID_PARAM", "session_invalid");
    });
}

#[test]
fn bodies_are_read_strictly_and_bounded() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, ON);
    over_both(&gateway, |ask| {
        let (session, _) = ask.create(STABLE, &"é".repeat(2048));
        for body in ["", "{}", "{\"data\":1}", "{\"data\":\"\"}x", "{\"data\":\"\\ud800\"}"] {
            ask.with("POST", STABLE, &[], body).is_error(400, "M_INVALID_PARAM", "session_invalid");
            ask.with("PUT", &session, &[], body).is_error(400, "M_INVALID_PARAM", "session_invalid");
        }
        let large = json!({ "data": "x".repeat(4097) });
        ask.send("POST", STABLE, &large).is_error(413, "M_TOO_LARGE", "body_too_large");
        let padded = format!("{{\"data\":\"\"{}}}", " ".repeat(70_000));
        ask.with("POST", STABLE, &[], &padded).is_error(413, "M_TOO_LARGE", "body_too_large");
        let lenient = "{\"data\":\"\",\"more\":{}}";
        assert_eq!(ask.with("POST", STABLE, &[("content-type", "text/html")], lenient).status, 200);
        let page = ask.with("GET", &session, &[("sec-fetch-site", "none")], "");
        page.is_error(403, "M_FORBIDDEN", "navigation_denied");
        let nowhere = ask.with("GET", &format!("{STABLE}/x"), &[("sec-fetch-mode", "navigate")], "");
        nowhere.is_error(403, "M_FORBIDDEN", "navigation_denied");
    });
}

/// A Synapse that knows one token, and that is asked nothing but whose it is.
fn synapse() -> Upstream {
    Upstream::new(|request, peer| {
        assert_eq!(request.target(), "/_matrix/client/v3/account/whoami");
        let told = match request.head.one("authorization") {
            Some("Bearer known") => answer("200 OK", "{\"user_id\":\"@a:example.com\"}"),
            Some("Bearer busy") => answer("500 Internal Server Error", "{}"),
            _ => answer("401 Unauthorized", "{\"errcode\":\"M_UNKNOWN_TOKEN\"}"),
        };
        peer.send(told).map_or(Then::Close, |()| Then::Next)
    })
}

#[test]
fn an_account_opens_sessions_and_synapse_is_asked_once() {
    let upstream = synapse();
    let gateway = Gateway::before(&upstream, AUTHENTICATED);
    over_both(&gateway, |ask| {
        let with = |method: &str, token: Option<&str>, body: &str| {
            let fields: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
            ask.with(method, UNSTABLE, &[&fields[..], &[("user-agent", "device")]].concat(), body)
        };
        let available = |token| {
            let told = with("GET", token, "");
            assert_eq!(told.status, 200, "{told:?}");
            told.json()["create_available"].as_bool().unwrap()
        };
        assert!(available(Some("Bearer known")));
        assert!(!available(None) && !available(Some("Bearer other")) && !available(Some("Basic known")));
        with("POST", None, "{\"data\":\"\"}").is_error(401, "M_MISSING_TOKEN", "unauthenticated");
        let unknown = with("POST", Some("Bearer other"), "{\"data\":\"\"}");
        unknown.is_error(401, "M_UNKNOWN_TOKEN", "unauthenticated");
        assert_eq!(unknown.json()["soft_logout"], false);
        let created = with("POST", Some("bearer known"), "{\"data\":\"x\"}");
        assert_eq!(created.status, 200);
        // Whoever has the id needs no account.
        let session = format!("{UNSTABLE}/{}", created.json()["id"].as_str().unwrap());
        assert_eq!(ask.get(&session).json()["data"], "x");
    });
    let asked = upstream.requests();
    assert_eq!(asked.len(), 2, "once for each token: {asked:?}");
    for request in &asked {
        assert_eq!(request.head.one("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(request.head.one("user-agent"), Some("device"), "Synapse notes who used the token");
    }
    assert!(!gateway.lines().iter().any(|line| line.contains("known")), "{:?}", gateway.lines());
}

#[test]
fn an_answer_that_synapse_owes_is_not_a_no() {
    let upstream = synapse();
    let gateway = Gateway::before(&upstream, AUTHENTICATED);
    over_both(&gateway, |ask| {
        for (method, body) in [("GET", ""), ("POST", "{\"data\":\"\"}")] {
            let told = ask.with(method, STABLE, &[("authorization", "Bearer busy")], body);
            told.is_error(503, "M_UNKNOWN", "upstream_refused");
            assert_eq!(told.one("retry-after"), Some("5"));
        }
    });
}
