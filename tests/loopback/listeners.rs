//! Where the gateway listens, and what comes before HTTP there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::certificates::{NAME, client_config};
use crate::support::client::{Client, get, post};
use crate::support::command;
use crate::support::gateway::{Gateway, preamble};
use crate::support::message::Broken;
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

const VERSIONS: &str = "/_matrix/client/versions";

/// A gateway with these listeners.
fn listening(upstream: &Upstream, listeners: &str, more: &str) -> Gateway {
    Gateway::start(&format!("{}listeners: [{listeners}]\n{more}", preamble(&upstream.address())))
}

fn forwarded_for(upstream: &Upstream) -> Vec<String> {
    upstream
        .requests()
        .iter()
        .map(|request| request.head.one("x-forwarded-for").unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn several_listeners_serve_at_once() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(
        &upstream,
        "{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}, {address: '[::1]:0'}, \
         {address: 'unix:{dir}/edge.sock'}",
        "",
    );
    let unix = gateway.directory().join("edge.sock");
    let clients = [gateway.client(), gateway.tls_client(), Client::tcp(gateway.address("::1")), Client::unix(&unix)];
    for mut client in clients {
        assert_eq!(client.get(VERSIONS).status(), 200);
    }
    let seen: Vec<_> = upstream.requests();
    assert_eq!(forwarded_for(&upstream)[..3], ["127.0.0.1", "127.0.0.1", "::1"]);
    let schemes: Vec<_> = seen.iter().map(|request| request.head.one("x-forwarded-proto").unwrap()).collect();
    assert_eq!(schemes[..3], ["http", "https", "http"]);
}

#[test]
fn a_dual_stack_listener_calls_ipv4_clients_by_their_ipv4_address() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, "{address: '[::]:0'}", "");
    let port = gateway.address("::").port();
    assert_eq!(Client::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).get(VERSIONS).status(), 200);
    assert_eq!(forwarded_for(&upstream), ["127.0.0.1"]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_unix_socket_has_its_permissions_and_goes_with_the_gateway() {
    let upstream = Upstream::answering(fine());
    let mut gateway =
        listening(&upstream, "{address: 'unix:{dir}/a.sock'}, {address: 'unix:{dir}/b.sock', mode: '0600'}", "");
    let (first, second) = (gateway.directory().join("a.sock"), gateway.directory().join("b.sock"));
    assert_eq!((mode(&first), mode(&second)), (0o660, 0o600));
    // Whoever may connect to it is the proxy in front, and is believed.
    let request =
        format!("GET {VERSIONS} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Proto: https\r\n\r\n");
    assert_eq!(Client::unix(&second).ask(request).status(), 200);
    let seen = upstream.only_request();
    assert_eq!(seen.head.one("x-forwarded-for"), Some("192.0.2.9"));
    assert_eq!(seen.head.one("x-forwarded-proto"), Some("https"));
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    assert!(!first.exists() && !second.exists());
}

#[test]
fn a_unix_socket_that_a_killed_gateway_left_is_replaced_and_one_in_use_is_not() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("edge.sock");
    let listener = format!("{{address: 'unix:{}'}}", path.display());
    let mut killed = listening(&upstream, &listener, "");
    killed.signal("KILL");
    killed.ended();
    assert!(path.exists());
    let _second = listening(&upstream, &listener, "");
    assert_eq!(Client::unix(&path).get(VERSIONS).status(), 200);
    let (code, err) = fails_to_start(&format!("{}listeners: [{listener}]\n", preamble(&upstream.address())));
    assert_eq!(code, Some(1));
    assert!(err.contains("another program answers there"), "{err}");
    assert_eq!(Client::unix(&path).get(VERSIONS).status(), 200);
}

/// Runs a gateway that cannot start; its exit code and what it wrote.
fn fails_to_start(yaml: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gateway.yaml"), yaml).unwrap();
    let run = command::run(directory.path(), &["run", "-c", "gateway.yaml"], "");
    (run.code, run.err)
}

