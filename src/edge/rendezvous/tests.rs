//! Whole exchanges: head, claim, body, store, answer.

use std::time::{Duration, SystemTime};

use http::{Request as HttpRequest, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::edge::store::MemoryStore;
use crate::inbound::Inbound;
use crate::inbound::fixture::{BOUNDS, arrival};
use crate::problem::Problems;
use crate::quantity::Size;
use crate::rendezvous::{Claim, QuotaSection, Rendezvous, RendezvousSection};
use crate::reply::{Body, Reply};

const ENDPOINT: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";

struct Server {
    rendezvous: Rendezvous,
    store: Store,
    throttle: Throttle,
    now: Timestamp,
    account: Result<(), Refusal>,
}

impl Server {
    fn new() -> Self {
        Self::with(RendezvousSection::default())
    }

    fn with(section: RendezvousSection) -> Self {
        let section = RendezvousSection { enabled: true, max_bytes: Size(10), max_entries: 2, ..section };
        let rendezvous = section.build(Some("https://matrix.example.com"), &mut Problems::default()).unwrap();
        Self {
            throttle: Throttle::new(rendezvous.allowance()),
            rendezvous,
            store: Store::Memory(MemoryStore::default()),
            now: SystemTime::UNIX_EPOCH.into(),
            account: Ok(()),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = HttpRequest::builder().method(method).uri("/").header("host", "matrix.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let arrival = arrival();
        let inbound = Inbound::read(&parts, path.as_bytes(), &arrival, &BOUNDS).unwrap();
        match self.rendezvous.claims(&inbound).unwrap_or(Claim::Preflight) {
            Claim::Exchange(request) => {
                let body = body.as_bytes();
                let desk = Desk { store: &self.store, throttle: &self.throttle };
                let visitor = self.rendezvous.allowance().visitor([192, 0, 2, 1].into());
                let admitted = desk.admit(&request, visitor).and(self.account.clone());
                let outcome = desk.carry_out(&request, (visitor, admitted), body, self.now, Uuid::new_v4).await;
                request.answer(outcome, self.now)
            }
            Claim::Reply(reply) => *reply,
            Claim::Preflight | Claim::Upstream => panic!("{method} {path} is not served"),
        }
    }

    /// Opens a session and gives its path and tag.
    async fn open(&self, body: &str) -> (String, String) {
        let created = self.ask("POST", ENDPOINT, &[("content-type", "application/json")], body).await;
        assert_eq!(created.status, StatusCode::CREATED);
        (format!("{ENDPOINT}/{}", field(&created, "location")), field(&created, "etag"))
    }
}

fn field(reply: &Reply, name: &str) -> String {
    let value = reply.headers.iter().find(|(known, _)| known.as_str() == name).map(|(_, value)| value);
    value.unwrap_or_else(|| panic!("no {name} in {reply:?}")).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_devices_talk() {
    let server = Server::new();
    let (session, first) = server.open("ping").await;

    let read = server.ask("GET", &session, &[], "").await;
    assert_eq!((read.status, &read.body), (StatusCode::OK, &Body::Full("ping".into())));
    assert_eq!((field(&read, "content-type"), field(&read, "etag")), ("application/json".to_owned(), first.clone()));

    let polled = server.ask("GET", &session, &[("if-none-match", &first)], "").await;
    assert_eq!((polled.status, &polled.body), (StatusCode::NOT_MODIFIED, &Body::Empty));
    assert_eq!(field(&polled, "etag"), first);

    let replied = server.ask("PUT", &session, &[("if-match", &first), ("content-type", "text/plain")], "pong").await;
    assert_eq!(replied.status, StatusCode::ACCEPTED);
    let second = field(&replied, "etag");
    assert_ne!(second, first);

    let polled = server.ask("GET", &session, &[("if-none-match", &first)], "").await;
    assert_eq!((polled.status, &polled.body), (StatusCode::OK, &Body::Full("pong".into())));
    assert_eq!((field(&polled, "content-type"), field(&polled, "etag")), ("text/plain".to_owned(), second.clone()));

    let stale = server.ask("PUT", &session, &[("if-match", &first)], "late").await;
    assert_eq!((stale.status, field(&stale, "etag")), (StatusCode::PRECONDITION_FAILED, second));

    let removed = server.ask("DELETE", &session, &[("if-match", &first)], "").await;
    assert_eq!((removed.status, &removed.body), (StatusCode::NO_CONTENT, &Body::Empty), "whatever If-Match says");
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert_eq!(server.ask(method, &session, &[], "").await.status, StatusCode::NOT_FOUND, "{method}");
    }
}

#[tokio::test]
async fn equal_payloads_have_different_tags() {
    let server = Server::new();
    let (session, first) = server.open("A").await;
    let (_, other) = server.open("A").await;
    let again = field(&server.ask("PUT", &session, &[], "A").await, "etag");
    assert!(first != other && first != again && other != again);
}

#[tokio::test]
async fn a_body_is_counted_when_its_length_was_not_declared() {
    let server = Server::new();
    let (session, tag) = server.open("0123456789").await;
    for (method, path) in [("POST", ENDPOINT), ("PUT", &session)] {
        let refused = server.ask(method, path, &[], "0123456789a").await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{method}");
        assert_eq!(field(&refused, "x-max-bytes"), "10");
    }
    assert_eq!(field(&server.ask("HEAD", &session, &[], "").await, "etag"), tag, "unchanged");
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let mut server = Server::new();
    let (first, _) = server.open("").await;
    server.open("").await;
    server.now = server.now.after(Duration::from_secs(20));
    let refused = server.ask("POST", ENDPOINT, &[], "").await;
    assert_eq!((refused.status, field(&refused, "retry-after")), (StatusCode::TOO_MANY_REQUESTS, "40".to_owned()));
    assert_eq!(server.ask("GET", &first, &[], "").await.status, StatusCode::OK);
    server.now = server.now.after(Duration::from_secs(40));
    server.open("").await;
    assert_eq!(server.ask("GET", &first, &[], "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_lifetime_is_told_truly_and_not_extended() {
    let mut server = Server::new();
    let (session, tag) = server.open("").await;
    server.now = server.now.after(Duration::from_secs(30));
    let written = server.ask("PUT", &session, &[("if-match", &tag)], "").await;
    assert_eq!(field(&written, "expires"), "Thu, 01 Jan 1970 00:01:00 GMT");
    assert_eq!(field(&written, "last-modified"), "Thu, 01 Jan 1970 00:00:30 GMT");
    server.now = server.now.after(Duration::from_secs(30));
    assert_eq!(server.ask("GET", &session, &[], "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_url_leads_to_the_session() {
    const CREATE: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    let server = Server::new();
    let created = server.ask("POST", CREATE, &[TEXT], "").await;
    let Body::Full(body) = &created.body else { panic!("{created:?}") };
    let body: Value = serde_json::from_slice(body).unwrap();
    let path = body["url"].as_str().unwrap().strip_prefix("https://matrix.example.com").unwrap();
    let first = field(&created, "etag");
    let written = server.ask("PUT", path, &[TEXT, ("if-match", &first)], "0123456789").await;
    assert_eq!(written.status, StatusCode::ACCEPTED);
    let stale = server.ask("PUT", path, &[TEXT, ("if-match", &first)], "0123456789").await;
    assert_eq!((stale.status, field(&stale, "etag")), (StatusCode::PRECONDITION_FAILED, field(&written, "etag")));
    let read = server.ask("GET", path, &[("if-none-match", &first)], "").await;
    assert_eq!((read.status, &read.body), (StatusCode::OK, &Body::Full("0123456789".into())));
    assert_eq!(server.ask("DELETE", path, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.ask("DELETE", path, &[], "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_does_not_exist_for_another_protocol() {
    let server = Server::new();
    let (session, tag) = server.open("secret").await;
    let id = session.strip_prefix(ENDPOINT).unwrap();
    let elsewhere = format!("/_synapse/client/rendezvous{id}");
    let headers = [("content-type", "text/plain"), ("if-match", tag.as_str())];
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        assert_eq!(server.ask(method, &elsewhere, &headers, "").await.status, StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(server.ask("GET", &session, &[], "").await.status, StatusCode::OK);
}

const STABLE: &str = "/_matrix/client/v1/rendezvous";

impl Server {
    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let reply = self.ask(method, path, &[], &body.to_string()).await;
        let told = match &reply.body {
            Body::Full(body) => serde_json::from_slice(body).unwrap(),
            Body::Error(error) => serde_json::from_str(&error.body("")).unwrap(),
            Body::Empty => Value::Null,
        };
        (reply.status.as_u16(), told)
    }
}

#[tokio::test]
async fn two_devices_talk_by_tokens() {
    let server = Server::new();
    let (status, created) = server.json("POST", STABLE, json!({"data": "ping"})).await;
    assert_eq!((status, &created["expires_in_ms"]), (200, &json!(120_000)));
    let first = created["sequence_token"].clone();
    let session = format!("{STABLE}/{}", created["id"].as_str().unwrap());

    let (_, read) = server.json("GET", &session, Value::Null).await;
    assert_eq!(read, json!({"data": "ping", "sequence_token": first, "expires_in_ms": 120_000}));

    let pong = json!({"sequence_token": first, "data": "pong"});
    let (status, written) = server.json("PUT", &session, pong.clone()).await;
    assert_eq!(status, 200);
    assert_ne!(written["sequence_token"], first);
    assert_eq!(server.json("PUT", &session, pong).await, (200, written.clone()), "repeated");
    let (status, stale) = server.json("PUT", &session, json!({"sequence_token": first, "data": "late"})).await;
    assert_eq!((status, &stale["errcode"]), (409, &json!("M_CONCURRENT_WRITE")));

    let next = json!({"sequence_token": written["sequence_token"], "data": "next"});
    let (_, named) = server.json("PUT", &format!("{session}/m1"), next).await;
    let again = server.json("PUT", &format!("{session}/m1"), json!({"sequence_token": "", "data": ""})).await;
    assert_eq!(again, (200, named));

    assert_eq!(server.json("DELETE", &session, Value::Null).await, (200, json!({})));
    assert_eq!(server.json("DELETE", &session, Value::Null).await.0, 404);
}

#[tokio::test]
async fn who_has_no_account_learns_it_before_and_cannot_open_a_session() {
    let mut server = Server::new();
    let check = async |server: &Server, discovered: bool, created: u16| {
        let told = json!({ "create_available": discovered });
        assert_eq!(server.json("GET", STABLE, Value::Null).await, (200, told));
        assert_eq!(server.json("POST", STABLE, json!({"data": ""})).await.0, created);
    };
    check(&server, true, 200).await;
    for refusal in [Refusal::NoToken, Refusal::UnknownToken] {
        server.account = Err(refusal);
        check(&server, false, 401).await;
    }
    server.account = Err(Refusal::Unverified { retry_after: Duration::from_secs(1) });
    assert_eq!(server.json("GET", STABLE, Value::Null).await.0, 503, "unknown is not no");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let limits =
        QuotaSection { creations_per_minute: 2, reads_per_minute: 2, writes_per_minute: 2, ..QuotaSection::default() };
    let server = Server::with(RendezvousSection { limits, ..RendezvousSection::default() });
    let (session, _) = server.open("").await;
    let check = async |method: &str, path: &str, expected: [u16; 3]| {
        for (time, status) in expected.into_iter().enumerate() {
            let reply = server.ask(method, path, &[], "").await;
            assert_eq!(reply.status.as_u16(), status, "{method} for the {time}th time");
            if status == 429 {
                let wait: u64 = field(&reply, "retry-after").parse().unwrap();
                assert!((1..=30).contains(&wait), "{wait}");
                assert_eq!(field(&reply, "x-max-bytes"), "10", "in the words of the protocol");
            }
        }
    };
    check("POST", ENDPOINT, [201, 429, 429]).await;
    check("GET", &session, [200, 200, 429]).await;
    check("PUT", &session, [202, 202, 429]).await;
    check("DELETE", &session, [204, 404, 404]).await;
    let absent = format!("{ENDPOINT}/00000000000000000000000000000000");
    check("GET", &absent, [404, 404, 404]).await;
}

#[tokio::test]
async fn a_client_has_its_share_of_sessions_and_no_more() {
    let limits = QuotaSection { sessions: 1, ..QuotaSection::default() };
    let server = Server::with(RendezvousSection { limits, ..RendezvousSection::default() });
    let (session, _) = server.open("").await;
    let refused = server.ask("POST", ENDPOINT, &[], "").await;
    assert_eq!((refused.status, field(&refused, "retry-after")), (StatusCode::TOO_MANY_REQUESTS, "60".to_owned()));
    assert_eq!(server.ask("DELETE", &session, &[], "").await.status, StatusCode::NO_CONTENT);
    server.open("").await;
}
