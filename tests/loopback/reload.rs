//! SIGHUP: another configuration, while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::certificates::{Kind, NAME, client_config, sign};
use crate::support::client::{Client, get, post};
use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, preamble};
use crate::support::h2;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, fine};

const VERSIONS: &str = "/_matrix/client/versions";
const UPLOAD: &str = "/_matrix/media/v3/upload";
const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";

/// Writes another configuration, has it read, and waits until it is in use.
fn reload(gateway: &Gateway, yaml: &str) {
    let before = reloads(gateway);
    gateway.configure(yaml);
    gateway.signal("HUP");
    gateway.wait_lines(|lines| (count(lines) > before).then_some(()));
}

fn reloads(gateway: &Gateway) -> usize {
    count(&gateway.lines())
}

fn count(lines: &[String]) -> usize {
    lines.iter().filter(|line| *line == "the configuration was reloaded").count()
}

/// Has a configuration read that cannot be used, and returns what is said about it.
fn refused(gateway: &Gateway, yaml: &str) -> String {
    gateway.configure(yaml);
    hang_up_in_vain(gateway)
}

/// Has the configuration read once more, in vain, and returns what is said about it: the lines before the verdict.
fn hang_up_in_vain(gateway: &Gateway) -> String {
    let before = gateway.lines().len();
    gateway.signal("HUP");
    gateway.wait_lines(|lines| {
        let verdict = "error: the configuration was not reloaded, the old one stays in use";
        let end = lines.iter().skip(before).position(|line| line == verdict)?;
        Some(lines[before..before + end].join("\n"))
    })
}

fn yaml(upstream: &Upstream, listeners: &str, more: &str) -> String {
    format!("{}{listeners}{more}", preamble(&upstream.address()))
}

#[test]
fn limits_and_routes_are_those_of_the_new_configuration() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "limits: {body: 2KiB}\n");
    let mut client = gateway.client();
    assert_eq!(client.ask(post(UPLOAD, 4096) + &"x".repeat(4096)).status(), 413);
    assert_eq!(client.get("/robots.txt").status(), 404);
    let more = "limits: {body: 8KiB}\nextra_routes: [{path: /robots.txt, respond: {body: 'Disallow: /'}}]\n";
    reload(&gateway, &yaml(&upstream, LISTENERS, more));
    // Connections stay; their next requests are decided on anew.
    assert_eq!(client.ask(post(UPLOAD, 4096) + &"x".repeat(4096)).status(), 200);
    assert_eq!(client.get("/robots.txt").text(), "Disallow: /");
    reload(&gateway, &yaml(&upstream, LISTENERS, ""));
    assert_eq!(client.get("/robots.txt").status(), 404);
}

#[test]
fn requests_go_to_the_new_upstream_and_those_in_flight_end_at_the_old() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let old = Upstream::new(move |_, peer| {
        waiting.wait();
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let new = Upstream::answering(fine());
    let gateway = Gateway::before(&old, "");
    let (mut http1, mut http2) = (gateway.client(), gateway.h2());
    http1.send(get(VERSIONS));
    let (answer, _) = http2.send(h2::get(VERSIONS), true);
    old.wait(|seen| seen.requests.len() == 2);
    reload(&gateway, &yaml(&new, LISTENERS, ""));
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
    assert_eq!(http2.get(VERSIONS).status, 200);
    assert_eq!((old.requests().len(), new.requests().len()), (2, 2));
    gate.open();
    assert_eq!(http1.response().status(), 200);
    assert_eq!(http2.answer(answer).unwrap().status, 200);
    // And their connections go on with the new one.
    assert_eq!(http1.get(VERSIONS).status(), 200);
    assert_eq!((old.requests().len(), new.requests().len()), (2, 3));
}

#[test]
fn no_request_is_lost_while_the_configuration_changes_again_and_again() {
    let upstream = Arc::new(Upstream::answering(fine()));
    let gateway = Gateway::before(&upstream, "");
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let busy = |mut ask: Box<dyn FnMut() -> u16 + Send + '_>| {
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(ask(), 200);
            sent.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let mut kept = gateway.client();
        let mut tls = gateway.tls_client();
        let mut http2 = gateway.h2();
        let asks: [Box<dyn FnMut() -> u16 + Send>; 5] = [
            Box::new(move || kept.get(VERSIONS).status()),
            Box::new(move || tls.get(VERSIONS).status()),
            Box::new(move || http2.get(VERSIONS).status.as_u16()),
            Box::new(|| gateway.client().get(VERSIONS).status()),
            Box::new(|| gateway.tls_client().get(VERSIONS).status()),
        ];
        let running: Vec<_> = asks.into_iter().map(|ask| scope.spawn(|| busy(ask))).collect();
        for round in 1..=20 {
            // A listener that comes and goes, beside those in use.
            let third = if round % 2 == 0 { "" } else { ", {address: '127.0.0.3:0'}" };
            let listeners =
                format!("listeners: [{{address: '127.0.0.1:0'}}, {{address: '127.0.0.2:0', tls: true}}{third}]\n");
            let more = format!("limits: {{body: {round}MiB}}\n");
            reload(&gateway, &yaml(&upstream, &listeners, &more));
        }
        stop.store(true, Ordering::Relaxed);
        for task in running {
            task.join().unwrap();
        }
    });
    assert!(sent.into_inner() > 20);
}