#[test]
fn a_port_in_use_is_one_line_that_names_the_port_and_who_has_it() {
    let upstream = Upstream::answering(fine());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listeners = format!("listeners: [{{address: '{address}'}}]\n");
    let (code, err) = fails_to_start(&format!("{}{listeners}", preamble(&upstream.address())));
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{err}");
    assert!(lines[0].contains(&address.to_string()), "{err}");
    assert!(lines[0].contains(&format!("(pid {})", std::process::id())), "{err}");
    assert!(!err.contains("backtrace") && !err.contains("panicked") && !err.contains("listening on"), "{err}");
}

#[test]
fn a_metrics_port_in_use_keeps_the_gateway_from_starting_too() {
    let upstream = Upstream::answering(fine());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let sections = format!("listeners: [{{address: '127.0.0.1:0'}}]\nmetrics: {{address: '{address}'}}\n");
    let (code, err) = fails_to_start(&format!("{}{sections}", preamble(&upstream.address())));
    assert_eq!(code, Some(1));
    assert!(err.contains(&address.to_string()), "{err}");
}

#[test]
fn a_wrong_configuration_exits_with_78_and_tells_all_problems_without_a_backtrace() {
    let yaml = "server_name: example.com\nthread: 2\nlisteners: [{address: 'nowhere', tls: true}]\n\
                tls: {cert: /nowhere/cert.pem, key: /nowhere/key.pem}\ntimeouts: {total: soon}\n";
    let (code, err) = fails_to_start(yaml);
    assert_eq!(code, Some(78));
    for wanted in [
        "gateway.yaml:2:1: error: thread: ",
        "gateway.yaml:3:14: error: listeners[0].address: ",
        "error: tls.cert: ",
        "gateway.yaml:5:12: error: timeouts.total: ",
    ] {
        assert!(err.contains(wanted), "{wanted} is not in {err}");
    }
    assert!(!err.contains("backtrace") && !err.contains("panicked"), "{err}");
}

/// A version 2 header of the PROXY protocol: PROXY, TCP over IPv4, from 192.0.2.7 to 192.0.2.1.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xd4\x31\x01\xbb";
/// The same with the command LOCAL, as health checks send it.
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 54321 443\r\n";
const V1_IPV6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 54321 443\r\n";

const PROXIED: &str = "{address: '127.0.0.1:0', proxy_protocol: true}, \
                       {address: '127.0.0.2:0', tls: true, proxy_protocol: true}";

#[test]
fn the_client_of_a_proxy_header_is_the_client() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, PROXIED, "");
    for (header, client) in [(V1, "192.0.2.7"), (V2, "192.0.2.7"), (V1_IPV6, "2001:db8::7"), (V2_LOCAL, "127.0.0.1")] {
        let before = upstream.requests().len();
        assert_eq!(gateway.client().send(header).get(VERSIONS).status(), 200);
        let (tls, config) = (gateway.address("127.0.0.2"), client_config(&["http/1.1"]));
        assert_eq!(Client::tls_after(header, tls, NAME, config).unwrap().get(VERSIONS).status(), 200);
        assert_eq!(forwarded_for(&upstream)[before..], [client, client]);
    }
    // It names the client of the connection, whatever the client says of itself.
    let request = format!("GET {VERSIONS} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n");
    assert_eq!(gateway.client().send(V1).ask(request).status(), 200);
    assert_eq!(forwarded_for(&upstream).last().unwrap(), "192.0.2.7");
}

#[test]
fn a_proxy_header_counts_for_all_requests_of_its_connection() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, PROXIED, "");
    let mut client = gateway.client();
    client.send(V2);
    for _ in 0..3 {
        assert_eq!(client.get(VERSIONS).status(), 200);
    }
    assert_eq!(forwarded_for(&upstream), ["192.0.2.7"; 3]);
    let logged = gateway.log_where(|entry| entry["client"] == "192.0.2.7");
    assert_eq!(logged["listener"], "127.0.0.1:0");
}

#[test]
fn a_connection_without_its_proxy_header_is_closed() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, PROXIED, "timeouts: {handshake: 500ms}\n");
    for first in [get(VERSIONS).as_bytes(), b"PROXY TCP4 nowhere\r\n\r\n", b"PROXY TCP4 192.0.2.7", b""] {
        let mut client = gateway.client();
        client.send(first);
        assert!(matches!(client.try_response(), Err(Broken::Closed)), "{:?}", String::from_utf8_lossy(first));
    }
    assert!(Client::tls(gateway.address("127.0.0.2"), NAME, client_config(&[])).is_err());
    assert!(upstream.is_unasked());
}

