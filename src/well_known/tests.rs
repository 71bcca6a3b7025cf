use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderName, Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inbound::fixture::{BOUNDS, arrival};
use crate::problem::Problems;
use crate::reply::Body;

const NAME: Option<&str> = Some("example.com");
const URL: Option<&str> = Some("https://matrix.example.com/");

/// A section as it is written, in JSON.
fn section(written: Value) -> WellKnownSection {
    serde_json::from_value(written).unwrap()
}

fn build(written: Value) -> WellKnown {
    let mut problems = Problems::default();
    let built = section(written).build(NAME, URL, Announced::default(), &mut problems);
    built.unwrap_or_else(|| panic!("{problems:?}"))
}

fn ask(well_known: &WellKnown, method: &str, host: &str, target: &str) -> Option<Reply> {
    let request = Request::builder().method(method).uri("/").header("host", host);
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let arrival = arrival();
    well_known.reply(&Inbound::read(&parts, target.as_bytes(), &arrival, &BOUNDS).unwrap())
}

fn field<'a>(reply: &'a Reply, name: &HeaderName) -> Option<&'a str> {
    reply.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_str().unwrap())
}

fn document(well_known: &WellKnown, name: &str) -> Option<Value> {
    let reply = ask(well_known, "GET", "matrix.example.com", &format!("/.well-known/matrix/{name}")).unwrap();
    assert_eq!(field(&reply, &CONTENT_TYPE), Some("application/json"));
    assert_eq!(reply.cors, CorsKind::Matrix);
    let Body::Full(body) = &reply.body else {
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(field(&reply, &CACHE_CONTROL), Some("no-store"));
        return None;
    };
    assert_eq!(reply.status, StatusCode::OK);
    Some(serde_json::from_slice(body).unwrap())
}

#[test]
fn the_documents_follow_from_the_public_url() {
    let derived = build(json!({}));
    assert_eq!(document(&derived, "server"), Some(json!({"m.server": "matrix.example.com:443"})));
    let client = json!({"m.homeserver": {"base_url": "https://matrix.example.com/"}});
    assert_eq!(document(&derived, "client"), Some(client));
    assert_eq!(document(&derived, "support"), None);
    let server = |url: &str| {
        let built = section(json!({})).build(NAME, Some(url), Announced::default(), &mut Problems::default()).unwrap();
        document(&built, "server").unwrap()["m.server"].as_str().unwrap().to_owned()
    };
    assert_eq!(server("https://matrix.example.com:8448"), "matrix.example.com:8448");
    assert_eq!(server("https://[2001:db8::1]/"), "[2001:db8::1]:443");
}

#[test]
fn what_is_written_is_merged_over_what_is_derived() {
    let merged = build(json!({
        "server": "synapse.example.com:8448",
        "client": {
            "m.homeserver": {"org.example.region": "eu"},
            "m.identity_server": {"base_url": "https://vector.im"},
            "org.matrix.msc4143.rtc_foci": [{"type": "livekit", "livekit_service_url": "https://rtc.example.com"}],
        },
    }));
    assert_eq!(document(&merged, "server"), Some(json!({"m.server": "synapse.example.com:8448"})));
    let client = json!({
        "m.homeserver": {"base_url": "https://matrix.example.com/", "org.example.region": "eu"},
        "m.identity_server": {"base_url": "https://vector.im"},
        "org.matrix.msc4143.rtc_foci": [{"type": "livekit", "livekit_service_url": "https://rtc.example.com"}],
    });
    assert_eq!(document(&merged, "client"), Some(client));
    let replaced = build(json!({"client": {"m.homeserver": {"base_url": "https://other.example.com"}}}));
    let client = json!({"m.homeserver": {"base_url": "https://other.example.com"}});
    assert_eq!(document(&replaced, "client"), Some(client));
}

#[test]
fn support_names_contacts_and_a_page() {
    let contact = json!({"role": "m.role.admin", "email_address": "admin@example.com"});
    let support = json!({"contacts": [contact], "support_page": "https://example.com/support"});
    assert_eq!(document(&build(json!({"support": support})), "support"), Some(support));
    let page = json!({"support_page": "https://example.com/support"});
    assert_eq!(document(&build(json!({"support": page})), "support"), Some(page));
}