#[test]
fn an_added_listener_serves_and_a_removed_one_refuses() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut on_first = gateway.client();
    assert_eq!(on_first.get(VERSIONS).status(), 200);
    let first = gateway.address("127.0.0.1");
    let listeners = "listeners: [{address: '127.0.0.2:0', tls: true}, {address: '127.0.0.3:0', serve: [federation]}]\n";
    reload(&gateway, &yaml(&upstream, listeners, ""));
    gateway.line(|line| line == format!("no longer listening on {first}"));
    assert!(std::net::TcpStream::connect(first).is_err());
    let added = gateway.line(|line| line.starts_with("listening on 127.0.0.3:"));
    let added = added.strip_prefix("listening on ").unwrap().parse().unwrap();
    assert_eq!(Client::tcp(added).get("/_matrix/key/v2/server").status(), 200);
    assert_eq!(Client::tcp(added).get(VERSIONS).status(), 404);
    // The listener that stayed kept its port, and connections stay where they are.
    assert_eq!(gateway.tls_client().get(VERSIONS).status(), 200);
    assert_eq!(on_first.get(VERSIONS).status(), 200);
}

#[test]
fn a_listener_moves_to_another_address_and_keeps_its_port() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let before = gateway.address("127.0.0.1");
    let listeners =
        format!("listeners: [{{address: '127.0.0.2:0', tls: true}}, {{address: '0.0.0.0:{}'}}]\n", before.port());
    reload(&gateway, &yaml(&upstream, &listeners, ""));
    gateway.line(|line| line == format!("no longer listening on {before}"));
    for host in ["127.0.0.1", "127.0.0.3"] {
        let address = format!("{host}:{}", before.port()).parse().unwrap();
        assert_eq!(Client::tcp(address).get(VERSIONS).status(), 200, "{address}");
    }
}

#[test]
fn a_listener_takes_new_settings_on_its_old_socket() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    // One listener keeps TLS, which cannot be switched off by a reload.
    let listeners = "listeners: [{address: '127.0.0.1:0', serve: [well_known]}, {address: '127.0.0.2:0'}, \
                     {address: '127.0.0.3:0', tls: true}]\n";
    reload(&gateway, &yaml(&upstream, listeners, ""));
    assert_eq!(gateway.client().get(VERSIONS).status(), 404);
    assert_eq!(Client::tcp(gateway.address("127.0.0.2")).get(VERSIONS).status(), 200);
}

#[test]
fn a_wrong_file_changes_nothing_and_says_what_is_wrong() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "limits: {body: 2KiB}\n");
    let told = refused(&gateway, &yaml(&upstream, LISTENERS, "limits: {body: 8KiB, boddy: 1}\nthreads: many\n"));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].starts_with("error: ") && lines[0].contains("gateway.yaml:9:22: error: limits.boddy: "), "{told}");
    assert!(lines[1].starts_with("error: ") && lines[1].contains("gateway.yaml:10:1: error: threads: "), "{told}");
    assert_eq!(gateway.client().ask(post(UPLOAD, 4096) + &"x".repeat(4096)).status(), 413);
    assert_eq!(gateway.tls_client().get(VERSIONS).status(), 200);
    // And it still takes a right one.
    reload(&gateway, &yaml(&upstream, LISTENERS, "limits: {body: 8KiB}\n"));
    assert_eq!(gateway.client().ask(post(UPLOAD, 4096) + &"x".repeat(4096)).status(), 200);
}

#[test]
fn a_file_that_has_gone_changes_nothing() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    std::fs::remove_file(gateway.directory().join("gateway.yaml")).unwrap();
    let told = hang_up_in_vain(&gateway);
    assert!(told.contains("cannot read") && told.lines().count() == 1, "{told}");
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
}

