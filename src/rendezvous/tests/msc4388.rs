//! MSC4388, in both of its texts.

use serde_json::{Value, json};

use super::*;

pub(super) const UNSTABLE: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
pub(super) const STABLE: &str = "/_matrix/client/v1/rendezvous";

#[track_caller]
fn refused(method: &str, path: &str, headers: &[(&str, &str)], status: u16, errcode: &str) -> Reply {
    let reply = reply(method, path, headers);
    assert_eq!((reply.status.as_u16(), super::errcode(&reply)), (status, errcode), "{method} {path} {headers:?}");
    reply
}

fn request(method: &str, path: &str) -> Request {
    let claimed = claim(&build(|_| ()), method, path, &[]);
    let Some(Claim::Exchange(request)) = claimed else { panic!("{method} {path}: {claimed:?}") };
    request
}

fn transaction(name: &str) -> TransactionId {
    TransactionId::parse(id(), name).unwrap()
}

#[test]
fn the_stable_and_the_unstable_path_serve_the_same() {
    for endpoint in [UNSTABLE, STABLE] {
        let session = format!("{endpoint}/{ID}");
        assert_eq!(operation("GET", endpoint, &[]), Operation::Discover);
        assert_eq!(operation("POST", endpoint, &[("content-type", "text/html")]), Operation::CreateFromJson);
        let read = Operation::Read { id: id(), known: Revisions::OneOf(Vec::new()) };
        assert_eq!(operation("GET", &session, &[("if-none-match", "*")]), read, "never 304");
        assert_eq!(operation("PUT", &session, &[]), Operation::WriteFromJson { id: id(), transaction: None });
        assert_eq!(
            operation("PUT", &format!("{session}/m1.~_-"), &[]),
            Operation::WriteFromJson { id: id(), transaction: Some(transaction("m1.~_-")) }
        );
        assert_eq!(operation("DELETE", &session, &[]), Operation::Remove { id: id() });
        assert_eq!(claim(&build(|_| ()), "OPTIONS", &session, &[]), Some(Claim::Preflight));
    }
}

#[test]
fn whatever_is_no_session_is_not_found() {
    for endpoint in [UNSTABLE, STABLE] {
        for id in ["x", "%E2%82%AC", "01ARZ3NDEKTSV4RRFFQ69G5FAV", &ID.to_uppercase()] {
            for method in ["GET", "PUT", "DELETE"] {
                refused(method, &format!("{endpoint}/{id}"), &[], 404, "M_NOT_FOUND");
            }
            refused("PUT", &format!("{endpoint}/{id}/m1"), &[], 404, "M_NOT_FOUND");
        }
        for rest in ["/", &format!("/{ID}/"), &format!("/{ID}/m/"), &format!("/{ID}/m/x"), "//"] {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                refused(method, &format!("{endpoint}{rest}"), &[], 404, "M_UNRECOGNIZED");
            }
        }
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let check = |method: &str, path: &str, allowed: &str| {
        let reply = refused(method, path, &[], 405, "M_UNRECOGNIZED");
        assert_eq!(field(&reply, ALLOW), Some(allowed));
    };
    check("PUT", STABLE, "GET, HEAD, POST, OPTIONS");
    check("POST", &format!("{STABLE}/{ID}"), "GET, HEAD, PUT, DELETE, OPTIONS");
    for method in ["GET", "POST", "DELETE"] {
        check(method, &format!("{STABLE}/{ID}/m1"), "PUT, OPTIONS");
    }
}

#[test]
fn a_page_is_refused_before_anybody_knows_whether_the_session_exists() {
    for (name, value) in [
        ("sec-fetch-dest", "document"),
        ("sec-fetch-dest", ""),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-user", "?1"),
        ("sec-fetch-site", "none"),
    ] {
        for id in [ID, "x"] {
            refused("GET", &format!("{STABLE}/{id}"), &[(name, value)], 403, "M_FORBIDDEN");
        }
        operation("PUT", &format!("{STABLE}/{ID}"), &[(name, value)]);
        operation("DELETE", &format!("{STABLE}/{ID}"), &[(name, value)]);
        operation("GET", STABLE, &[(name, value)]);
    }
    let script = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "cross-site")];
    operation("GET", &format!("{STABLE}/{ID}"), &script);
}

