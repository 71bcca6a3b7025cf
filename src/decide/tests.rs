mod services;

use http::header::{HOST, LOCATION};
use http::{HeaderValue, Method, Request};

use super::*;
use crate::errors::ErrorsSection;
use crate::headers::{CorsSection, ForwardingSection};
use crate::inbound::fixture::arrival;
use crate::inbound::{Arrival, Serve};
use crate::limits::{LimitsSection, TimeoutsSection};
use crate::problem::Problems;
use crate::quantity::Span;
use crate::rendezvous::RendezvousSection;
use crate::reply::Body;
use crate::routing::{AdminApiSection, ExtraRouteSection, Release};
use crate::upstream::{HealthSection, QueueSection, UpstreamsSection};
use crate::well_known::{Announced, WellKnownSection};

fn gateway() -> Gateway {
    gateway_with("{enabled: true}")
}

fn gateway_with(rendezvous: &str) -> Gateway {
    let mut problems = Problems::default();
    let mut upstreams = UpstreamsSection::default().build(&mut problems).unwrap();
    let extra: Vec<ExtraRouteSection> = serde_yaml::from_str(
        "[{path: /app/, proxy: 'http://127.0.0.1:9000', strip_prefix: true, websocket: true},
          {path: /old/, redirect: 'https://new.example/'},
          {host: element.example.com, path: /, proxy: 'http://127.0.0.1:9001'},
          {path: /robots.txt, respond: {body: hello}}]",
    )
    .unwrap();
    let add = |name, address| upstreams.add(name, address);
    let extra_routes = ExtraRouteSection::build(extra, &ExtraRoutes::default(), add, &mut problems);
    let forwarding = ForwardingSection::default().build(&mut problems).unwrap();
    let admin: AdminApiSection =
        serde_yaml::from_str("{enabled: true, networks: [10.0.0.0/8], read_only: true}").unwrap();
    let rendezvous: RendezvousSection = serde_yaml::from_str(rendezvous).unwrap();
    let well_known: WellKnownSection =
        serde_yaml::from_str("{base_domain: {serve: true, redirect: 'https://www.example.com'}}").unwrap();
    let built = Gateway {
        admin_api: admin.build(&mut problems).unwrap(),
        cors: CorsSection::default().build(forwarding.request_id(), &mut problems).unwrap(),
        endpoints: Table::default(),
        errors: ErrorsSection::default().build(),
        extra_routes,
        forwarding,
        health: HealthSection::default().build(&mut problems).unwrap(),
        limits: LimitsSection::default().build(&mut problems).unwrap(),
        mas: None,
        matrix_rtc: ExtraRoutes::default(),
        queue: QueueSection::default().build(Span(Duration::ZERO), &mut problems).unwrap(),
        release: None,
        rendezvous: rendezvous.build(Some("https://matrix.example.com/"), &mut problems).unwrap(),
        server_name: Some("example.com".to_owned()),
        timeouts: TimeoutsSection::default().build(&mut problems).unwrap(),
        upstreams,
        well_known: well_known
            .build(Some("example.com"), Some("https://matrix.example.com/"), Announced::default(), &mut problems)
            .unwrap(),
    };
    assert_eq!(problems.as_slice(), []);
    built
}

/// `method host target`, decided on and told in one line.
fn told(arrival: &Arrival, request: &str) -> String {
    told_by(&gateway(), arrival, request)
}

fn told_by(gateway: &Gateway, arrival: &Arrival, request: &str) -> String {
    let mut words = request.split(' ');
    let method: Method = words.next().unwrap().parse().unwrap();
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.headers.insert(HOST, HeaderValue::from_str(words.next().unwrap()).unwrap());
    let target = words.next().unwrap();
    if let Some(length) = words.next() {
        parts.headers.insert("content-length", HeaderValue::from_str(length).unwrap());
    }
    let inbound = Inbound::read(&parts, target.as_bytes(), arrival, &gateway.limits.head).unwrap();
    let decision = gateway.decide(&inbound, gateway.synapse(Release::NEWEST));
    let action = match decision.action {
        Action::Forward(forward) => format!(
            "{} skip {}",
            gateway.upstreams.name(gateway.choice(forward.destination).unwrap().upstream),
            forward.skip
        ),
        Action::Reply(reply) => {
            let location = reply.headers.iter().find(|(name, _)| *name == LOCATION);
            let detail = match (&reply.body, location) {
                (Body::Error(error), _) => error.errcode.as_str().to_owned(),
                (_, Some((_, location))) => location.to_str().unwrap().to_owned(),
                (Body::Empty | Body::Full(_), None) => String::new(),
            };
            format!("{} {detail}", reply.status.as_u16())
        }
        Action::Rendezvous(_) => "store".to_owned(),
        Action::AcmeChallenge { token, .. } => format!("file {token}"),
        Action::Ready => "ready".to_owned(),
    };
    format!("{} {} {action}", decision.rule.as_str(), decision.class.as_str()).trim_end().to_owned()
}