#[test]
fn a_proxy_header_from_somebody_who_is_no_proxy_is_not_believed() {
    let upstream = Upstream::answering(fine());
    let elsewhere = listening(&upstream, PROXIED, "forwarding: {trusted_proxies: [198.51.100.0/24]}\n");
    let mut client = elsewhere.client();
    let _ = client.try_send([V1, get(VERSIONS).as_bytes()].concat());
    assert!(matches!(client.try_response(), Err(Broken::Closed)));
    let here = listening(&upstream, PROXIED, "forwarding: {trusted_proxies: [127.0.0.1/32]}\n");
    assert_eq!(here.client().send(V1).get(VERSIONS).status(), 200);
    assert_eq!(forwarded_for(&upstream), ["192.0.2.7"]);
}

const REDIRECTING: &str = "{address: '127.0.0.1:0', redirect_https: true, acme_webroot: '{dir}/acme'}, \
                           {address: '127.0.0.2:0', tls: true}";

#[test]
fn reading_requests_in_the_clear_are_sent_to_https_and_others_refused() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, REDIRECTING, "");
    let mut client = gateway.client();
    for target in [VERSIONS, "/_matrix/client/v3/rooms/%21a%2Fb/state?x=%20&y", "/nothing"] {
        let response = client.get(target);
        assert_eq!((response.status(), response.body.len()), (301, 0));
        assert_eq!(response.one("location"), Some(&*format!("https://matrix.example.com{target}")));
    }
    let response = client.ask(format!("GET {VERSIONS} HTTP/1.1\r\nHost: other.example.com:8080\r\n\r\n"));
    assert_eq!(response.one("location"), Some(&*format!("https://other.example.com{VERSIONS}")));
    Told::from(client.ask(post("/_matrix/client/v3/login", 0))).is_error(403, "M_FORBIDDEN", "method_not_allowed");
    assert_eq!(client.get("/health").status(), 200);
    assert!(upstream.is_unasked());
    assert_eq!(gateway.tls_client().get(VERSIONS).status(), 200);
}

#[test]
fn a_redirect_names_the_port_of_the_tls_listener() {
    let upstream = Upstream::answering(fine());
    // The kernel hands out a port that nobody has; it is free again when the gateway asks for it.
    let port = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
    let listeners =
        format!("{{address: '127.0.0.1:0', redirect_https: true}}, {{address: '127.0.0.2:{port}', tls: true}}");
    let gateway = listening(&upstream, &listeners, "");
    let response = gateway.client().get(VERSIONS);
    assert_eq!(response.one("location"), Some(&*format!("https://matrix.example.com:{port}{VERSIONS}")));
}

#[test]
fn acme_challenges_are_served_in_the_clear_and_nothing_beside_them() {
    let upstream = Upstream::answering(fine());
    let gateway = listening(&upstream, REDIRECTING, "");
    let folder = gateway.directory().join("acme/.well-known/acme-challenge");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("to-ken_1"), "to-ken_1.thumbprint").unwrap();
    fs::write(folder.join("secret.txt"), "secret").unwrap();
    fs::write(folder.parent().unwrap().join("outside"), "secret").unwrap();
    let mut client = gateway.client();
    let served = client.get("/.well-known/acme-challenge/to-ken_1");
    assert_eq!((served.status(), served.text()), (200, "to-ken_1.thumbprint"));
    assert_eq!(served.one("content-type"), Some("application/octet-stream"));
    for name in ["", "none", "secret.txt", "../outside", "..%2Foutside", "%2e%2e/outside", "sub/to-ken_1", "."] {
        let told = Told::from(client.get(&format!("/.well-known/acme-challenge/{name}")));
        assert_eq!(told.status, 404, "{name}: {told:?}");
    }
    Told::from(client.ask(post("/.well-known/acme-challenge/to-ken_1", 0))).is_error(
        404,
        "M_UNRECOGNIZED",
        "unknown_path",
    );
    // Only the listener that says so serves them.
    assert_eq!(gateway.tls_client().get("/.well-known/acme-challenge/to-ken_1").status(), 404);
}