#[test]
fn a_transaction_id_is_an_opaque_identifier() {
    for name in ["", "a:b", "a%20b", "é", "a/b", &"x".repeat(256)] {
        assert_eq!(TransactionId::parse(id(), name), None, "{name}");
    }
    refused("PUT", &format!("{STABLE}/{ID}/a:b"), &[], 400, "M_INVALID_PARAM");
    let longest = "x".repeat(255);
    assert_eq!(transaction(&longest), transaction(&longest));
    assert_ne!(transaction("a"), transaction("A"));
    let elsewhere = TransactionId::parse(SessionId::new(uuid::Uuid::nil()), "a").unwrap();
    assert_ne!(transaction("a"), elsewhere, "names are those of one session");
}

#[test]
fn a_creation_has_data() {
    let read = |body: &[u8]| request("POST", STABLE).command(body);
    let created =
        |data: &str| Ok(Command::Create(Content::new(data.as_bytes(), HeaderValue::from_static("text/plain"))));
    assert_eq!(read(br#"{"data":""}"#), created(""));
    assert_eq!(read(br#" {"data":"a\u00e9\ud83d\ude00","more":[{}]} "#), created("aé😀"));
    for body in [
        &b""[..],
        b"{}",
        b"null",
        b"[]",
        b"\"data\"",
        br#"{"data":1}"#,
        br#"{"data":null}"#,
        br#"{"data":"a"}x"#,
        br#"{"data":"a","data":"b"}"#,
        br#"{"data":"\ud800"}"#,
        b"{\"data\":\"\xff\"}",
        b"\xef\xbb\xbf{\"data\":\"\"}",
    ] {
        assert_eq!(read(body), Err(Refusal::Json), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_write_has_a_token_and_data() {
    let read = |body: Value| request("PUT", &format!("{STABLE}/{ID}")).command(body.to_string().as_bytes());
    let written = |expected: Vec<Revision>| {
        let content = Content::new(b"x", HeaderValue::from_static("text/plain"));
        Ok(Command::Write { id: id(), expected: Revisions::OneOf(expected), content, retry: Retry::SameContent })
    };
    let token = revision(0xab);
    assert_eq!(read(json!({"sequence_token": token.to_string(), "data": "x"})), written(vec![token]));
    for foreign in ["", "1", "*", "\"x\""] {
        assert_eq!(read(json!({"sequence_token": foreign, "data": "x"})), written(Vec::new()), "{foreign}");
    }
    for body in [json!({"data": "x"}), json!({"sequence_token": "1"}), json!({"sequence_token": 1, "data": "x"})] {
        assert_eq!(read(body), Err(Refusal::Json));
    }
    let named = request("PUT", &format!("{STABLE}/{ID}/m1"));
    let command = named.command(json!({"sequence_token": "", "data": ""}).to_string().as_bytes());
    let Ok(Command::Write { retry, .. }) = command else { panic!("{command:?}") };
    assert_eq!(retry, Retry::SameTransaction(transaction("m1")));
}

#[test]
fn data_is_counted_as_text_and_the_body_as_bytes() {
    let read = |data: &str| request("POST", STABLE).command(format!("{{\"data\":\"{data}\"}}").as_bytes());
    assert!(read(&"é".repeat(2048)).is_ok());
    assert_eq!(read(&format!("{}a", "é".repeat(2048))), Err(Refusal::TooLarge(4096)));
    assert!(read(&"\\u0061".repeat(4096)).is_ok(), "however it is written");
    assert_eq!(read(&"\\u0061".repeat(4097)), Err(Refusal::TooLarge(4096)));
    assert_eq!(request("POST", STABLE).body_limit(), Some(65536));
    let padded = format!("{}{{\"data\":\"\"}}", " ".repeat(65536));
    assert_eq!(request("POST", STABLE).command(padded.as_bytes()), Err(Refusal::TooLarge(65536)));
}

#[test]
fn an_account_is_needed_to_open_sessions_and_for_nothing_else() {
    let rendezvous = build(|section| section.msc4388.create = Access::Authenticated);
    let needs = |method: &str, path: &str| {
        let claimed = claim(&rendezvous, method, path, &[]);
        let Some(Claim::Exchange(request)) = claimed else { panic!("{claimed:?}") };
        request.needs_account()
    };
    assert!(needs("POST", UNSTABLE) && needs("GET", STABLE));
    for method in ["GET", "PUT", "DELETE"] {
        assert!(!needs(method, &format!("{UNSTABLE}/{ID}")), "{method}");
    }
    assert!(!needs("POST", CLIENT));
    assert!(!request("POST", STABLE).needs_account(), "open by default");
}

fn answer(unstable: bool, outcome: Result<Done, Refusal>) -> Reply {
    let limits = Limits { ttl: Duration::from_mins(2), max_bytes: 4096, room: room(2) };
    let dialect = Dialect::Msc4388 { unstable, access: Access::Open };
    Request { dialect, limits, operation: Operation::Discover }.answer(outcome, at(1010))
}

#[test]
fn each_outcome_has_its_status_and_its_body() {
    let content = Content::new("aé".as_bytes(), HeaderValue::from_static("text/plain"));
    let session = Session::open(Protocol::Msc4388, content, revision(0xab), at(1000), Duration::from_mins(2));
    let (stamp, token) = (session.stamp(), revision(0xab).to_string());
    let check = |outcome: Result<Done, Refusal>, expected: Value| {
        let reply = answer(true, outcome);
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(field(&reply, CONTENT_TYPE), Some("application/json"));
        assert_eq!(field(&reply, CACHE_CONTROL), Some("no-store, no-transform"));
        assert_eq!((field(&reply, ETAG), reply.cors), (None, CorsKind::Matrix));
        let Body::Full(body) = &reply.body else { panic!("{reply:?}") };
        assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), expected);
    };
    check(Ok(Done::Discovered { create_available: true }), json!({"create_available": true}));
    check(Ok(Done::Created(id(), stamp)), json!({"id": ID, "sequence_token": token, "expires_in_ms": 110_000}));
    check(Ok(Done::Found(session)), json!({"data": "aé", "sequence_token": token, "expires_in_ms": 110_000}));
    check(Ok(Done::Written(stamp)), json!({"sequence_token": token}));
    check(Ok(Done::Removed), json!({}));
}

#[test]
fn each_refusal_has_its_status_and_its_code() {
    let stamp = session(b"").stamp();
    let check = |unstable: bool, refusal: Refusal, status: u16, code: &str| {
        let reply = answer(unstable, Err(refusal));
        assert_eq!((reply.status.as_u16(), errcode(&reply)), (status, code));
        assert_eq!(field(&reply, CACHE_CONTROL), Some("no-store, no-transform"));
        reply
    };
    check(true, Refusal::Stale(stamp), 409, "IO_ELEMENT_MSC4388_CONCURRENT_WRITE");
    check(false, Refusal::Stale(stamp), 409, "M_CONCURRENT_WRITE");
    for unstable in [true, false] {
        check(unstable, Refusal::Json, 400, "M_INVALID_PARAM");
        check(unstable, Refusal::Absent, 404, "M_NOT_FOUND");
        check(unstable, Refusal::TooLarge(4096), 413, "M_TOO_LARGE");
        check(unstable, Refusal::NoToken, 401, "M_MISSING_TOKEN");
        let unknown = check(unstable, Refusal::UnknownToken, 401, "M_UNKNOWN_TOKEN");
        let Body::Error(error) = unknown.body else { panic!() };
        let told: Value = serde_json::from_str(&error.body("id")).unwrap();
        assert_eq!(told["soft_logout"], false);
        let full = check(unstable, Refusal::Full { retry_after: Duration::from_secs(1) }, 429, "M_LIMIT_EXCEEDED");
        assert_eq!(field(&full, RETRY_AFTER), Some("1"));
    }
}
