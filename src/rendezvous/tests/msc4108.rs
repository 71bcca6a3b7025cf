//! MSC4108, with what matrix-js-sdk and matrix-rust-sdk expect of it.

use super::*;

pub(super) const ENDPOINT: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
pub(super) const SESSIONS: &str = "/_synapse/client/rendezvous";

const TEXT: (&str, &str) = ("content-type", "text/plain");

fn session() -> String {
    format!("{SESSIONS}/{ID}")
}

fn tag() -> String {
    format!("\"{}\"", revision(1))
}

#[track_caller]
fn refused(method: &str, path: &str, headers: &[(&str, &str)], status: u16, errcode: &str) -> Reply {
    let reply = reply(method, path, headers);
    assert_eq!((reply.status.as_u16(), super::errcode(&reply)), (status, errcode), "{method} {path} {headers:?}");
    reply
}

#[test]
fn sessions_are_created_at_one_path_and_live_at_another() {
    let media_type = HeaderValue::from_static("text/plain");
    for length in ["0", "4096"] {
        let created = operation("POST", ENDPOINT, &[TEXT, ("content-length", length)]);
        assert_eq!(created, Operation::Create { media_type: media_type.clone() });
    }
    assert_eq!(operation("POST", ENDPOINT, &[TEXT]), Operation::Create { media_type: media_type.clone() }, "no length");
    let tag = tag();
    let one = Revisions::OneOf(vec![revision(1)]);
    assert_eq!(
        operation("GET", &session(), &[("if-none-match", &tag)]),
        Operation::Read { id: id(), known: one.clone() }
    );
    assert_eq!(
        operation("PUT", &session(), &[TEXT, ("if-match", &tag)]),
        Operation::Write { id: id(), expected: one, media_type }
    );
    assert_eq!(operation("DELETE", &session(), &[]), Operation::Remove { id: id() });
}

#[test]
fn a_session_url_is_where_clients_reach_the_homeserver() {
    let url = |base: &str| {
        let section = RendezvousSection { enabled: true, ..RendezvousSection::default() };
        let rendezvous = section.build(Some(base), &mut Problems::default()).unwrap();
        let claimed = claim(&rendezvous, "POST", ENDPOINT, &[TEXT]);
        let Some(Claim::Exchange(request)) = claimed else { panic!("{claimed:?}") };
        let reply = request.answer(Ok(Done::Created(id(), super::session(b"").stamp())), at(1000));
        let Body::Full(body) = reply.body else { panic!("{reply:?}") };
        serde_json::from_slice::<serde_json::Value>(&body).unwrap()
    };
    // Not where the request says that it is.
    for base in ["https://chat.example.org", "https://chat.example.org/"] {
        let expected = format!("https://chat.example.org/_synapse/client/rendezvous/{ID}");
        assert_eq!(url(base), serde_json::json!({ "url": expected }), "{base}");
    }
}

#[test]
fn a_payload_is_plain_text_and_nothing_else() {
    let tag = tag();
    for (method, path) in [("POST", ENDPOINT.to_owned()), ("PUT", session())] {
        let with = |media_type: &str| {
            let headers = [("content-type", media_type), ("if-match", &tag)];
            claim(&build(|_| ()), method, &path, &headers)
        };
        assert!(matches!(with("TEXT/Plain"), Some(Claim::Exchange(_))), "{method}");
        for media_type in ["text/plain; charset=utf-8", "application/json", "text/html"] {
            let told = refused(method, &path, &[("content-type", media_type)], 400, "M_INVALID_PARAM");
            let Body::Error(error) = told.body else { panic!() };
            assert_eq!(error.message, "Content-Type must be text/plain");
        }
        refused(method, &path, &[("content-type", "text")], 400, "M_INVALID_PARAM");
        let told = refused(method, &path, &[("if-match", &tag)], 400, "M_MISSING_PARAM");
        let Body::Error(error) = told.body else { panic!() };
        assert_eq!(error.message, "Missing required header: content-type");
    }
}

#[test]
fn a_write_needs_a_condition() {
    let told = refused("PUT", &session(), &[TEXT], 400, "M_MISSING_PARAM");
    let Body::Error(error) = told.body else { panic!() };
    assert_eq!(error.message, "Missing required header: if-match");
    let expected = |value: &str| {
        let written = operation("PUT", &session(), &[TEXT, ("if-match", value)]);
        let Operation::Write { expected, .. } = written else { panic!("{written:?}") };
        expected
    };
    assert_eq!(expected("*"), Revisions::Any);
    for never in [format!("W/{}", tag()), tag().trim_matches('"').to_owned(), String::new(), "\"x\"".to_owned()] {
        assert_eq!(expected(&never), Revisions::OneOf(Vec::new()), "{never}");
    }
}

#[test]
fn the_checks_come_in_the_order_of_synapse() {
    let long = ("content-length", "4097");
    let put = session();
    refused("PUT", &put, &[long], 413, "M_TOO_LARGE");
    refused("POST", ENDPOINT, &[long], 413, "M_TOO_LARGE");
    refused("PUT", &format!("{SESSIONS}/x"), &[], 400, "M_MISSING_PARAM");
    refused("PUT", &format!("{SESSIONS}/x"), &[TEXT, ("if-match", "*")], 404, "M_NOT_FOUND");
    refused("PATCH", &put, &[long], 405, "M_UNRECOGNIZED");
}

