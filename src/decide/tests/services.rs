//! What stands beside Synapse: Matrix Authentication Service, and the services that calls need.

use super::*;
use crate::routing::{MasSection, MatrixRtcSection};

/// A gateway with all services, and with a generic worker of Synapse.
fn gateway_beside() -> Gateway {
    let mut problems = Problems::default();
    let mut gateway = gateway();
    let upstreams: UpstreamsSection = serde_yaml::from_str("{generic1: {address: '127.0.0.1:8083'}}").unwrap();
    gateway.upstreams = upstreams.build(&mut problems).unwrap();
    let mas: MasSection = serde_yaml::from_str("{endpoint: 'http://127.0.0.1:8080/'}").unwrap();
    gateway.mas = mas.build(|address| gateway.upstreams.add_service("mas", address), &mut problems);
    let services = "{jwt_service: 'http://127.0.0.1:8081', sfu: 'http://127.0.0.1:7880'}";
    let services: MatrixRtcSection = serde_yaml::from_str(services).unwrap();
    gateway.matrix_rtc =
        services.build(|name, address| gateway.upstreams.add_service(name, address), &mut problems).unwrap();
    assert_eq!(problems.as_slice(), []);
    gateway
}

fn inside() -> Arrival {
    Arrival { peer: Some([127, 0, 0, 1].into()), ..arrival() }
}

#[test]
fn log_ins_go_to_mas_and_all_else_to_synapse() {
    let gateway = gateway_beside();
    let check =
        |request: &str, expected: &str| assert_eq!(told_by(&gateway, &arrival(), request), expected, "{request}");
    for version in ["v3", "r0", "unstable", "api/v1"] {
        check(&format!("POST a /_matrix/client/{version}/login"), "mas mas mas skip 0");
        check(&format!("GET a /_matrix/client/{version}/login/sso/redirect?x=%2F"), "mas mas mas skip 0");
        check(&format!("POST a /_matrix/client/{version}/logout/all"), "mas mas mas skip 0");
        check(&format!("POST a /_matrix/client/{version}/refresh"), "mas mas mas skip 0");
    }
    check("OPTIONS a /_matrix/client/v3/login", "preflight mas 204");
    check("POST a /_matrix/client/v3/login 1073741824", "mas mas 413 M_TOO_LARGE");
    check("GET a /_matrix/client/v3/account/whoami", "synapse client generic1 skip 0");
    check("POST a /_matrix/client/v1/login/get_token", "synapse client main skip 0");
    let federation = Arrival { serve: Serve { client: false, ..Serve::ALL }, ..arrival() };
    let login = "POST a /_matrix/client/v3/login";
    assert_eq!(told_by(&gateway, &federation, login), "default unknown 404 M_UNRECOGNIZED");
    check_without("POST a /_matrix/client/v3/login", "synapse client main skip 0");
}

#[test]
fn workers_are_sent_what_they_serve_beside_mas() {
    let gateway = gateway_beside();
    let check =
        |request: &str, expected: &str| assert_eq!(told_by(&gateway, &arrival(), request), expected, "{request}");
    check("GET a /_matrix/client/v1/auth_metadata", "synapse client generic1 skip 0");
    check("POST a /_matrix/client/v3/account/deactivate", "synapse client main skip 0");
    let without = Gateway { mas: None, ..gateway_beside() };
    let told = |request: &str| told_by(&without, &arrival(), request);
    assert_eq!(told("GET a /_matrix/client/v1/auth_metadata"), "synapse client main skip 0");
    assert_eq!(told("POST a /_matrix/client/v3/account/deactivate"), "synapse client generic1 skip 0");
}

#[test]
fn what_mas_asks_of_synapse_is_for_its_networks_and_listeners() {
    let gateway = gateway_beside();
    let ask = "POST a /_synapse/mas/provision_user";
    assert_eq!(told_by(&gateway, &inside(), ask), "mas mas generic1 skip 0");
    assert_eq!(told_by(&gateway, &arrival(), ask), "mas mas 403 M_FORBIDDEN");
    let elsewhere = Arrival { serve: Serve { admin: false, ..Serve::ALL }, ..inside() };
    assert_eq!(told_by(&gateway, &elsewhere, ask), "default unknown 404 M_UNRECOGNIZED");
    for path in ["/_synapse/%6das/x", "/_synapse/mas%2Fx", "/_synapse/Mas/x", "//_synapse/mas/x", "/_synapse/mas"] {
        let request = format!("POST a {path}");
        assert_eq!(told_by(&gateway, &inside(), &request), "default unknown 404 M_UNRECOGNIZED", "{path}");
    }
    let old = Gateway { release: Some(Release::new(1, 162)), ..gateway_beside() };
    assert_eq!(told_by(&old, &inside(), ask), "mas mas main skip 0");
    check_without(ask, "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn calls_reach_their_services_without_the_prefix() {
    let gateway = gateway_beside();
    let check =
        |request: &str, expected: &str| assert_eq!(told_by(&gateway, &arrival(), request), expected, "{request}");
    check("POST a /livekit/jwt/sfu/get", "matrix_rtc matrix_rtc jwt_service skip 12");
    check("GET a /livekit/sfu/rtc?access_token=x", "matrix_rtc matrix_rtc sfu skip 12");
    check("OPTIONS a /livekit/jwt/get_token", "preflight matrix_rtc 204");
    check("GET a /livekit/jwt", "default unknown 404 M_UNRECOGNIZED");
    check("GET a /livekit/other/x", "default unknown 404 M_UNRECOGNIZED");
    check("GET element.example.com /livekit/sfu/rtc", "matrix_rtc matrix_rtc sfu skip 12");
    let federation = Arrival { serve: Serve { client: false, ..Serve::ALL }, ..arrival() };
    assert_eq!(told_by(&gateway, &federation, "GET a /livekit/sfu/rtc"), "default unknown 404 M_UNRECOGNIZED");
    check_without("GET a /livekit/sfu/rtc", "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn only_the_sfu_takes_websockets_and_they_may_be_silent_for_long() {
    let gateway = gateway_beside();
    let forwarded = |target: &[u8]| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers.insert(HOST, HeaderValue::from_static("a"));
        parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let arrival = arrival();
        let inbound = Inbound::read(&parts, target, &arrival, &gateway.limits.head).unwrap();
        let decision = gateway.decide(&inbound, gateway.synapse(Release::NEWEST));
        let Action::Forward(forward) = decision.action else { panic!("not forwarded") };
        (forward.websocket, forward.silence, forward.matrix)
    };
    assert_eq!(forwarded(b"/livekit/sfu/rtc"), (true, gateway.timeouts.websocket_idle, false));
    assert_eq!(forwarded(b"/livekit/jwt/get_token"), (false, gateway.timeouts.first_byte, false));
    assert_eq!(forwarded(b"/_matrix/client/v3/login"), (false, gateway.timeouts.first_byte, true));
}

/// As [`told`], from where MAS would ask.
#[track_caller]
fn check_without(request: &str, expected: &str) {
    assert_eq!(told(&inside(), request), expected, "{request}");
}
