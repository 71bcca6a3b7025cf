//! Log-ins by Matrix Authentication Service (MAS), and what it asks of Synapse.

use crate::support::asked::{over_h1, over_h2};
use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, preamble};
use crate::support::port::Port;
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer, fine};

const ASK: &str = "/_synapse/mas/query_user?localpart=a";
const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";

fn before(synapse: &Upstream, mas: &Upstream, more: &str) -> Gateway {
    Gateway::before(synapse, &format!("mas: {{endpoint: 'http://{}/'}}\n{more}", mas.address()))
}

#[test]
fn log_ins_reach_mas_byte_for_byte() {
    let (synapse, mas) = (Upstream::answering(fine()), Upstream::answering(answer("200 OK", r#"{"user_id":"@a:b"}"#)));
    let gateway = before(&synapse, &mas, "");
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    let fields =
        [("Authorization", "Bearer mct_secret"), ("X-Forwarded-For", "203.0.113.9"), ("Accept-Language", "de")];
    let asked = [
        ("POST", "/_matrix/client/v3/login?x=%2F&&y", r#"{"type": "m.login.password",  "x": "ä"}"#),
        ("POST", "/_matrix/client/r0/logout/all", "{}"),
        ("POST", "/_matrix/client/unstable/refresh", "{}"),
        ("GET", "/_matrix/client/v3/login/sso/redirect/%2Fidp//?redirectUrl=https%3A%2F%2Fa", ""),
    ];
    for (method, target, body) in asked {
        for told in
            [over_h1(&mut http1, method, target, &fields, body), over_h2(&mut http2, method, target, &fields, body)]
        {
            assert_eq!((told.status, told.text()), (200, r#"{"user_id":"@a:b"}"#), "{target}");
            told.is_readable_for_pages();
        }
    }
    let seen: Vec<_> = mas.requests();
    let expected = asked.iter().flat_map(|asked| [asked; 2]);
    assert_eq!(seen.len(), 2 * asked.len());
    for (request, (method, target, body)) in seen.iter().zip(expected) {
        assert_eq!((request.method(), request.target()), (*method, *target));
        assert_eq!(String::from_utf8_lossy(&request.body.bytes), *body);
        assert_eq!(request.head.one("authorization"), Some("Bearer mct_secret"));
        assert_eq!(request.head.one("accept-language"), Some("de"));
        assert_eq!(request.head.one("x-forwarded-for"), Some("127.0.0.1"), "what clients claim is replaced");
        assert!(matches!(request.head.one("x-forwarded-proto"), Some("http" | "https")));
        assert!(request.head.one("x-request-id").is_some());
        assert_eq!(request.head.one("host"), Some("matrix.example.com"));
    }
    assert_eq!(synapse.seen().accepted, 0);
    assert_eq!(http1.get("/_matrix/client/v3/account/whoami").text(), "{}", "all else is Synapse's");
    assert_eq!(synapse.requests().len(), 1);
    let entry = gateway.log_where(|entry| entry["method"] == "GET" && entry["upstream"] == "mas");
    assert_eq!(entry["class"], "mas");
    assert_eq!(entry["target"], "/_matrix/client/v3/login/sso/redirect/%2Fidp//?redirectUrl=<redacted>");
}

#[test]
fn the_cors_fields_of_mas_are_completed_and_not_doubled() {
    let synapse = Upstream::answering(fine());
    let mas = Upstream::answering(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
         Vary: origin\r\nContent-Length: 2\r\n\r\n{}",
    );
    let gateway = before(&synapse, &mas, "");
    let told = over_h1(&mut gateway.client(), "POST", "/_matrix/client/v3/login", &[("Origin", "https://a")], "{}");
    assert_eq!((told.status, told.one("vary")), (403, Some("origin")));
    told.is_readable_for_pages();
    let preflight =
        over_h1(&mut gateway.client(), "OPTIONS", "/_matrix/client/v3/login", &[("Origin", "https://a")], "");
    assert_eq!((preflight.status, mas.requests().len()), (204, 1), "it is answered here");
    preflight.is_readable_for_pages();
}

#[test]
fn without_mas_clients_are_told_so_and_synapse_goes_on() {
    let synapse = Upstream::answering(fine());
    let port = Port::reserve();
    let gone = port.address();
    let gateway = Gateway::before(&synapse, &format!("mas: {{endpoint: 'http://{gone}/'}}\n"));
    let mut http2 = gateway.h2();
    for target in ["/_matrix/client/v3/login", "/_matrix/client/v3/refresh"] {
        let told = over_h1(&mut gateway.client(), "POST", target, &[], "{}");
        told.is_error(503, "M_UNKNOWN", "upstream_refused");
        assert!(told.one("retry-after").is_some());
        over_h2(&mut http2, "POST", target, &[], "{}").is_error(503, "M_UNKNOWN", "upstream_refused");
    }
    let mut client = gateway.client();
    assert_eq!(client.get("/_matrix/client/versions").status(), 200);
    assert_eq!(client.get("/ready").status(), 200, "it is Synapse that /ready is about");
    let entry = gateway.log_where(|entry| entry["cause"] == "upstream_refused");
    assert_eq!((&entry["class"], &entry["upstream"]), (&"mas".into(), &"mas".into()));
}

#[test]
fn an_answer_of_mas_that_does_not_come_is_a_502() {
    let synapse = Upstream::answering(fine());
    let mas = Upstream::new(|_, _| Then::Close);
    let gateway = before(&synapse, &mas, "");
    let told = over_h1(&mut gateway.client(), "POST", "/_matrix/client/v3/login", &[], "{}");
    told.is_error(502, "M_UNKNOWN", "upstream_closed");
    assert_eq!(mas.requests().len(), 1, "a log-in is not sent twice");
}

#[test]
fn what_mas_asks_of_synapse_is_judged_by_the_clients_address() {
    let (synapse, mas) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let gateway = before(&synapse, &mas, "forwarding: {trusted_proxies: [127.0.0.0/8]}\n");
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    let secret = ("Authorization", "Bearer s3cret");
    for asked in [over_h1(&mut http1, "GET", ASK, &[secret], ""), over_h2(&mut http2, "GET", ASK, &[secret], "")] {
        assert_eq!(asked.status, 200);
    }
    assert_eq!(synapse.requests().len(), 2);
    assert_eq!(synapse.requests()[0].target(), ASK);
    let foreign = [secret, ("X-Forwarded-For", "203.0.113.9")];
    let forged = [secret, ("X-Forwarded-For", "127.0.0.1, 203.0.113.9")];
    for fields in [foreign, forged] {
        over_h1(&mut http1, "GET", ASK, &fields, "").is_error(403, "M_FORBIDDEN", "network_denied");
        over_h2(&mut http2, "POST", ASK, &fields, "{}").is_error(403, "M_FORBIDDEN", "network_denied");
    }
    assert_eq!((synapse.requests().len(), mas.seen().accepted), (2, 0));
    let entry = gateway.log_where(|entry| entry["status"] == 403);
    assert_eq!((&entry["class"], &entry["client"]), (&"mas".into(), &"203.0.113.9".into()));
    let shown = gateway.lines().join("\n");
    assert!(!shown.contains("s3cret") && !shown.contains("localpart"), "{shown}");
}

#[test]
fn no_other_spelling_and_no_other_listener_leads_there() {
    let (synapse, mas) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let listeners = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}, \
                     {address: '127.0.0.3:0', serve: [client, federation, well_known]}, \
                     {address: '127.0.0.4:0', serve: [admin]}]\n";
    let section = format!("mas: {{endpoint: 'http://{}'}}\n", mas.address());
    let gateway = Gateway::start(&format!("{}{listeners}{section}", preamble(&synapse.address())));
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    for target in [
        "/_synapse/%6das/query_user",
        "/_synapse/mas%2Fquery_user",
        "/_synapse%2Fmas/query_user",
        "/%5fsynapse/mas/query_user",
        "/_synapse/MAS/query_user",
        "/_synapse/./mas/query_user",
        "/_synapse//mas/query_user",
        "//_synapse/mas/query_user",
        "/_synapse/mas",
    ] {
        Told::from(http1.get(target)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
        Told::from(http2.get(target)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
    }
    let mut open = Client::tcp(gateway.address("127.0.0.3"));
    Told::from(open.get(ASK)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
    assert_eq!(open.ask(get("/_matrix/client/v3/login")).status(), 200);
    assert_eq!((synapse.seen().accepted, mas.requests().len()), (0, 1));
    assert_eq!(Client::tcp(gateway.address("127.0.0.4")).get(ASK).status(), 200);
    assert_eq!(synapse.only_request().target(), ASK);
}

#[test]
fn a_reload_hands_log_ins_over() {
    let (synapse, mas) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let gateway = Gateway::before(&synapse, "");
    let mut client = gateway.client();
    let login = "/_matrix/client/v3/login";
    assert_eq!((client.get(login).status(), client.get(ASK).status()), (200, 404));
    assert_eq!((synapse.requests().len(), mas.requests().len()), (1, 0));
    let section = format!("mas: {{endpoint: 'http://{}'}}\n", mas.address());
    gateway.configure(&format!("{}{LISTENERS}{section}", preamble(&synapse.address())));
    gateway.signal("HUP");
    gateway.line(|line| line == "the configuration was reloaded");
    assert_eq!((client.get(login).status(), client.get(ASK).status()), (200, 200));
    assert_eq!((synapse.requests().len(), mas.requests().len()), (2, 1));
}