#[test]
fn a_listener_that_cannot_be_bound_changes_nothing() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "limits: {body: 2KiB}\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listeners = format!(
        "listeners: [{{address: '127.0.0.2:0', tls: true}}, {{address: '127.0.0.3:0'}}, {{address: '{address}'}}]\n"
    );
    let told = refused(&gateway, &yaml(&upstream, &listeners, "limits: {body: 8KiB}\n"));
    assert!(told.contains(&format!("cannot listen on {address}")), "{told}");
    assert_eq!(gateway.client().ask(post(UPLOAD, 4096) + &"x".repeat(4096)).status(), 413);
    assert_eq!(gateway.tls_client().get(VERSIONS).status(), 200);
    assert!(!gateway.lines().iter().any(|line| line.contains("127.0.0.3")));
}

#[test]
fn certificates_of_the_new_configuration_are_in_use_and_a_wrong_pair_changes_nothing() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let peer = || gateway.h2().certificate().to_vec();
    let old = peer();
    let signed = sign(&[NAME], Kind::Ecdsa);
    let other = sign(&[NAME], Kind::Ecdsa);
    let path = |name: &str| gateway.directory().join(name);
    std::fs::write(path("new.pem"), &signed.cert).unwrap();
    std::fs::write(path("new.key"), &other.key).unwrap();
    let tls = |yaml: String| {
        let lines = yaml.lines().filter(|line| !line.starts_with("tls: "));
        let pair = "tls: {cert: '{dir}/new.pem', key: '{dir}/new.key'}";
        lines.chain([pair]).collect::<Vec<_>>().join("\n")
    };
    let told = refused(&gateway, &tls(yaml(&upstream, LISTENERS, "")));
    assert!(told.contains("tls.key"), "{told}");
    assert_eq!(peer(), old);
    std::fs::write(path("new.key"), &signed.key).unwrap();
    let mut open = gateway.h2();
    reload(&gateway, &tls(yaml(&upstream, LISTENERS, "")));
    assert_ne!(peer(), old);
    assert_eq!(open.get(VERSIONS).status, 200);
}

#[test]
fn what_only_a_restart_can_change_is_said() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    reload(&gateway, &yaml(&upstream, LISTENERS, "threads: 1\n"));
    gateway.line(|line| line == "warning: threads: changes at the next restart only");
    let plain = "listeners: [{address: '127.0.0.1:0'}]\n";
    let without_tls =
        yaml(&upstream, plain, "").lines().filter(|line| !line.starts_with("tls: ")).collect::<Vec<_>>().join("\n");
    let told = refused(&gateway, &without_tls);
    assert!(told.contains("TLS was switched on or off"), "{told}");
    assert_eq!(gateway.tls_client().get(VERSIONS).status(), 200);
}

#[test]
fn the_level_of_messages_changes_at_once() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, METRICS);
    let fails = || {
        let failed = Client::tls(gateway.address("127.0.0.2"), "unknown.example.org", client_config(&[]));
        assert!(failed.is_err());
    };
    fails();
    // By then the gateway has said all that it had to say about it.
    Metrics::of(&gateway).wait("tls_handshakes_total{result=\"failed\",version=\"\"}", 1.0);
    reload(&gateway, &yaml(&upstream, LISTENERS, &format!("log: {{level: debug}}\n{METRICS}")));
    assert!(!gateway.lines().iter().any(|line| line.contains("unknown.example.org")));
    fails();
    gateway.line(|line| line.starts_with("debug: ") && line.contains("unknown.example.org"));
}

#[test]
fn a_bound_on_connections_changes_at_once() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut first = gateway.client();
    assert_eq!(first.get(VERSIONS).status(), 200);
    reload(&gateway, &yaml(&upstream, LISTENERS, "limits: {connections: 1}\n"));
    gateway.client().closed();
    assert_eq!(first.get(VERSIONS).status(), 200);
    reload(&gateway, &yaml(&upstream, LISTENERS, "limits: {connections: 2}\n"));
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
}

#[test]
fn the_admin_api_closes_at_once() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "admin_api: {enabled: true, networks: [127.0.0.0/8]}\n");
    let mut client = gateway.client();
    let target = "/_synapse/admin/v1/server_version";
    assert_eq!(client.get(target).status(), 200);
    reload(&gateway, &yaml(&upstream, LISTENERS, ""));
    Told::from(client.get(target)).is_error(404, "M_UNRECOGNIZED", "unknown_path");
}
