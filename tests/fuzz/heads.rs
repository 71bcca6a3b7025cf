//! Request heads of all sorts, read and decided on.

use http::{HeaderName, HeaderValue, Method, Request};
use proptest::prelude::*;
use synapse_gateway::config::{Source, load};
use synapse_gateway::decide::{Action, Destination, Gateway};
use synapse_gateway::inbound::{Arrival, Inbound, Scheme, Serve};
use synapse_gateway::routing::{Mas, Release};

const CONFIGURATION: &str = r#"
server_name: example.com
public_baseurl: https://matrix.example.com/
listeners: [{address: "127.0.0.1:8080"}]
rendezvous: {enabled: true}
admin_api: {enabled: true, networks: [10.0.0.0/8]}
mas: {endpoint: "http://127.0.0.1:8081", mas_networks: [10.0.0.0/8]}
matrix_rtc: {jwt_service: "http://127.0.0.1:8082", sfu: "http://127.0.0.1:8083"}
well_known: {base_domain: {serve: true, redirect: "https://www.example.com"}}
extra_routes:
  - {path: /, proxy: "http://127.0.0.1:9000"}
"#;

fn gateway() -> Gateway {
    let source = Source { name: "gateway.yaml".to_owned(), bytes: CONFIGURATION.into() };
    let (config, problems) = load(&[source]);
    config.unwrap_or_else(|| panic!("{:?}", problems.as_slice())).gateway
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let parts = [
        "/",
        "//",
        "/.",
        "/..",
        "_matrix",
        "_synapse",
        "client",
        "admin",
        "mas",
        "%6das",
        "r0",
        "login",
        "logout",
        "livekit",
        "jwt",
        "sfu",
        "v1",
        "v3",
        "%61dmin",
        "%2F",
        "%00",
        "?",
        "&",
        "since=",
        "timeout=",
        "#",
        "http://",
        "*",
        " ",
        "\r\n",
        "sync",
        "rooms",
        "!a:b",
        "media",
        "upload",
        "federation",
        "send",
        "org.matrix.msc3886",
        "rendezvous",
        "unstable",
        ".well-known/matrix/server",
        "acme-challenge",
        "é",
        "\\",
    ];
    let part = prop_oneof![
        8 => prop::sample::select(parts.to_vec()).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let names = [
        "host",
        "content-length",
        "transfer-encoding",
        "x-forwarded-for",
        "if-match",
        "if-none-match",
        "content-type",
        "upgrade",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "connection",
        "origin",
    ];
    let values = [
        "example.com",
        "a:443",
        "[::1]:8448",
        "a@b",
        "",
        "5",
        "5, 5",
        "+5",
        "99999999999999999",
        "chunked",
        "10.0.0.1",
        "*",
        "\"a\"",
        "W/\"a\", \"b\"",
        "text/plain; charset=utf-8",
        "websocket",
        "navigate",
        "document",
    ];
    let value = prop_oneof![
        6 => prop::sample::select(values.to_vec()).prop_map(|value| value.as_bytes().to_vec()),
        1 => prop::collection::vec(prop_oneof![0x20u8..0x7f, 0x80u8..=0xff], 0..20),
    ];
    prop::collection::vec((prop::sample::select(names.to_vec()), value), 0..10)
}

proptest! {
    #![proptest_config(super::effort())]

    #[test]
    fn what_reaches_synapse_is_on_the_allow_list_and_as_it_was_sent(
        method in prop::sample::select(&["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "X"][..]),
        target in target(),
        headers in headers(),
        inside in any::<bool>(),
    ) {
        let gateway = gateway();
        let arrival = Arrival {
            listener: "127.0.0.1:8080".to_owned(),
            scheme: Scheme::Http,
            serve: Serve::ALL,
            port: Some(8080),
            peer: Some(if inside { [10, 0, 0, 1].into() } else { [192, 0, 2, 1].into() }),
            trusted: false,
            redirect_https: None,
            acme_webroot: Some("/var/www/acme".into()),
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::from_bytes(method.as_bytes()).unwrap();
        for (name, value) in &headers {
            parts.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let Ok(inbound) = Inbound::read(&parts, &target, &arrival, &gateway.limits.head) else { return Ok(()) };
        let read = match inbound.query { Some(query) => format!("{}?{query}", inbound.path), None => inbound.path.to_owned() };
        prop_assert_eq!(read.as_bytes(), &target[..]);
        let decision = gateway.decide(&inbound, gateway.synapse(Release::NEWEST));
        if let Action::Forward(forward) = &decision.action
            && matches!(forward.destination, Destination::Role { .. })
        {
            let admin = inbound.path.starts_with("/_synapse/admin/");
            let mas = inbound.path.starts_with("/_synapse/mas/");
            let open = inbound.path.starts_with("/_matrix/") || inbound.path.starts_with("/_synapse/client/");
            prop_assert!(open || ((admin || mas) && inside), "{}", inbound.path);
            prop_assert!(!Mas::serves(inbound.path), "{}", inbound.path);
            prop_assert_eq!(forward.skip, 0);
            prop_assert!(inbound.content_length.is_none_or(|length| length <= forward.body_limit));
            prop_assert!(!inbound.path.contains("msc3886/rendezvous"), "{}", inbound.path);
        }
        if let Action::Forward(forward) = &decision.action
            && let Destination::Fixed(upstream) = forward.destination
        {
            let (services, skip) = match gateway.upstreams.name(upstream) {
                "mas" => (Mas::serves(inbound.path), 0),
                "jwt_service" => (inbound.path.starts_with("/livekit/jwt/"), "/livekit/jwt".len()),
                "sfu" => (inbound.path.starts_with("/livekit/sfu/"), "/livekit/sfu".len()),
                _ => (!inbound.path.starts_with("/_synapse/mas/") && !inbound.path.starts_with("/_matrix/"), 0),
            };
            prop_assert!(services, "{}", inbound.path);
            prop_assert_eq!(forward.skip, skip);
        }
        prop_assert_eq!(decision.client.address, arrival.peer.unwrap());
    }
}
