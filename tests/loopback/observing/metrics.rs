//! Numbers for Prometheus.

use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::TLS12;

use super::{RENDEZVOUS, UPLOAD, VERSIONS};
use crate::support::DEADLINE;
use crate::support::certificates::{NAME, client_config, client_config_with, shared};
use crate::support::client::{Client, post};
use crate::support::gateway::Gateway;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::upstream::{Upstream, fine};

#[test]
fn metrics_count_requests_by_class_method_status_and_cause() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, &format!("limits: {{body: 2KiB}}\n{METRICS}"));
    let metrics = Metrics::of(&gateway);
    let mut client = gateway.client();
    for _ in 0..3 {
        client.get(VERSIONS);
    }
    gateway.h2().get("/_matrix/client/v3/sync?since=s1");
    client.get("/nothing");
    client.ask(post(UPLOAD, 4096) + &"x".repeat(4096));
    client.ask(post(UPLOAD, 5) + "hello");
    let count = |class: &str, method: &str, status: &str, cause: &str| {
        let labels = format!("cause=\"{cause}\",class=\"{class}\",method=\"{method}\",status=\"{status}\"");
        metrics.wait(&format!("requests_total{{{labels}}}"), if class == "client" { 3.0 } else { 1.0 });
    };
    count("client", "GET", "200", "");
    count("long_poll", "GET", "200", "");
    count("unknown", "GET", "404", "unknown_path");
    count("upload", "POST", "413", "body_too_large");
    count("upload", "POST", "200", "");
    metrics.wait("request_duration_seconds_count{class=\"client\"}", 3.0);
    metrics.wait("upstream_first_byte_seconds_count{class=\"upload\"}", 1.0);
    let found = metrics.read();
    assert!(found["request_body_bytes_total{class=\"upload\"}"] >= 5.0, "{found:#?}");
    let new = found["upstream_connections_total{kind=\"new\"}"];
    let reused = found["upstream_connections_total{kind=\"reused\"}"];
    assert!(new >= 1.0 && (new + reused - 5.0).abs() < 0.5, "{found:#?}");
    assert!(found["start_time_seconds"] > 1.0e9 && found.keys().any(|name| name.starts_with("build_info{")));
}

#[test]
fn metrics_count_connections_and_handshakes() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, METRICS);
    let metrics = Metrics::of(&gateway);
    let clients = [gateway.client(), gateway.client(), gateway.tls_client()];
    metrics.wait("connections{listener=\"127.0.0.1:0\"}", 2.0);
    metrics.wait("connections{listener=\"127.0.0.2:0\"}", 1.0);
    assert!(Client::tls(gateway.address("127.0.0.2"), "unknown.example.org", client_config(&[])).is_err());
    gateway.h2().get(VERSIONS);
    drop(clients);
    metrics.wait("connections{listener=\"127.0.0.1:0\"}", 0.0);
    metrics.wait("connections{listener=\"127.0.0.2:0\"}", 0.0);
    metrics.wait("connections_total{listener=\"127.0.0.1:0\"}", 2.0);
    metrics.wait("connections_total{listener=\"127.0.0.2:0\"}", 3.0);
    metrics.wait("tls_handshakes_total{result=\"completed\",version=\"1.3\"}", 2.0);
    metrics.wait("tls_handshakes_total{result=\"failed\",version=\"\"}", 1.0);
    metrics.wait("tls_handshakes_total{result=\"completed\",version=\"1.2\"}", 0.0);
    metrics.wait("tls_handshake_seconds_count", 2.0);
    let old = client_config_with(default_provider(), &[&TLS12], &[]);
    assert_eq!(Client::tls(gateway.address("127.0.0.2"), NAME, old).unwrap().get("/health").status(), 200);
    metrics.wait("tls_handshakes_total{result=\"completed\",version=\"1.2\"}", 1.0);
}

#[test]
fn metrics_tell_of_certificates_sessions_and_reloads() {
    let upstream = Upstream::answering(fine());
    let more = format!("rendezvous: {{enabled: true}}\n{METRICS}");
    let gateway = Gateway::before(&upstream, &more);
    let metrics = Metrics::of(&gateway);
    let (cert, _) = shared();
    let name = format!("certificate_expiry_timestamp_seconds{{name=\"{}\"}}", cert.display());
    let deadline = Instant::now() + DEADLINE;
    let expiry = loop {
        if let Some(expiry) = metrics.read().get(&name) {
            break *expiry;
        }
        assert!(Instant::now() < deadline, "{:#?}", metrics.read());
        std::thread::sleep(Duration::from_millis(50));
    };
    // 1 January 4096, where the library that makes the tests' certificates lets them end.
    assert!((expiry - 67_090_118_400.0).abs() < 1.0, "{expiry}");
    let mut client = gateway.client();
    let id = client.ask(post(RENDEZVOUS, 5) + "12345").one("location").unwrap().to_owned();
    client.ask(post(RENDEZVOUS, 7) + "1234567");
    metrics.wait("rendezvous_entries{protocol=\"msc3886\"}", 2.0);
    metrics.wait("rendezvous_bytes{protocol=\"msc3886\"}", 12.0);
    client.ask(format!("DELETE {RENDEZVOUS}/{id} HTTP/1.1\r\nHost: a\r\n\r\n"));
    metrics.wait("rendezvous_entries{protocol=\"msc3886\"}", 1.0);
    metrics.wait("rendezvous_bytes{protocol=\"msc3886\"}", 7.0);
    gateway.signal("HUP");
    metrics.wait("config_reloads_total{result=\"applied\"}", 1.0);
    gateway.configure("server_name: 1 2 3\n");
    gateway.signal("HUP");
    metrics.wait("config_reloads_total{result=\"refused\"}", 1.0);
    metrics.wait("access_log_dropped_total", 0.0);
}

#[test]
fn metrics_are_on_their_own_address_alone() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, METRICS);
    let metrics = Metrics::of(&gateway);
    assert_eq!(gateway.client().get("/metrics").status(), 404);
    for target in ["/", "/_matrix/client/versions", "/health"] {
        assert_eq!(Client::tcp(gateway.address("127.0.0.9")).get(target).status(), 404);
    }
    assert!(upstream.is_unasked());
    // A plain text for people, as `promtool check metrics` reads it.
    for line in metrics.text().lines() {
        assert!(
            line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.starts_with("synapse_gateway_"),
            "{line}"
        );
    }
}