#[track_caller]
fn check(request: &str, expected: &str) {
    assert_eq!(told(&arrival(), request), expected, "{request}");
}

#[test]
fn matrix_is_forwarded_as_it_came() {
    check("GET matrix.example.com /_matrix/client/v3/sync?since=s", "synapse long_poll main skip 0");
    check("GET example.com /_matrix/federation/v1/version", "synapse federation main skip 0");
    check("PUT anything:8448 /_matrix/client/v3/rooms/%21a:b/send/m/1", "synapse client main skip 0");
    check("GET a /_synapse/client/pick_idp", "synapse client main skip 0");
}

#[test]
fn nothing_else_reaches_synapse() {
    for path in ["/", "/_synapse/mas/api", "/_synapse/%61dmin/v1/x", "/_synapse/metrics", "/_synapse/replication/a/b"] {
        check(&format!("GET a {path}"), "default unknown 404 M_UNRECOGNIZED");
    }
}

#[test]
fn the_admin_api_is_for_its_networks_and_methods() {
    check("GET a /_synapse/admin/v1/server_version", "admin_api admin 403 M_FORBIDDEN");
    let inside = Arrival { peer: Some([10, 0, 0, 1].into()), ..arrival() };
    assert_eq!(told(&inside, "GET a /_synapse/admin/v1/server_version"), "admin_api admin main skip 0");
    assert_eq!(told(&inside, "POST a /_synapse/admin/v1/register"), "admin_api admin 403 M_FORBIDDEN");
    let elsewhere = Arrival { serve: Serve { admin: false, ..Serve::ALL }, ..inside };
    assert_eq!(told(&elsewhere, "GET a /_synapse/admin/v1/server_version"), "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn a_federation_listener_serves_other_servers_only() {
    let federation =
        Arrival { serve: Serve { client: false, federation: true, well_known: false, admin: false }, ..arrival() };
    let check = |request: &str, expected: &str| assert_eq!(told(&federation, request), expected, "{request}");
    check("GET a /_matrix/federation/v1/version", "synapse federation main skip 0");
    check("GET a /_matrix/key/v2/server", "synapse federation main skip 0");
    check("GET a /_matrix/media/v3/download/a/b", "synapse download main skip 0");
    check("GET a /_matrix/client/versions", "default unknown 404 M_UNRECOGNIZED");
    check("POST a /_synapse/client/org.matrix.msc3886/rendezvous", "default unknown 404 M_UNRECOGNIZED");
    check("GET a /.well-known/matrix/server", "default unknown 404 M_UNRECOGNIZED");
    check("GET element.example.com /index.html", "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn preflights_end_here() {
    check("OPTIONS a /_matrix/client/v3/whatever", "preflight client 204");
    check("OPTIONS a /.well-known/matrix/client", "preflight well_known 204");
    check("OPTIONS a /_synapse/client/org.matrix.msc3886/rendezvous", "preflight rendezvous 204");
    check("OPTIONS a /elsewhere", "preflight unknown 204");
    check("OPTIONS a /_synapse/mas/x", "preflight unknown 204");
    check("OPTIONS a /app/x", "extra_route extra /app/ skip 4");
}

#[test]
fn a_preflight_of_a_request_that_is_too_large_is_answered() {
    let gateway = gateway();
    let status = |method: Method, refusal| gateway.refuse(&method, refusal).status.as_u16();
    assert_eq!(status(Method::OPTIONS, Refusal::TargetTooLong), 204);
    assert_eq!(status(Method::OPTIONS, Refusal::HeadersTooLarge), 204);
    assert_eq!(status(Method::OPTIONS, Refusal::HostForm), 400);
    assert_eq!(status(Method::GET, Refusal::TargetTooLong), 414);
}

#[test]
fn rendezvous_shadows_synapse() {
    check("POST a /_synapse/client/org.matrix.msc3886/rendezvous", "rendezvous rendezvous store");
    check("POST a /_matrix/client/unstable/org.matrix.msc3886/rendezvous", "rendezvous rendezvous store");
    check("GET a /_synapse/client/org.matrix.msc3886/rendezvous/nonsense", "rendezvous rendezvous 404 M_NOT_FOUND");
    check("GET a /_synapse/client/rendezvous/nonsense", "rendezvous rendezvous 404 M_NOT_FOUND");
    check("DELETE a /_synapse/client/rendezvous/00000000000000000000000000000000", "rendezvous rendezvous store");
}

#[test]
fn rendezvous_that_synapse_serves_goes_to_one_process() {
    let gateway = gateway_with("{enabled: true, msc4108: {serve: upstream}}");
    let check = |request: &str, expected: &str| assert_eq!(told_by(&gateway, &arrival(), request), expected);
    let forwarded = "rendezvous rendezvous main skip 0";
    check("POST a /_matrix/client/unstable/org.matrix.msc4108/rendezvous", forwarded);
    check("PUT a /_synapse/client/rendezvous/01M7", forwarded);
    check("OPTIONS a /_synapse/client/rendezvous/01M7", "preflight rendezvous 204");
    let length = 1 << 30;
    let large = format!("PUT a /_synapse/client/rendezvous/01M7 {length}");
    check(&large, "rendezvous rendezvous 413 M_TOO_LARGE");
}

#[test]
fn a_base_domain_is_redirected_but_for_matrix() {
    check("GET example.com /", "well_known well_known 302 https://www.example.com/");
    check("GET example.com /.well-known/matrix/server", "well_known well_known 200");
    check("GET example.com /_matrix/client/versions", "synapse client main skip 0");
    check("GET matrix.example.com /", "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn extra_routes_take_what_is_left() {
    check("GET a /app/x/y?z", "extra_route extra /app/ skip 4");
    check("GET a /app", "default unknown 404 M_UNRECOGNIZED");
    check("GET a /old/x?y=1", "extra_route extra 301 https://new.example/x?y=1");
    check("POST a /old/x", "extra_route extra 403 M_FORBIDDEN");
    check("GET Element.Example.com:443 /index.html", "extra_route extra / skip 0");
    check("GET a /robots.txt", "extra_route extra 200");
    check("GET a /robots.txt/x", "default unknown 404 M_UNRECOGNIZED");
}

#[test]
fn plain_http_is_redirected_where_nothing_gets_lost() {
    let plain = Arrival {
        scheme: Scheme::Http,
        redirect_https: Some(443),
        acme_webroot: Some("/var/www/acme".into()),
        ..arrival()
    };
    let check = |request: &str, expected: &str| assert_eq!(told(&plain, request), expected, "{request}");
    let location = "redirect_https service 301 https://a/_matrix/%2F?x=%2F";
    check("GET a:80 /_matrix/%2F?x=%2F", location);
    check("POST a /_matrix/client/v3/login", "redirect_https service 403 M_FORBIDDEN");
    check("GET a /.well-known/acme-challenge/tok-en_1", "acme_challenge service file tok-en_1");
    check("GET a /.well-known/acme-challenge/../x", "acme_challenge service 404 M_UNRECOGNIZED");
    check("GET a /health", "health service 200");
    let odd = Arrival { redirect_https: Some(8443), ..plain };
    assert_eq!(told(&odd, "GET a:80 /"), "redirect_https service 301 https://a:8443/");
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    check("POST a /_matrix/media/v3/upload 52428800", "synapse upload main skip 0");
    check("POST a /_matrix/media/v3/upload 52428801", "synapse upload 413 M_TOO_LARGE");
}

#[test]
fn a_long_poll_has_the_budget_that_the_client_asks_for() {
    let gateway = gateway();
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers.insert(HOST, HeaderValue::from_static("a"));
    let arrival = arrival();
    let target = b"/_matrix/client/v3/sync?since=s1&timeout=120000";
    let inbound = Inbound::read(&parts, target, &arrival, &gateway.limits.head).unwrap();
    let Action::Forward(forward) = gateway.decide(&inbound, gateway.synapse(Release::NEWEST)).action else {
        panic!("not forwarded")
    };
    assert_eq!(forward.silence, Duration::from_mins(3));
}

#[test]
fn the_answer_that_names_the_features_is_added_to_and_no_other() {
    let marked = |gateway: &Gateway, target: &[u8]| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers.insert(HOST, HeaderValue::from_static("a"));
        let arrival = arrival();
        let inbound = Inbound::read(&parts, target, &arrival, &gateway.limits.head).unwrap();
        let Action::Forward(forward) = gateway.decide(&inbound, gateway.synapse(Release::NEWEST)).action else {
            panic!("not forwarded")
        };
        forward.advertise
    };
    let (silent, telling) = (gateway(), gateway_with("{enabled: true, advertise: true}"));
    assert!(marked(&telling, b"/_matrix/client/versions") && marked(&telling, b"/_matrix/client/versions?x"));
    assert!(!marked(&silent, b"/_matrix/client/versions"));
    for other in [&b"/_matrix/client/versions/"[..], b"/_matrix/client/v3/login", b"/app/x"] {
        assert!(!marked(&telling, other));
    }
}