#[test]
fn documents_are_read_and_cached_for_the_time_given() {
    let well_known = build(json!({"cache_max_age": "10m"}));
    for method in ["GET", "HEAD"] {
        let reply = ask(&well_known, method, "matrix.example.com", "/.well-known/matrix/client?x").unwrap();
        assert_eq!(field(&reply, &CACHE_CONTROL), Some("public, max-age=600"));
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = ask(&well_known, method, "matrix.example.com", "/.well-known/matrix/support").unwrap();
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(field(&reply, &ALLOW), Some("GET, HEAD, OPTIONS"));
    }
    assert_eq!(ask(&well_known, "OPTIONS", "matrix.example.com", "/.well-known/matrix/client"), None);
}

#[test]
fn only_the_documents_themselves_are_found() {
    let well_known = build(json!({}));
    for name in ["", "client/", "client.json", "Client", "%63lient", "other"] {
        assert_eq!(document(&well_known, name), None, "{name}");
    }
    for path in ["/", "/.well-known/matrix", "/.well-known/acme-challenge/x", "/_matrix/client/versions"] {
        assert_eq!(ask(&well_known, "GET", "matrix.example.com", path), None, "{path}");
    }
    let off = build(json!({"serve": false}));
    assert_eq!(ask(&off, "GET", "matrix.example.com", "/.well-known/matrix/client"), None);
}

#[test]
fn the_base_domain_has_its_pages_elsewhere() {
    let well_known = build(json!({"base_domain": {"serve": true, "redirect": "https://www.example.com/"}}));
    let location = |method: &str, host: &str, target: &str| {
        let reply = ask(&well_known, method, host, target)?;
        assert_eq!(reply.status, StatusCode::FOUND);
        Some(field(&reply, &LOCATION).unwrap().to_owned())
    };
    assert_eq!(location("GET", "example.com", "/").as_deref(), Some("https://www.example.com/"));
    assert_eq!(location("HEAD", "EXAMPLE.com:443", "/a?b=c").as_deref(), Some("https://www.example.com/a?b=c"));
    assert_eq!(location("GET", "example.com", "//evil.org").as_deref(), Some("https://www.example.com//evil.org"));
    assert_eq!(location("GET", "example.com", "/_matrix/federation/v1/version"), None, "found through SRV");
    assert_eq!(location("GET", "matrix.example.com", "/"), None);
    assert_eq!(location("GET", "www.example.com", "/"), None);
    let posted = ask(&well_known, "POST", "example.com", "/").unwrap();
    assert_eq!(posted.status, StatusCode::NOT_FOUND);
    let document = ask(&well_known, "GET", "example.com", "/.well-known/matrix/server").unwrap();
    assert_eq!(document.status, StatusCode::OK);
    let silent = build(json!({"base_domain": {"serve": true}}));
    assert_eq!(ask(&silent, "GET", "example.com", "/").unwrap().status, StatusCode::NOT_FOUND);
}

#[test]
fn each_problem_is_reported_at_its_key() {
    let check_with = |name: Option<&str>, url: Option<&str>, written: Value, start: &str| {
        let mut problems = Problems::default();
        let built = section(written).build(name, url, Announced::default(), &mut problems);
        assert_eq!(built.is_none(), problems.has_errors());
        let [problem] = problems.as_slice() else { panic!("{start}: {problems:?}") };
        assert!(problem.to_string().starts_with(start), "{problem} is not {start}");
    };
    let check = |written: Value, start: &str| check_with(NAME, URL, written, start);
    for server in ["https://matrix.example.com", "", ":443", "a:b", "a:99999", "a:", "a b", "user@a", "a:0"] {
        check(json!({"server": server}), "error: well_known.server: ");
    }
    check(json!({"client": {"m.homeserver": null}}), "error: well_known.client.m.homeserver.base_url: there is no URL");
    check(
        json!({"client": {"m.identity_server": {"base_url": "vector.im"}}}),
        "error: well_known.client.m.identity_server.base_url: `vector.im` is not a URL",
    );
    check_with(NAME, None, json!({"client": {"a": 1}}), "error: well_known.client: clients cannot do anything");
    for url in ["matrix.example.com", "ftp://x", "https://", "https://x?y", "https://x#y", "https://u@x", "https://x:y"]
    {
        check_with(NAME, Some(url), json!({}), "error: public_baseurl: ");
    }
    check(json!({"support": {}}), "error: well_known.support: there is nobody");
    check(json!({"support": {"support_page": "x"}}), "error: well_known.support.support_page: ");
    let contact = json!({"role": "m.role.admin"});
    check(json!({"support": {"contacts": [contact]}}), "error: well_known.support.contacts[0]: there is no way");
    let contact = json!({"matrix_id": "@a:b"});
    check(json!({"support": {"contacts": [contact]}}), "error: well_known.support.contacts[0].role: there is no role");
    check(json!({"cache_max_age": "49h"}), "warning: well_known.cache_max_age: ");

    let base = |redirect: &str| json!({"base_domain": {"serve": true, "redirect": redirect}});
    check(base("www.example.com"), "error: well_known.base_domain.redirect: `www");
    check(base("https://example.com/"), "error: well_known.base_domain.redirect: example.com would redirect to itself");
    let base = || json!({"base_domain": {"serve": true}});
    check_with(None, URL, base(), "error: well_known.base_domain.serve: the domain is not known");
    check_with(NAME, None, base(), "error: well_known.base_domain.serve: the homeserver's own host");
    check_with(NAME, Some("https://example.com"), base(), "error: well_known.base_domain.serve: server_name and");
    let unserved = json!({"serve": false, "base_domain": {"serve": true}});
    check(unserved, "error: well_known.base_domain.serve: the domain is served for documents");
}

