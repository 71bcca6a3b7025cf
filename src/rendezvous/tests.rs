mod keeping;
mod msc4108;
mod msc4388;

use std::time::{Duration, SystemTime};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Request as HttpRequest, StatusCode};
use proptest::prelude::*;

use super::capacity::Occupancy;
use super::session::{Content, Retry, Session, Timestamp, Write};
use super::*;
use crate::inbound::fixture::{BOUNDS, arrival};
use crate::problem::Problems;
use crate::quantity::Span;
use crate::reply::{Body, CorsKind};

const PREFIX: &str = "/_synapse/client/org.matrix.msc3886/rendezvous";
const CLIENT: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";
const ID: &str = "0123456789abcdef0123456789abcdef";

fn build(change: impl FnOnce(&mut RendezvousSection)) -> Rendezvous {
    let mut section = RendezvousSection { enabled: true, ..RendezvousSection::default() };
    change(&mut section);
    section.build(Some("https://matrix.example.com/"), &mut Problems::default()).unwrap()
}

fn claim(rendezvous: &Rendezvous, method: &str, path: &str, headers: &[(&str, &str)]) -> Option<Claim> {
    let mut request = HttpRequest::builder().method(method).uri("/").header("host", "matrix.example.com");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let arrival = arrival();
    rendezvous.claims(&Inbound::read(&parts, path.as_bytes(), &arrival, &BOUNDS).unwrap())
}

fn operation(method: &str, path: &str, headers: &[(&str, &str)]) -> Operation {
    let claimed = claim(&build(|_| ()), method, path, headers);
    let Some(Claim::Exchange(request)) = claimed else { panic!("{method} {path}: {claimed:?}") };
    request.operation
}

fn reply(method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let claimed = claim(&build(|_| ()), method, path, headers);
    let Some(Claim::Reply(reply)) = claimed else { panic!("{method} {path}: {claimed:?}") };
    *reply
}

fn field(reply: &Reply, name: impl AsRef<str>) -> Option<&str> {
    let mut values = reply.headers.iter().filter(|(known, _)| known.as_str() == name.as_ref());
    let value = values.next().map(|(_, value)| value.to_str().unwrap());
    assert!(values.next().is_none(), "{} stands twice", name.as_ref());
    value
}

fn errcode(reply: &Reply) -> &'static str {
    let Body::Error(error) = &reply.body else { panic!("{reply:?}") };
    error.errcode.as_str()
}

fn room(max_entries: usize) -> Room {
    Room { max_entries, max_per_visitor: u32::MAX }
}

fn id() -> SessionId {
    SessionId::parse(ID).unwrap()
}

fn revision(number: u128) -> Revision {
    Revision::new(uuid::Uuid::from_u128(number))
}

fn at(seconds: u64) -> Timestamp {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

fn session(payload: &[u8]) -> Session {
    let content = Content::new(payload, HeaderValue::from_static("application/json"));
    Session::open(Protocol::Msc3886, content, revision(1), at(1000), Duration::from_mins(1))
}

#[test]
fn sessions_are_created_at_the_prefix_and_at_the_path_that_clients_expect() {
    let created = Operation::Create { media_type: HeaderValue::from_static("application/octet-stream") };
    for endpoint in [PREFIX, CLIENT] {
        assert_eq!(operation("POST", endpoint, &[]), created);
        assert_eq!(operation("POST", &format!("{endpoint}/"), &[]), created);
        assert_eq!(operation("POST", &format!("{endpoint}?a=b"), &[]), created);
    }
}

#[test]
fn a_session_answers_however_a_client_joins_its_id_to_the_endpoint() {
    let read = Operation::Read { id: id(), known: Revisions::OneOf(Vec::new()) };
    for endpoint in [PREFIX, CLIENT] {
        assert_eq!(operation("GET", &format!("{endpoint}/{ID}"), &[]), read, "appended");
        assert_eq!(operation("GET", &format!("{endpoint}//{ID}"), &[]), read, "appended to a trailing slash");
        let directory = endpoint.strip_suffix("rendezvous").unwrap();
        assert_eq!(operation("GET", &format!("{directory}{ID}"), &[]), read, "resolved as in RFC 3986");
    }
}

#[test]
fn nothing_below_the_endpoints_reaches_synapse() {
    for endpoint in [PREFIX, CLIENT] {
        for rest in ["/x", "/01ARZ3NDEKTSV4RRFFQ69G5FAV", "///", "/..", &format!("/{ID}/"), &format!("/{ID}/x")] {
            for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
                let reply = reply(method, &format!("{endpoint}{rest}"), &[]);
                assert_eq!((reply.status, errcode(&reply)), (StatusCode::NOT_FOUND, "M_NOT_FOUND"), "{method} {rest}");
            }
        }
    }
}

