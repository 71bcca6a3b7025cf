//! Routes of the operator's own, and protocols that they switch to.

use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::switching::{HANDSHAKE, SWITCHED, Switching};
use crate::support::upstream::{Request, Upstream, fine};

fn route(upstream: &Upstream, more: &str) -> String {
    format!("extra_routes: [{{path: /app/, proxy: 'http://{}', {more}}}]", upstream.address())
}

#[test]
fn a_websocket_passes_where_a_route_lets_it() {
    let switching = Switching::new(|peer| {
        while let Ok(body) = peer.bytes(5) {
            let _ = peer.send(body.bytes);
        }
    });
    let gateway = Gateway::before(&switching.upstream, &route(&switching.upstream, "websocket: true"));
    for mut client in [gateway.client(), gateway.tls_client()] {
        let response = switching.upgrade(&gateway, &mut client, "/app/socket");
        assert_eq!((response.status(), response.one("upgrade")), (101, Some("websocket")));
        assert_eq!(response.one("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for message in [b"hello", b"again"] {
            assert_eq!(client.send(message).bytes(5), message);
        }
    }
    // The connections that are upgraded end with their clients'; the one that was used meanwhile is kept.
    switching.upstream.wait(|seen| seen.ended == 2);
}

#[test]
fn the_end_of_a_websocket_at_the_upstream_reaches_the_client() {
    let switching = Switching::new(|peer| {
        let _ = peer.send("bye!!");
    });
    let gateway = Gateway::before(&switching.upstream, &route(&switching.upstream, "websocket: true"));
    let mut client = gateway.client();
    assert_eq!(switching.upgrade(&gateway, &mut client, "/app/socket").status(), 101);
    assert_eq!(client.bytes(5), b"bye!!");
    client.closed();
}

#[test]
fn an_upgrade_goes_no_further_than_the_gateway_elsewhere() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, &route(&upstream, ""));
    for target in ["/app/socket", "/_matrix/client/versions"] {
        let mut client = gateway.client();
        assert_eq!(client.ask(format!("GET {target} {HANDSHAKE}")).status(), 200, "{target}");
        assert_eq!(client.ask(get(target)).status(), 200, "{target}: the connection goes on");
    }
    let h2c = "GET /_matrix/client/versions HTTP/1.1\r\nHost: matrix.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\n\
               Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(gateway.client().ask(h2c).status(), 200);
    for request in upstream.requests() {
        assert_eq!((request.head.one("upgrade"), request.head.one("http2-settings")), (None, None), "{request:?}");
    }
}

#[test]
fn an_answer_of_101_that_nobody_asked_for_does_not_reach_the_client() {
    let upstream = Upstream::answering(SWITCHED);
    let gateway = Gateway::before(&upstream, "");
    assert_eq!(gateway.client().get("/_matrix/client/versions").status(), 502);
}

#[test]
fn a_route_takes_its_path_off_where_it_is_told_to() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, &route(&upstream, "strip_prefix: true"));
    let mut client = gateway.client();
    let targets = ["/app/", "/app/?a=b", "/app/x%2Fy//z?c", "/app//x"];
    for target in targets {
        assert_eq!(client.get(target).status(), 200, "{target}");
    }
    let requests = upstream.requests();
    let seen: Vec<&str> = requests.iter().map(Request::target).collect();
    assert_eq!(seen, ["/", "/?a=b", "/x%2Fy//z?c", "//x"]);
}

#[test]
fn a_route_to_another_upstream_keeps_its_target_and_leaves_synapse_alone() {
    let (synapse, app) = (Upstream::answering(fine()), Upstream::answering(fine()));
    let gateway = Gateway::before(&synapse, &route(&app, ""));
    let response = gateway.client().get("/app/x?y");
    assert_eq!((response.status(), app.only_request().target()), (200, "/app/x?y"));
    assert_eq!(response.one("access-control-allow-origin"), None, "Matrix's CORS headers are Matrix's");
    assert_eq!(synapse.seen().accepted, 0);
    assert_eq!(app.only_request().head.one("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_route_answers_with_a_text_of_its_own() {
    let upstream = Upstream::answering(fine());
    let robots = "extra_routes: [{path: /robots.txt, respond: {body: \"User-agent: *\\nDisallow: /\\n\"}}]";
    let gateway = Gateway::before(&upstream, robots);
    let response = gateway.client().get("/robots.txt");
    assert_eq!((response.status(), response.text()), (200, "User-agent: *\nDisallow: /\n"));
    assert_eq!(response.one("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(gateway.h2().get("/robots.txt").body, response.body);
    assert_eq!(upstream.seen().accepted, 0);
}

#[test]
fn a_route_redirects_with_the_rest_of_the_path_and_the_query() {
    let upstream = Upstream::answering(fine());
    let docs = "extra_routes: [{path: /docs/, redirect: 'https://docs.example.com/v1/'}]";
    let gateway = Gateway::before(&upstream, docs);
    let mut client = gateway.client();
    let response = client.get("/docs/a%20b?c=d");
    assert_eq!((response.status(), response.one("location")), (301, Some("https://docs.example.com/v1/a%20b?c=d")));
    let refused = client.ask("POST /docs/x HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!((refused.status(), &refused.json()["errcode"]), (403, &"M_FORBIDDEN".into()));
    assert_eq!(client.get("/docs/").one("location"), Some("https://docs.example.com/v1/"), "the connection goes on");
}