proptest! {
    #[test]
    fn a_redirect_never_leaves_the_configured_origin(path in "/[!-\"$-~é]{0,60}", host in "example\\.com|EXAMPLE\\.COM:8443") {
        let well_known = build(json!({"base_domain": {"serve": true, "redirect": "https://www.example.com"}}));
        if let Some(reply) = ask(&well_known, "GET", &host, &path) {
            let location = reply.headers.iter().find(|(name, _)| name == LOCATION).unwrap().1.as_bytes();
            let expected = format!("https://www.example.com{path}");
            prop_assert_eq!(location, expected.as_bytes());
        }
    }
}

fn announcing(written: Value, url: Option<&str>, announced: Announced<'_>) -> (Option<WellKnown>, Vec<String>) {
    let mut problems = Problems::default();
    let built = section(written).build(NAME, url, announced, &mut problems);
    (built, problems.as_slice().iter().map(|problem| problem.path.clone()).collect())
}

#[test]
fn clients_are_told_of_the_services_beside_synapse() {
    let all = Announced {
        issuer: Some("https://auth.example.com/"),
        account: Some("https://auth.example.com/account/"),
        calls: true,
    };
    let members = |written: Value, announced| {
        let built = announcing(written, URL, announced).0.unwrap();
        document(&built, "client").unwrap().as_object().unwrap().clone()
    };
    let told = members(json!({}), all);
    let authentication = json!({"issuer": "https://auth.example.com/", "account": "https://auth.example.com/account/"});
    assert_eq!(told["org.matrix.msc2965.authentication"], authentication);
    let foci = json!([{"type": "livekit", "livekit_service_url": "https://matrix.example.com/livekit/jwt"}]);
    assert_eq!(told["org.matrix.msc4143.rtc_foci"], foci);
    let issuer_alone = members(json!({}), Announced { account: None, calls: false, ..all });
    assert_eq!(issuer_alone["org.matrix.msc2965.authentication"], json!({"issuer": "https://auth.example.com/"}));
    assert_eq!(issuer_alone.len(), 2);
    let own = json!({"client": {"org.matrix.msc4143.rtc_foci": []}});
    assert_eq!(members(own, all)["org.matrix.msc4143.rtc_foci"], json!([]), "the operator's word is the last one");
}

#[test]
fn what_clients_cannot_use_is_not_announced() {
    let none = Announced::default();
    let check = |announced, path: &str| assert_eq!(announcing(json!({}), URL, announced).1, [path]);
    check(Announced { issuer: Some("auth.example.com"), ..none }, "mas.issuer");
    check(Announced { issuer: Some("https://a/"), account: Some("/account"), ..none }, "mas.account");
    check(Announced { account: Some("https://a/account"), ..none }, "mas.account");
    let (built, paths) = announcing(json!({}), None, Announced { calls: true, ..none });
    assert_eq!(paths, ["matrix_rtc.jwt_service"]);
    assert_eq!(document(&built.unwrap(), "client"), None);
}