#[test]
fn a_session_has_one_spelling() {
    let foreign = [ID.to_uppercase(), format!("{{{ID}}}"), ID.replacen('0', "%30", 1), format!("0{ID}")];
    for spelling in foreign.iter().map(String::as_str).chain(["01234567-89ab-cdef-0123-456789abcdef", ""]) {
        assert_eq!(SessionId::parse(spelling), None, "{spelling}");
    }
    assert_eq!(id().reveal(), ID);
}

#[test]
fn other_paths_are_not_ours() {
    let rendezvous = build(|_| ());
    for path in [
        "/",
        "/_matrix/client/v3/login",
        "/_synapse/client/rendezvousx",
        "/_synapse/client/org.matrix.msc3886/rendezvousx",
        "/_synapse/client/org.matrix.msc3886/other",
        "/_matrix/client/unstable/org.matrix.msc4108/other",
        "/_matrix/client/unstable/org.matrix.msc4108/rendezvousx",
    ] {
        assert_eq!(claim(&rendezvous, "GET", path, &[]), None, "{path}");
    }
    let disabled = build(|section| section.enabled = false);
    for path in [PREFIX, CLIENT, msc4108::ENDPOINT, msc4388::UNSTABLE, msc4388::STABLE] {
        assert_eq!(claim(&disabled, "POST", path, &[]), None);
    }
    assert_eq!(disabled.worst_case_memory(), Size(0));
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let check = |method: &str, path: &str, allowed: &str| {
        let reply = reply(method, path, &[]);
        assert_eq!((reply.status, errcode(&reply)), (StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED"));
        assert_eq!(field(&reply, ALLOW), Some(allowed));
    };
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "BREW"] {
        check(method, CLIENT, "POST, OPTIONS");
    }
    for method in ["POST", "PATCH", "BREW"] {
        check(method, &format!("{PREFIX}/{ID}"), "GET, HEAD, PUT, DELETE, OPTIONS");
    }
}

#[test]
fn preflights_are_claimed_for_every_path_that_is_ours() {
    for path in [PREFIX.to_owned(), format!("{PREFIX}/{ID}"), format!("{CLIENT}/x")] {
        assert_eq!(claim(&build(|_| ()), "OPTIONS", &path, &[]), Some(Claim::Preflight), "{path}");
    }
}

#[test]
fn a_declared_length_over_the_limit_is_refused_before_anything_else() {
    for (method, path) in
        [("POST", CLIENT.to_owned()), ("PUT", format!("{CLIENT}/{ID}")), ("PUT", format!("{CLIENT}/x"))]
    {
        let reply = reply(method, &path, &[("content-length", "4097")]);
        assert_eq!((reply.status, errcode(&reply)), (StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"), "{path}");
    }
    operation("POST", CLIENT, &[("content-length", "4096")]);
}

#[test]
fn a_session_is_not_a_page() {
    let session = format!("{CLIENT}/{ID}");
    for (name, value) in [
        ("sec-fetch-dest", "document"),
        ("sec-fetch-dest", "iframe"),
        ("sec-fetch-dest", ""),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-user", "?1"),
        ("sec-fetch-site", "none"),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = reply(method, &session, &[(name, value)]);
            assert_eq!((reply.status, errcode(&reply)), (StatusCode::FORBIDDEN, "M_FORBIDDEN"), "{name}: {value}");
        }
        operation("PUT", &session, &[(name, value)]);
        operation("DELETE", &session, &[(name, value)]);
        operation("POST", CLIENT, &[(name, value)]);
    }
    let script = [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "cross-site")];
    operation("GET", &session, &script);
    let smuggled = [("sec-fetch-dest", "empty"), ("sec-fetch-dest", "document")];
    assert_eq!(reply("GET", &session, &smuggled).status, StatusCode::FORBIDDEN);
}

#[test]
fn a_media_type_is_kept_without_additions() {
    let check = |sent: &str, kept: &str| {
        let created = operation("POST", CLIENT, &[("content-type", sent)]);
        assert_eq!(created, Operation::Create { media_type: HeaderValue::from_str(kept).unwrap() }, "{sent}");
    };
    check("application/json", "application/json");
    check("text/plain", "text/plain");
    check("Text/Plain; Charset=UTF-8", "text/plain; charset=utf-8");
    check("", "application/octet-stream");
    check("json", "application/octet-stream");
    check(&format!("text/{}", "x".repeat(100)), "application/octet-stream");
}

#[test]
fn a_write_without_a_condition_replaces_whatever_is_there() {
    let written = |headers: &[(&str, &str)]| {
        let operation = operation("PUT", &format!("{CLIENT}/{ID}"), headers);
        let Operation::Write { expected, .. } = operation else { panic!("{operation:?}") };
        expected
    };
    let tag = format!("\"{}\"", revision(0xab));
    let none = Revisions::OneOf(Vec::new());
    let one = Revisions::OneOf(vec![revision(0xab)]);
    let check = |value: &str, expected: &Revisions| assert_eq!(written(&[("if-match", value)]), *expected, "{value}");
    assert_eq!(written(&[]), Revisions::Any);
    check("*", &Revisions::Any);
    check(&tag, &one);
    check(&format!(" {tag} "), &one);
    check(&format!("\"x\", {tag}"), &one);
    check(&format!("\"a,b\" ,{tag},\"c\""), &one);
    check(&format!("W/{tag}"), &none);
    check(tag.trim_matches('"'), &none);
    check(&tag.to_uppercase(), &none);
    check("", &none);
    check("\"", &none);
    check("\"*\"", &none);
    assert_eq!(written(&[("if-match", "\"x\""), ("if-match", &tag)]), one, "repeated");
}

#[test]
fn a_reader_compares_weakly() {
    let known = |headers: &[(&str, &str)]| {
        let operation = operation("GET", &format!("{CLIENT}/{ID}"), headers);
        let Operation::Read { known, .. } = operation else { panic!("{operation:?}") };
        known
    };
    let tag = format!("\"{}\"", revision(1));
    let one = Revisions::OneOf(vec![revision(1)]);
    assert_eq!(known(&[]), Revisions::OneOf(Vec::new()));
    assert_eq!(known(&[("if-none-match", &tag)]), one);
    assert_eq!(known(&[("if-none-match", &format!("W/{tag}"))]), one);
    assert_eq!(known(&[("if-none-match", &format!("\"x\", W/{tag}"))]), one);
    assert_eq!(known(&[("if-none-match", "*")]), Revisions::Any);
    assert_eq!(known(&[("if-none-match", "garbage")]), Revisions::OneOf(Vec::new()));
}

#[test]
fn the_client_path_redirects_creation_alone_and_only_on_demand() {
    let rendezvous = build(|section| section.redirect_unstable = true);
    let Some(Claim::Reply(reply)) = claim(&rendezvous, "POST", CLIENT, &[("content-length", "100000")]) else {
        panic!("not redirected");
    };
    assert_eq!((reply.status, field(&reply, LOCATION)), (StatusCode::TEMPORARY_REDIRECT, Some(PREFIX)));
    assert_eq!((reply.cors, &reply.body), (CorsKind::Rendezvous, &Body::Empty));
    for (method, path) in
        [("POST", PREFIX.to_owned()), ("GET", format!("{CLIENT}/{ID}")), ("PUT", format!("{PREFIX}/{ID}"))]
    {
        assert!(matches!(claim(&rendezvous, method, &path, &[]), Some(Claim::Exchange(_))), "{method} {path}");
    }
    assert_eq!(claim(&rendezvous, "OPTIONS", CLIENT, &[]), Some(Claim::Preflight));
}

fn answer(outcome: Result<Done, Refusal>) -> Reply {
    let limits = Limits { ttl: Duration::from_mins(1), max_bytes: 4096, room: room(2) };
    Request { dialect: Dialect::Msc3886, limits, operation: Operation::Remove { id: id() } }.answer(outcome, at(1000))
}

#[test]
fn each_outcome_has_its_status_and_its_fields() {
    const STAMP: [HeaderName; 3] = [ETAG, EXPIRES, LAST_MODIFIED];
    let stamp = session(b"").stamp();
    let full = Refusal::Full { retry_after: Duration::from_millis(1500) };
    let check = |outcome: Result<Done, Refusal>, status: u16, stamped: bool, media_type: Option<&str>| {
        let reply = answer(outcome);
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(STAMP.iter().filter(|name| field(&reply, name).is_some()).count(), if stamped { 3 } else { 0 });
        assert_eq!(field(&reply, CONTENT_TYPE), media_type, "{status}");
        assert_eq!(field(&reply, CACHE_CONTROL), Some("no-store, no-transform"), "{status}");
        assert_eq!(field(&reply, "pragma"), Some("no-cache"));
        assert_eq!(field(&reply, "x-max-bytes"), Some("4096"), "{status}");
        assert_eq!(field(&reply, "x-content-type-options"), Some("nosniff"));
        let policy = "sandbox; default-src 'none'; frame-ancestors 'none'";
        assert_eq!(field(&reply, "content-security-policy"), Some(policy));
        assert_eq!(field(&reply, "cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(field(&reply, "referrer-policy"), Some("no-referrer"));
        assert_eq!(reply.cors, CorsKind::Rendezvous);
        assert_eq!(matches!(reply.body, Body::Error(_)), status >= 400);
        reply
    };
    let json = Some("application/json");
    let created = check(Ok(Done::Created(id(), stamp)), 201, true, Some("text/plain"));
    assert_eq!(field(&created, LOCATION), Some(ID), "a bare id");
    let found = check(Ok(Done::Found(session(b"{}"))), 200, true, json);
    assert_eq!(found.body, Body::Full("{}".into()));
    check(Ok(Done::Unchanged(stamp)), 304, true, None);
    check(Ok(Done::Written(stamp)), 202, true, Some("text/plain"));
    check(Ok(Done::Removed), 204, false, None);
    check(Err(Refusal::Navigation), 403, false, json);
    check(Err(Refusal::Absent), 404, false, json);
    check(Err(Refusal::Method("POST")), 405, false, json);
    let stale = check(Err(Refusal::Stale(stamp)), 412, true, json);
    assert_eq!(errcode(&stale), "M_CONCURRENT_WRITE");
    check(Err(Refusal::TooLarge(4096)), 413, false, json);
    let refused = check(Err(full), 429, false, json);
    assert_eq!((errcode(&refused), field(&refused, RETRY_AFTER)), ("M_LIMIT_EXCEEDED", Some("2")));
    check(Err(Refusal::Taken), 500, false, json);
}

#[test]
fn the_stamp_is_written_as_a_strong_tag_and_two_dates() {
    let mut session = session(b"");
    let write = Write {
        protocol: Protocol::Msc3886,
        expected: Revisions::Any,
        content: session.content().clone(),
        revision: revision(0xab),
        retry: Retry::Unknown,
    };
    let written = answer(session.write(write, at(1030)).map(Done::Written));
    assert_eq!(field(&written, ETAG), Some("\"000000000000000000000000000000ab\""));
    assert_eq!(field(&written, LAST_MODIFIED), Some("Thu, 01 Jan 1970 00:17:10 GMT"));
    assert_eq!(field(&written, EXPIRES), Some("Thu, 01 Jan 1970 00:17:40 GMT"), "not extended by the write");
}

#[test]
fn ids_and_payloads_show_in_no_debug_output() {
    let request = Request {
        dialect: Dialect::Msc3886,
        limits: Limits { ttl: Duration::ZERO, max_bytes: 1, room: room(1) },
        operation: Operation::Remove { id: id() },
    };
    let shown = format!("{request:?} {:?}", session(b"secret"));
    assert!(!shown.contains(ID) && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_clock_at_the_ends_of_time_is_still_a_date() {
    let stamp = |time: SystemTime| {
        let content = Content::new(b"", HeaderValue::from_static("text/plain"));
        Session::open(Protocol::Msc3886, content, revision(1), time.into(), Duration::from_hours(1)).stamp()
    };
    let ancient = answer(Ok(Done::Unchanged(stamp(SystemTime::UNIX_EPOCH - Duration::from_secs(1)))));
    assert_eq!(field(&ancient, LAST_MODIFIED), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    let remote = answer(Ok(Done::Unchanged(stamp(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)))));
    assert_eq!(field(&remote, EXPIRES), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
}

fn problems(change: impl FnOnce(&mut RendezvousSection)) -> Vec<String> {
    let mut section = RendezvousSection::default();
    change(&mut section);
    let mut problems = Problems::default();
    let built = section.build(Some("https://matrix.example.com/"), &mut problems);
    assert_eq!(built.is_none(), problems.has_errors());
    problems.as_slice().iter().map(ToString::to_string).collect()
}

/// What counting requests takes: visitors, and sessions read and written to.
const COUNTERS: u64 = 96 * (65_536 + 2 * 20_000);

#[test]
fn the_defaults_are_those_of_the_module_and_have_no_problem() {
    assert_eq!(problems(|_| ()), [""; 0]);
    assert_eq!(build(|_| ()).worst_case_memory(), Size(10_000 * (4096 + 128 + 640 + 3072) + COUNTERS));
}

#[test]
fn each_value_out_of_bounds_is_reported_at_its_key() {
    let check = |change: fn(&mut RendezvousSection), start: &str| {
        let found = problems(change);
        assert!(found.len() == 1 && found[0].starts_with(start), "{found:?} is not {start}");
    };
    check(|section| section.ttl = Span(Duration::ZERO), "error: rendezvous.ttl: 0s is not");
    check(|section| section.ttl = Span(Duration::from_secs(3601)), "error: rendezvous.ttl: 1h 1s is not");
    check(|section| section.ttl = Span(Duration::from_millis(500)), "warning: rendezvous.ttl: sessions end 500ms");
    check(|section| section.max_bytes = Size(0), "error: rendezvous.max_bytes: 0 is not");
    check(|section| section.max_bytes = Size((1 << 20) + 1), "error: rendezvous.max_bytes: 1048577 is not");
    check(|section| section.max_entries = 0, "error: rendezvous.max_entries: 0 is not");
    check(|section| section.max_entries = 1_000_001, "error: rendezvous.max_entries: 1000001 is not");
    let redirect_to_itself = |section: &mut RendezvousSection| {
        section.prefix = format!("{CLIENT}/");
        section.redirect_unstable = true;
    };
    check(|section| section.msc4108.ttl = Span(Duration::ZERO), "error: rendezvous.msc4108.ttl: 0s is not");
    check(|section| section.msc4108.max_bytes = Size(0), "error: rendezvous.msc4108.max_bytes: 0 is not");
    check(|section| section.msc4388.ttl = Span(Duration::ZERO), "error: rendezvous.msc4388.ttl: 0s is not");
    check(|section| section.msc4388.max_bytes = Size(0), "error: rendezvous.msc4388.max_bytes: 0 is not");
    check(|section| section.limits.ipv4_prefix = 33, "error: rendezvous.limits.ipv4_prefix: 33 is not");
    check(|section| section.limits.ipv6_prefix = 0, "error: rendezvous.limits.ipv6_prefix: 0 is not");
    check(redirect_to_itself, "error: rendezvous.redirect_unstable: ");
    let several = |section: &mut RendezvousSection| {
        section.prefix = String::new();
        section.max_bytes = Size(0);
        section.max_entries = 0;
    };
    assert_eq!(problems(several).len(), 3);
}

#[test]
fn a_protocol_is_served_by_whom_the_operator_says() {
    type Set = fn(&mut RendezvousSection, Served);
    let protocols: [(Set, &[&str]); 3] = [
        (|section, served| section.msc3886.serve = served, &[PREFIX, CLIENT]),
        (|section, served| section.msc4108.serve = served, &[msc4108::ENDPOINT, msc4108::SESSIONS]),
        (|section, served| section.msc4388.serve = served, &[msc4388::UNSTABLE, msc4388::STABLE]),
    ];
    for (set, paths) in protocols {
        for path in paths.iter().flat_map(|path| [(*path).to_owned(), format!("{path}/{ID}"), format!("{path}/x")]) {
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let upstream = claim(&build(|section| set(section, Served::Upstream)), method, &path, &[]);
                assert_eq!(upstream, Some(Claim::Upstream), "{method} {path}");
                let off = claim(&build(|section| set(section, Served::Off)), method, &path, &[]);
                let Some(Claim::Reply(reply)) = off else { panic!("{method} {path}: {off:?}") };
                assert_eq!((reply.status, errcode(&reply)), (StatusCode::NOT_FOUND, "M_UNRECOGNIZED"));
            }
            let preflight = claim(&build(|section| set(section, Served::Off)), "OPTIONS", &path, &[]);
            assert_eq!(preflight, Some(Claim::Preflight));
        }
    }
}

#[test]
fn only_what_is_kept_here_takes_memory() {
    let set = |msc3886, msc4108| {
        build(|section| {
            section.msc4388.serve = Served::Off;
            section.msc3886.serve = msc3886;
            section.msc4108.serve = msc4108;
            section.msc4108.max_bytes = Size(1 << 20);
        })
        .worst_case_memory()
    };
    assert!(set(Served::Gateway, Served::Gateway) > Size(10_000 << 20), "the largest kind counts");
    assert_eq!(set(Served::Gateway, Served::Upstream), Size(10_000 * (4096 + 128 + 640) + COUNTERS));
    assert_eq!(set(Served::Upstream, Served::Off), Size(0));
}

#[test]
fn absolute_urls_need_a_base() {
    let check = |section: RendezvousSection, start: Option<&str>| {
        let mut problems = Problems::default();
        section.build(None, &mut problems);
        let found: Vec<String> = problems.as_slice().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), usize::from(start.is_some()), "{found:?}");
        assert!(start.is_none_or(|start| found[0].starts_with(start)), "{found:?}");
    };
    let enabled = || RendezvousSection { enabled: true, ..RendezvousSection::default() };
    check(enabled(), Some("error: rendezvous.msc4108.serve: sessions of MSC4108 have absolute URLs"));
    check(RendezvousSection::default(), None);
    let msc4108 = Msc4108Section { serve: Served::Upstream, ..Msc4108Section::default() };
    check(RendezvousSection { msc4108, ..enabled() }, None);
}

#[test]
fn a_prefix_is_a_plain_path_of_its_own() {
    for prefix in [
        "",
        "rendezvous",
        "https://x/y",
        "/a b",
        "/a%20b",
        "/a//b",
        "/a/../b",
        "/é",
        "/a?b",
        "//",
        "/",
        "/_matrix",
        "/_matrix/client/",
        "/_synapse/client",
        "/.well-known",
        "/_matrix/client/unstable/org.matrix.msc4108",
        "/_synapse/client/rendezvous",
        "/_synapse/client/rendezvous/older",
        "/_matrix/client/v1/rendezvous",
        "/_matrix/client/unstable/io.element.msc4388/rendezvous/a/b",
        &format!("/{}", "x".repeat(200)),
    ] {
        let found = problems(|section| prefix.clone_into(&mut section.prefix));
        assert!(found.len() == 1 && found[0].starts_with("error: rendezvous.prefix: "), "{prefix}: {found:?}");
    }
    let rendezvous = build(|section| section.prefix = "/rz/".to_owned());
    for path in ["/rz", "/rz/", &format!("/rz/{ID}")] {
        assert!(claim(&rendezvous, "OPTIONS", path, &[]).is_some(), "{path}");
    }
    for path in ["/", &format!("/{ID}")] {
        assert_eq!(claim(&rendezvous, "OPTIONS", path, &[]), None, "{path}");
    }
    assert_eq!(rendezvous.secret_paths(), ["/rz"]);
    let nested = build(|section| section.prefix = "/a/rz".to_owned());
    assert_eq!(nested.secret_paths(), ["/a/rz", "/a/"]);
}

proptest! {
    #[test]
    fn no_path_and_no_header_does_harm(
        path in "/[!-\"$-~é]{0,80}",
        method in "GET|PUT|POST|DELETE|OPTIONS",
        condition in "[ -~]{0,60}",
        endpoint in prop::sample::select(vec!["", PREFIX, CLIENT, msc4108::ENDPOINT, msc4108::SESSIONS, msc4388::STABLE]),
    ) {
        let headers = [("if-match", &*condition), ("if-none-match", &*condition), ("content-type", &*condition)];
        let claimed = claim(&build(|_| ()), &method, &format!("{endpoint}{path}"), &headers).is_some();
        prop_assert!(claimed || endpoint.is_empty());
    }

    #[test]
    fn the_house_is_never_overfull_and_its_order_is_that_of_expiry(
        steps in prop::collection::vec((0..3u8, 0..40u128, 0..3u8, 0..20u64), 1..200),
    ) {
        const ROOM: Room = Room { max_entries: 8, max_per_visitor: 4 };
        let allowance = *build(|_| ()).allowance();
        let mut occupancy = Occupancy::default();
        let mut inside: Vec<(u64, u128, Visitor)> = Vec::new();
        let mut now = 1;
        for (step, number, host, wait) in steps {
            now += wait;
            let id = |number: u128| SessionId::new(uuid::Uuid::from_u128(number));
            match step {
                0 if inside.iter().all(|(_, other, _)| *other != number) => {
                    let visitor = allowance.visitor([192, 0, 2, host].into());
                    let of_visitor = inside.iter().filter(|(.., other)| *other == visitor).count();
                    let entered = occupancy.enter(id(number), visitor, at(now + 60), ROOM, at(now));
                    let expected = if inside.len() >= ROOM.max_entries {
                        let next = inside.iter().min().unwrap().0;
                        Err(Refusal::Full { retry_after: Duration::from_secs(next.saturating_sub(now)) })
                    } else if of_visitor >= 4 {
                        Err(Refusal::Crowded { retry_after: Duration::from_mins(1) })
                    } else {
                        inside.push((now + 60, number, visitor));
                        Ok(())
                    };
                    prop_assert_eq!(entered, expected);
                }
                1 => {
                    if let Some(place) = inside.iter().position(|(_, other, _)| *other == number) {
                        let (expires, number, _) = inside.remove(place);
                        occupancy.leave(id(number), at(expires));
                    }
                }
                _ => {
                    let first = inside.iter().copied().min().filter(|(expires, ..)| *expires <= now);
                    inside.retain(|other| Some(*other) != first);
                    prop_assert_eq!(occupancy.pop_expired(at(now)), first.map(|(_, number, _)| id(number)));
                }
            }
            prop_assert_eq!(occupancy.len(), inside.len());
        }
    }
}

#[test]
fn a_visitor_is_an_address_or_a_network_of_version_6() {
    let same = |change: fn(&mut QuotaSection), one: &str, other: &str| {
        let rendezvous = build(|section| change(&mut section.limits));
        let visitor = |address: &str| rendezvous.allowance().visitor(address.parse().unwrap());
        visitor(one) == visitor(other)
    };
    assert!(!same(|_| (), "192.0.2.1", "192.0.2.2"));
    assert!(same(|limits| limits.ipv4_prefix = 24, "192.0.2.1", "192.0.2.2"));
    assert!(same(|_| (), "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"));
    assert!(!same(|_| (), "2001:db8::1", "2001:db8:0:1::1"));
    assert!(same(|limits| limits.ipv6_prefix = 48, "2001:db8::1", "2001:db8:0:1::1"));
    assert!(!same(|limits| limits.ipv6_prefix = 128, "2001:db8::1", "2001:db8::2"));
}

#[test]
fn what_is_served_here_is_added_to_the_features_of_synapse() {
    let added = |msc3886, msc4108, msc4388| {
        let rendezvous = build(|section| {
            section.advertise = true;
            section.msc3886.serve = msc3886;
            section.msc4108.serve = msc4108;
            section.msc4388.serve = msc4388;
        });
        rendezvous.advertisement().cloned().unwrap()
    };
    let check = |added: &Advertisement, answer: &str, expected: &str| {
        let merged = added.merge(answer.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(merged).unwrap(), expected);
    };
    let all = added(Served::Gateway, Served::Gateway, Served::Gateway);
    check(
        &all,
        r#"{"versions":["v1.11"],"unstable_features":{"z":true,"org.matrix.msc4108":false,"a":false},"server":{"x":1}}"#,
        r#"{"versions":["v1.11"],"unstable_features":{"z":true,"org.matrix.msc4108":true,"a":false,"org.matrix.msc3886":true,"io.element.msc4388":true},"server":{"x":1}}"#,
    );
    check(
        &added(Served::Off, Served::Upstream, Served::Gateway),
        r#"{"versions":[],"unstable_features":{"org.matrix.msc4108":false}}"#,
        r#"{"versions":[],"unstable_features":{"org.matrix.msc4108":false,"org.matrix.msc3886":false,"io.element.msc4388":true}}"#,
    );
    check(
        &added(Served::Off, Served::Upstream, Served::Upstream),
        "{}",
        r#"{"unstable_features":{"org.matrix.msc3886":false}}"#,
    );
    for odd in ["", "[]", "nonsense", r#"{"unstable_features":[]}"#] {
        assert_eq!(all.merge(odd.as_bytes()), None, "{odd}");
    }
    assert_eq!(build(|_| ()).advertisement(), None);
    let disabled = |section: &mut RendezvousSection| (section.enabled, section.advertise) = (false, true);
    assert_eq!(build(disabled).advertisement(), None);
}
