use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::*;
use crate::inbound::fixture::arrival;
use crate::inbound::{Arrival, Inbound, Scheme};
use crate::problem::Problems;
use crate::reply::CorsKind;

fn forwarding(trusted: &[&str]) -> Forwarding {
    let section = ForwardingSection {
        trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
        ..ForwardingSection::default()
    };
    section.build(&mut Problems::default()).unwrap()
}

fn client(trusted: &[&str], peer: Option<&str>, headers: &[(&'static str, &str)]) -> (String, Scheme) {
    let arrival = Arrival {
        scheme: Scheme::Http,
        peer: peer.map(|peer| peer.parse().unwrap()),
        trusted: peer.is_none(),
        ..arrival()
    };
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let inbound = Inbound {
        method: &Method::GET,
        path: "/",
        query: None,
        authority: "example.com",
        content_length: None,
        headers: &headers,
        version: Version::HTTP_11,
        arrival: &arrival,
    };
    let client = forwarding(trusted).client(&inbound);
    (client.address.to_string(), client.scheme)
}

#[test]
fn a_stranger_cannot_choose_its_address() {
    let (address, scheme) = client(
        &["10.0.0.0/8"],
        Some("203.0.113.9"),
        &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")],
    );
    assert_eq!((address.as_str(), scheme), ("203.0.113.9", Scheme::Http));
}

#[test]
fn behind_trusted_proxies_the_client_is_the_last_address_that_is_not_one_of_them() {
    let check = |chain: &[(&'static str, &str)], expected: &str| {
        assert_eq!(client(&["10.0.0.0/8", "fd00::/8"], Some("10.0.0.1"), chain).0, expected, "{chain:?}");
    };
    check(&[("x-forwarded-for", "192.0.2.1, 198.51.100.7, 10.0.0.2")], "198.51.100.7");
    check(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.7")], "198.51.100.7");
    check(&[("x-forwarded-for", "[2001:db8::1]:4711, fd00::1")], "2001:db8::1");
    check(&[("x-forwarded-for", "198.51.100.7:4711")], "198.51.100.7");
    check(&[("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7");
    check(&[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2");
    check(&[("x-forwarded-for", "nonsense")], "10.0.0.1");
    check(&[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3");
    check(&[], "10.0.0.1");
}

#[test]
fn the_scheme_is_what_the_nearest_trusted_proxy_says() {
    let check = |value: &str, expected: Scheme| {
        assert_eq!(client(&["10.0.0.0/8"], Some("10.0.0.1"), &[("x-forwarded-proto", value)]).1, expected, "{value}");
    };
    check("https", Scheme::Https);
    check("http, HTTPS", Scheme::Https);
    check("https, http", Scheme::Http);
    check("gopher", Scheme::Http);
}

#[test]
fn the_client_on_a_unix_socket_is_this_host_unless_a_proxy_names_another() {
    assert_eq!(client(&[], None, &[]).0, "127.0.0.1");
    assert_eq!(client(&[], None, &[("x-forwarded-for", "198.51.100.7")]).0, "198.51.100.7");
}

#[test]
fn a_request_id_header_that_means_something_else_is_refused() {
    let check = |name: &str, fits: bool| {
        let mut problems = Problems::default();
        let section = ForwardingSection { request_id_header: name.to_owned(), ..ForwardingSection::default() };
        assert_eq!(section.build(&mut problems).is_some(), fits, "{name}");
        assert_eq!(problems.has_errors(), !fits, "{name}");
    };
    check("X-Request-Id", true);
    check("X-Trace", true);
    check("X-Forwarded-For", false);
    check("Host", false);
    check("no spaces", false);
    check("", false);
}

fn cors() -> Cors {
    CorsSection::default().build(&HeaderName::from_static("x-request-id"), &mut Problems::default()).unwrap()
}

fn corrected(answer: &[(HeaderName, &'static str)]) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    for (name, value) in answer {
        headers.append(name, HeaderValue::from_static(value));
    }
    for (name, value) in cors().corrections(&headers.clone()).into_iter().flatten() {
        headers.insert(name, value);
    }
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

#[test]
fn an_answer_without_cross_origin_headers_gets_each_once() {
    let names: Vec<String> = corrected(&[]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(!names.iter().any(|name| name.contains("credentials")));
}

#[test]
fn an_answer_with_a_header_twice_keeps_the_first() {
    let answer = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_ALLOW_ORIGIN, "https://evil.example")];
    let origins: Vec<String> = corrected(&answer)
        .into_iter()
        .filter(|(name, _)| name.as_str() == ACCESS_CONTROL_ALLOW_ORIGIN.as_str())
        .map(|(_, v)| v)
        .collect();
    assert_eq!(origins, ["*"]);
}

#[test]
fn what_synapse_exposes_is_completed_not_replaced() {
    let check = |theirs: &'static str, expected: &str| {
        let exposed = corrected(&[(ACCESS_CONTROL_EXPOSE_HEADERS, theirs)]);
        let exposed = exposed.iter().find(|(name, _)| name.as_str() == ACCESS_CONTROL_EXPOSE_HEADERS.as_str()).unwrap();
        assert_eq!(exposed.1, expected);
    };
    check("Synapse-Trace-Id, Server", "Synapse-Trace-Id, Server, Retry-After, ETag, x-request-id");
    check("Synapse-Trace-Id, Server, ETag", "Synapse-Trace-Id, Server, ETag, Retry-After, x-request-id");
    check("etag", "etag, Retry-After, x-request-id");
}

#[test]
fn a_preflight_says_how_long_it_holds() {
    let preflight = cors().preflight();
    assert_eq!(preflight.headers, [(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"))]);
}

#[test]
fn nothing_is_sent_where_another_layer_manages_it() {
    let section = CorsSection { manage: false, ..CorsSection::default() };
    let cors = section.build(&HeaderName::from_static("x-request-id"), &mut Problems::default()).unwrap();
    assert_eq!(cors.fields(CorsKind::Matrix).count(), 0);
    assert_eq!(cors.corrections(&HeaderMap::new()).into_iter().flatten().count(), 0);
    assert_eq!(cors.preflight().headers.len(), 0);
}

#[test]
fn every_name_that_stays_here_is_known_by_its_first_letter() {
    for name in &forwarding::STRIPPED {
        assert!(is_stripped(name), "{name}");
    }
    for name in ["host", "authorization", "x-forwarded", "te", "from", "priority"] {
        assert!(!is_stripped(&HeaderName::from_static(name)), "{name}");
    }
}