#[test]
fn whatever_is_no_session_is_not_found() {
    for rest in ["x", "", "%E2%82%AC", "%FF%FE", "01ARZ3NDEKTSV4RRFFQ69G5FAV", &ID.to_uppercase()] {
        for method in ["GET", "HEAD", "DELETE"] {
            refused(method, &format!("{SESSIONS}/{rest}"), &[], 404, "M_NOT_FOUND");
        }
    }
    for rest in [format!("{ID}/"), format!("{ID}/x")] {
        refused("GET", &format!("{SESSIONS}/{rest}"), &[], 404, "M_NOT_FOUND");
    }
    for path in [SESSIONS.to_owned(), format!("{ENDPOINT}/"), format!("{ENDPOINT}/{ID}")] {
        for method in ["GET", "POST", "PUT", "DELETE"] {
            refused(method, &path, &[TEXT], 404, "M_UNRECOGNIZED");
        }
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH"] {
        let reply = refused(method, ENDPOINT, &[TEXT], 405, "M_UNRECOGNIZED");
        assert_eq!(field(&reply, ALLOW), Some("POST, OPTIONS"));
    }
    for method in ["POST", "PATCH"] {
        let reply = refused(method, &session(), &[TEXT], 405, "M_UNRECOGNIZED");
        assert_eq!(field(&reply, ALLOW), Some("GET, HEAD, PUT, DELETE, OPTIONS"));
    }
}

#[test]
fn a_session_is_not_a_page() {
    for method in ["GET", "HEAD"] {
        refused(method, &session(), &[("sec-fetch-mode", "navigate")], 403, "M_FORBIDDEN");
    }
    operation("DELETE", &session(), &[("sec-fetch-mode", "navigate")]);
}

#[test]
fn preflights_are_claimed_for_every_path_that_is_ours() {
    for path in [ENDPOINT.to_owned(), format!("{ENDPOINT}/x"), SESSIONS.to_owned(), session(), format!("{SESSIONS}/x")]
    {
        assert_eq!(claim(&build(|_| ()), "OPTIONS", &path, &[]), Some(Claim::Preflight), "{path}");
    }
}

fn answer(outcome: Result<Done, Refusal>) -> Reply {
    let limits = Limits { ttl: Duration::from_mins(1), max_bytes: 4096, room: room(2) };
    let dialect = Dialect::Msc4108 { sessions: "https://a/".into() };
    Request { dialect, limits, operation: Operation::Remove { id: id() } }.answer(outcome, at(1000))
}

/// matrix-rust-sdk reads the three fields off every answer below 400 to GET, 304 included, and gives up without one.
#[test]
fn each_outcome_has_its_status_and_its_fields() {
    const STAMP: [HeaderName; 3] = [ETAG, EXPIRES, LAST_MODIFIED];
    let stamp = super::session(b"").stamp();
    let check = |outcome: Result<Done, Refusal>, status: u16, stamped: bool, media_type: Option<&str>| {
        let reply = answer(outcome);
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(STAMP.iter().filter(|name| field(&reply, name).is_some()).count(), if stamped { 3 } else { 0 });
        assert_eq!(field(&reply, CONTENT_TYPE), media_type, "{status}");
        assert_eq!(field(&reply, CACHE_CONTROL), Some("no-store, no-transform"), "{status}");
        assert_eq!(field(&reply, "pragma"), Some("no-cache"));
        assert_eq!(field(&reply, "x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.cors, CorsKind::Rendezvous);
        reply
    };
    let content = Content::new(b"MATRIX_QR_CODE_LOGIN_INITIATE", HeaderValue::from_static("text/plain"));
    let session = Session::open(Protocol::Msc4108, content, revision(1), at(1000), Duration::from_mins(1));
    let json = Some("application/json");
    check(Ok(Done::Created(id(), stamp)), 201, true, json);
    let found = check(Ok(Done::Found(session)), 200, true, Some("text/plain"));
    assert_eq!(found.body, Body::Full("MATRIX_QR_CODE_LOGIN_INITIATE".into()));
    check(Ok(Done::Unchanged(stamp)), 304, true, None);
    check(Ok(Done::Written(stamp)), 202, true, Some("text/plain"));
    check(Ok(Done::Removed), 204, false, None);
    check(Err(Refusal::MissingHeader("if-match")), 400, false, json);
    check(Err(Refusal::Absent), 404, false, json);
    check(Err(Refusal::TooLarge(4096)), 413, false, json);
    let full = check(Err(Refusal::Full { retry_after: Duration::from_secs(1) }), 429, false, json);
    assert_eq!((errcode(&full), field(&full, RETRY_AFTER)), ("M_LIMIT_EXCEEDED", Some("1")));
    let stale = check(Err(Refusal::Stale(stamp)), 412, true, json);
    let Body::Error(error) = stale.body else { panic!() };
    let told: serde_json::Value = serde_json::from_str(&error.body("id")).unwrap();
    assert_eq!(told["errcode"], "M_UNKNOWN");
    assert_eq!(told["org.matrix.msc4108.errcode"], "M_CONCURRENT_WRITE");
}
