//! The services of MatrixRTC: the one that lets users into calls, and LiveKit's.

use serde_json::json;

use crate::support::asked::{over_h1, over_h2};
use crate::support::gateway::Gateway;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::port::Port;
use crate::support::switching::{HANDSHAKE, Switching};
use crate::support::upstream::{Request, Upstream, fine};

const GET_TOKEN: &str = "/livekit/jwt/sfu/get";

/// An answer of lk-jwt-service, with the CORS fields that it sends.
const TOKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
                     Access-Control-Allow-Methods: POST\r\n\
                     Access-Control-Allow-Headers: Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token\r\n\
                     Content-Length: 13\r\n\r\n{\"jwt\":\"a.b\"}";

fn services(jwt_service: &Upstream, sfu: &Upstream) -> String {
    format!("matrix_rtc: {{jwt_service: 'http://{}/', sfu: 'http://{}/'}}\n", jwt_service.address(), sfu.address())
}

#[test]
fn a_request_for_a_token_reaches_the_service_without_the_prefix() {
    let (synapse, jwt, sfu) = (Upstream::answering(fine()), Upstream::answering(TOKEN), Upstream::answering(fine()));
    let gateway = Gateway::before(&synapse, &services(&jwt, &sfu));
    let body = r#"{"room":"!a:b","openid_token":{"access_token":"s3cret"}}"#;
    let fields = [("Content-Type", "application/json"), ("Origin", "https://call.example")];
    for told in [
        over_h1(&mut gateway.client(), "POST", "/livekit/jwt/sfu/get?a=%2F", &fields, body),
        over_h2(&mut gateway.h2(), "POST", "/livekit/jwt/sfu/get?a=%2F", &fields, body),
    ] {
        assert_eq!((told.status, told.text()), (200, r#"{"jwt":"a.b"}"#));
        // Its own fields stand as they are, each once.
        assert_eq!(told.one("access-control-allow-origin"), Some("*"));
        assert_eq!(told.one("access-control-allow-methods"), Some("POST"));
    }
    for request in jwt.requests() {
        assert_eq!((request.method(), request.target()), ("POST", "/sfu/get?a=%2F"));
        assert_eq!(request.body.bytes, body.as_bytes());
        assert_eq!(request.head.one("x-forwarded-for"), Some("127.0.0.1"));
    }
    assert_eq!((jwt.requests().len(), synapse.seen().accepted, sfu.seen().accepted), (2, 0, 0));
    let entry = gateway.log_where(|entry| entry["class"] == "matrix_rtc");
    assert_eq!(entry["upstream"], "jwt_service");
}

#[test]
fn a_browser_may_ask_for_a_token_and_learns_why_it_gets_none() {
    let synapse = Upstream::answering(fine());
    let port = Port::reserve();
    let gone = port.address();
    let gateway = Gateway::before(&synapse, &format!("matrix_rtc: {{jwt_service: 'http://{gone}'}}\n"));
    let asks = [
        ("Origin", "https://call.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    for preflight in [
        over_h1(&mut gateway.client(), "OPTIONS", GET_TOKEN, &asks, ""),
        over_h2(&mut gateway.h2(), "OPTIONS", GET_TOKEN, &asks, ""),
    ] {
        assert_eq!(preflight.status, 204);
        preflight.is_readable_for_pages();
        assert!(preflight.one("access-control-allow-headers").unwrap().contains("Content-Type"));
    }
    let told = over_h1(&mut gateway.client(), "POST", GET_TOKEN, &asks[..1], "{}");
    told.is_error(503, "M_UNKNOWN", "upstream_refused");
}

#[test]
fn a_preflight_is_left_to_the_service_where_cors_is() {
    let preflighted = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n";
    let (synapse, sfu) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let jwt = Upstream::answering(preflighted);
    let gateway = Gateway::before(&synapse, &format!("{}cors: {{manage: false}}\n", services(&jwt, &sfu)));
    let told = over_h1(&mut gateway.client(), "OPTIONS", GET_TOKEN, &[("Origin", "https://a")], "");
    assert_eq!((told.status, told.one("access-control-allow-origin")), (200, Some("*")));
    assert_eq!((jwt.only_request().method(), jwt.only_request().target()), ("OPTIONS", "/sfu/get"));
}

#[test]
fn a_websocket_reaches_the_sfu_and_passes_both_ways() {
    let (synapse, jwt) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let switching = Switching::new(|peer| {
        while let Ok(body) = peer.bytes(5) {
            let _ = peer.send(body.bytes.iter().rev().copied().collect::<Vec<_>>());
        }
    });
    let gateway = Gateway::before(&synapse, &format!("{}{METRICS}", services(&jwt, &switching.upstream)));
    let target = "/livekit/sfu/rtc/v1?access_token=s3cret&join_request=a%2Fb";
    for mut client in [gateway.client(), gateway.tls_client()] {
        let response = switching.upgrade(&gateway, &mut client, target);
        assert_eq!((response.status(), response.one("upgrade")), (101, Some("websocket")));
        assert_eq!(client.send(b"hello").bytes(5), b"olleh");
        assert_eq!(client.send(b"again").bytes(5), b"niaga");
    }
    let seen = switching.upstream.wait(|seen| seen.ended == 2).requests;
    for request in &seen {
        assert_eq!(request.target(), "/rtc/v1?access_token=s3cret&join_request=a%2Fb");
        assert_eq!(request.head.one("x-forwarded-for"), Some("127.0.0.1"));
    }
    let entry = gateway.log_where(|entry| entry["status"] == 101);
    assert_eq!((&entry["class"], &entry["upstream"]), (&"matrix_rtc".into(), &"sfu".into()));
    assert!(!gateway.lines().join("\n").contains("s3cret"));
    let counted = Metrics::of(&gateway).read();
    let of_calls = |series: &&String| series.starts_with("requests_total{") && series.contains("matrix_rtc");
    assert!(counted.keys().any(|series| of_calls(&series)), "{counted:#?}");
}

#[test]
fn what_is_not_a_websocket_reaches_the_sfu_as_well() {
    let (synapse, jwt, sfu) = (Upstream::answering(fine()), Upstream::answering(fine()), Upstream::answering(fine()));
    let gateway = Gateway::before(&synapse, &services(&jwt, &sfu));
    assert_eq!(gateway.client().get("/livekit/sfu/rtc/validate?access_token=x").status(), 200);
    assert_eq!(gateway.h2().get("/livekit/sfu/").status.as_u16(), 200);
    let requests = sfu.requests();
    let targets: Vec<&str> = requests.iter().map(Request::target).collect();
    assert_eq!(targets, ["/rtc/validate?access_token=x", "/"]);
    // The service that hands out tokens has no WebSocket: an upgrade ends here.
    assert_eq!(gateway.client().ask(format!("GET /livekit/jwt/x {HANDSHAKE}")).status(), 200);
    assert_eq!(jwt.only_request().head.one("upgrade"), None);
}

#[test]
fn clients_are_told_where_calls_are_and_the_paths_are_only_taken_then() {
    let (synapse, jwt, sfu) = (Upstream::answering(fine()), Upstream::answering(fine()), Upstream::answering(fine()));
    let with = Gateway::before(&synapse, &services(&jwt, &sfu));
    let document = with.client().get("/.well-known/matrix/client").json();
    let foci = json!([{"type": "livekit", "livekit_service_url": "https://matrix.example.com/livekit/jwt"}]);
    assert_eq!(document["org.matrix.msc4143.rtc_foci"], foci);
    let without = Gateway::before(&synapse, "");
    assert_eq!(without.client().get("/.well-known/matrix/client").json().as_object().unwrap().len(), 1);
    assert_eq!(without.client().get("/livekit/sfu/rtc").status(), 404);
    assert_eq!(with.client().get("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports").status(), 200);
    assert_eq!(synapse.requests().len(), 1, "what Synapse says of calls is Synapse's");
}
