//! What the gateway says about itself and about requests: health, access log, metrics; and what it keeps to itself.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use synapse_gateway::observe::fields;

use crate::support::DEADLINE;
use crate::support::certificates::{NAME, client_config};
use crate::support::client::{Client, get, post};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer, fine};

const VERSIONS: &str = "/_matrix/client/versions";
const UPLOAD: &str = "/_matrix/media/v3/upload";
const RENDEZVOUS: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";

/// A section for metrics, on an address of their own.
const METRICS: &str = "metrics: {address: '127.0.0.9:0'}\n";

/// Where the metrics of a gateway are.
struct Metrics(SocketAddr);

impl Metrics {
    fn of(gateway: &Gateway) -> Self {
        Self(gateway.address("127.0.0.9"))
    }

    fn text(&self) -> String {
        let response = Client::tcp(self.0).get("/metrics");
        assert_eq!(response.status(), 200);
        assert!(response.one("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
        response.text().to_owned()
    }

    /// All series by name with labels, without the common prefix.
    fn read(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap());
        let name = |series: &str| series.strip_prefix("synapse_gateway_").unwrap().to_owned();
        series.map(|(series, value)| (name(series), value.parse().unwrap())).collect()
    }

    /// Waits until a series has a value.
    #[track_caller]
    fn wait(&self, series: &str, value: f64) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.read();
            if found.get(series).is_some_and(|found| (found - value).abs() < 0.5) {
                return;
            }
            assert!(Instant::now() < deadline, "{series} is not {value}: {found:#?}");
            // The metrics can only be asked, not waited for.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn health_is_about_the_gateway_and_readiness_about_synapse() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let gateway = Gateway::at(&address.to_string(), "");
    let mut client = gateway.client();
    let health = Told::from(client.get("/health"));
    assert_eq!((health.status, health.text(), health.all("access-control-allow-origin").len()), (200, "OK", 0));
    let ready = Told::from(client.get("/ready"));
    ready.is_error(503, "M_UNKNOWN", "upstream_refused");
    assert!(ready.one("retry-after").is_some());
    // Synapse starts.
    let script = |connection: &mut crate::support::upstream::Connection| {
        while connection.request().is_ok() && connection.peer.send(answer("200 OK", "OK")).is_ok() {}
    };
    let upstream = Upstream::on(TcpListener::bind(address).unwrap(), script);
    let deadline = Instant::now() + DEADLINE;
    while client.get("/ready").status() != 200 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(upstream.requests()[0].target(), "/health");
    assert_eq!(gateway.h2().get("/ready").status, 200);
    // However many ask, Synapse is asked once a second at most.
    let before = (Instant::now(), upstream.requests().len());
    for _ in 0..50 {
        assert_eq!(client.get("/ready").status(), 200);
    }
    let asked = upstream.requests().len() - before.1;
    assert!(asked <= usize::try_from(before.0.elapsed().as_secs()).unwrap() + 1, "{asked}");
}

#[test]
fn a_synapse_that_answers_badly_or_not_at_all_is_not_ready() {
    for upstream in [Upstream::answering(answer("503 Service Unavailable", "")), Upstream::new(|_, _| Then::Hold)] {
        let gateway = Gateway::before(&upstream, "");
        Told::from(gateway.client().get("/ready")).is_error(503, "M_UNKNOWN", "upstream_refused");
        assert_eq!(gateway.client().get("/health").status(), 200);
    }
}

#[test]
fn a_line_of_the_access_log_has_every_field_once() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let request = "PUT /_matrix/client/v3/profile/x/displayname?access_token=s3cret&limit=5 HTTP/1.1\r\n\
                   Host: matrix.example.com:8448\r\nUser-Agent: Test \"Agent\"\r\n\
                   Referer: https://app.example/path?loginToken=s3cret\r\nContent-Length: 4\r\n\r\nbody";
    let response = gateway.tls_client().ask(request);
    let id = response.one("x-request-id").unwrap();
    let entry = gateway.logged(id);
    let line = gateway.line(|line| line.contains(id));
    let documented: Vec<String> = fields().into_iter().map(|field| field.name).collect();
    let written: Vec<&String> = entry.as_object().unwrap().keys().collect();
    assert_eq!(written, documented.iter().collect::<Vec<_>>());
    for name in &documented {
        assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{name} in {line}");
    }
    for (name, expected) in [
        ("client", "127.0.0.1".into()),
        ("listener", "127.0.0.2:0".into()),
        ("scheme", "https".into()),
        ("protocol", "HTTP/1.1".into()),
        ("method", "PUT".into()),
        ("target", "/_matrix/client/v3/profile/x/displayname?access_token=<redacted>&limit=5".into()),
        ("host", "matrix.example.com:8448".into()),
        ("status", 200.into()),
        ("cause", serde_json::Value::Null),
        ("class", "client".into()),
        ("upstream", "main".into()),
        ("reused", false.into()),
        ("retries", 0.into()),
        ("bytes_in", 4.into()),
        ("bytes_out", 2.into()),
        ("user_agent", r"Test \x22Agent\x22".into()),
        ("referer", "https://app.example".into()),
    ] {
        assert_eq!(entry[name], expected, "{name}");
    }
    let seconds = |name: &str| entry[name].as_f64().unwrap_or_else(|| panic!("{name} in {entry}"));
    assert!(seconds("duration") >= seconds("first_byte") && seconds("first_byte") >= seconds("connect"), "{entry}");
    assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{entry}");
}

#[test]
fn http2_requests_and_answers_of_our_own_are_written_down_alike() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.h2();
    let entry = gateway.logged(client.get(VERSIONS).one("x-request-id").unwrap());
    assert_eq!((&entry["protocol"], &entry["host"]), (&"HTTP/2.0".into(), &"matrix.example.com".into()));
    let entry = gateway.logged(client.get("/nothing").one("x-request-id").unwrap());
    assert_eq!((&entry["status"], &entry["cause"]), (&404.into(), &"unknown_path".into()));
    assert_eq!((&entry["class"], &entry["upstream"]), (&"unknown".into(), &serde_json::Value::Null));
}

#[test]
fn each_request_is_written_down_once_however_it_ends() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::new(move |request, peer| {
        if request.target().contains("hold") {
            return Then::Hold;
        }
        if request.target().contains("long") {
            waiting.wait();
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let gateway =
        Gateway::before(&upstream, &format!("timeouts: {{body_idle: 400ms, total: 1s, linger: 200ms}}\n{METRICS}"));
    let metrics = Metrics::of(&gateway);
    let once = |target: &str, cause: &str| {
        let target = target.to_owned();
        let entry = gateway.log_where(|entry| entry["target"].as_str() == Some(&target));
        assert_eq!(entry["cause"], cause, "{entry}");
        entry
    };
    // The client goes, over either protocol.
    let gone = format!("{VERSIONS}/hold/gone");
    let mut client = gateway.client();
    client.send(get(&gone));
    upstream.wait(|seen| seen.requests.iter().any(|request| request.target() == gone));
    drop(client);
    assert!(once(&gone, "client_gone")["status"].is_null());
    let gone = format!("{VERSIONS}/hold/gone_h2");
    let mut client = gateway.h2();
    let (answer, _) = client.send(h2::get(&gone), true);
    upstream.wait(|seen| seen.requests.iter().any(|request| request.target() == gone));
    drop(answer);
    drop(client);
    assert!(once(&gone, "client_gone")["status"].is_null());
    // A body stalls over HTTP/2, where nobody can be told.
    let mut client = gateway.h2();
    let (answer, mut body) = client.send(h2::post(UPLOAD), false);
    body.send_data("half".into(), false).unwrap();
    assert!(client.answer(answer).is_err());
    let entry = once(UPLOAD, "body_timeout");
    assert_eq!((&entry["bytes_in"], &entry["class"]), (&4.into(), &"upload".into()));
    // The whole takes too long.
    for (target, h2) in [(format!("{VERSIONS}/hold/total"), false), (format!("{VERSIONS}/hold/total_h2"), true)] {
        if h2 {
            assert!(gateway.h2().ask(h2::get(&target)).is_err());
        } else {
            gateway.client().send(get(&target)).closed();
        }
        let entry = once(&target, "total_timeout");
        assert!(entry["duration"].as_f64().unwrap() >= 0.9, "{entry}");
    }
    gate.open();
    let last = gateway.client().get(&format!("{VERSIONS}/last"));
    gateway.logged(last.one("x-request-id").unwrap());
    let log = gateway.log();
    let mut targets: Vec<&str> = log.iter().map(|entry| entry["target"].as_str().unwrap()).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!((log.len(), targets.len()), (6, 6), "{log:#?}");
    let total = |cause: &str| {
        let found = metrics.read();
        found
            .iter()
            .filter(|(name, _)| name.starts_with("requests_total") && name.contains(cause))
            .map(|it| it.1)
            .sum::<f64>()
    };
    assert!((total("client_gone") - 2.0).abs() < 0.1 && (total("total_timeout") - 2.0).abs() < 0.1);
    assert!((total("body_timeout") - 1.0).abs() < 0.1);
}

#[test]
fn the_combined_format_is_the_one_that_tools_know() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "log: {format: combined, target: '{dir}/access.log'}\n");
    let request = format!("GET {VERSIONS}?access_token=s3cret HTTP/1.1\r\nHost: a\r\nUser-Agent: Test\r\n\r\n");
    gateway.client().ask(request);
    let line = in_file(&gateway, "access.log", |text| text.lines().next().map(str::to_owned));
    let (before, after) = line.split_once(" [").unwrap();
    let (time, rest) = after.split_once("] ").unwrap();
    assert_eq!(before, "127.0.0.1 - -");
    assert!(time.len() == 26 && time.ends_with(" +0000"), "{time}");
    assert_eq!(rest, format!("\"GET {VERSIONS}?access_token=<redacted> HTTP/1.1\" 200 2 \"-\" \"Test\""));
}

/// Waits until a file in the gateway's directory is such that `look` finds something in it.
fn in_file<T>(gateway: &Gateway, name: &str, look: impl Fn(&str) -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let text = fs::read_to_string(gateway.directory().join(name)).unwrap_or_default();
        if let Some(found) = look(&text) {
            return found;
        }
        assert!(Instant::now() < deadline, "not to be found in {name}: {text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_rotated_log_goes_on_in_a_new_file() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "log: {target: '{dir}/access.log'}\n");
    let mut client = gateway.client();
    let mut ask = || client.get(VERSIONS).one("x-request-id").unwrap().to_owned();
    let first = ask();
    let has = |name: &str, id: &str| in_file(&gateway, name, |text| text.contains(id).then(|| text.lines().count()));
    assert_eq!(has("access.log", &first), 1);
    let path = |name: &str| gateway.directory().join(name);
    fs::rename(path("access.log"), path("access.log.1")).unwrap();
    let second = ask();
    assert_eq!(has("access.log.1", &second), 2);
    gateway.signal("HUP");
    gateway.line(|line| line == "the configuration was reloaded");
    in_file(&gateway, "access.log", |_| path("access.log").exists().then_some(()));
    let third = ask();
    assert_eq!(has("access.log", &third), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path("access.log")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640);
    assert!(!gateway.lines().iter().any(|line| line.starts_with('{')));
}

#[test]
fn a_log_that_is_off_says_nothing_and_addresses_can_be_kept_out() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "log: {target: 'off'}\n");
    gateway.client().get(VERSIONS);
    gateway.signal("HUP");
    gateway.line(|line| line == "the configuration was reloaded");
    assert!(gateway.log().is_empty());
    for (choice, shown) in [("truncated", "127.0.0.0".into()), ("none", serde_json::Value::Null)] {
        let gateway = Gateway::before(&upstream, &format!("log: {{client_ip: {choice}}}\n"));
        let response = gateway.client().get(VERSIONS);
        assert_eq!(gateway.logged(response.one("x-request-id").unwrap())["client"], shown);
        assert_eq!(upstream.requests().last().unwrap().head.one("x-forwarded-for"), Some("127.0.0.1"));
    }
}

/// Everything that must never be written down holds this word.
const SECRET: &str = "s3cr3t";

#[test]
fn no_secret_is_in_anything_that_is_written() {
    // Failures make Pingora talk too.
    let upstream = Upstream::new(|request, peer| match request.target() {
        target if target.contains("close") => Then::Close,
        target if target.contains("rubbish") => {
            peer.send(format!("{SECRET} rubbish\r\n\r\n")).map_or(Then::Close, |()| Then::Close)
        }
        target if target.contains("cut") => {
            let begun = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nSet-Cookie: a={SECRET}\r\n\r\n{SECRET}");
            peer.send(begun).map_or(Then::Close, |()| Then::Close)
        }
        _ => peer.send(fine()).map_or(Then::Close, |()| Then::Next),
    });
    let gateway = Gateway::before(
        &upstream,
        &format!("log: {{level: debug}}\nrendezvous: {{enabled: true, prefix: /_synapse/client/qr}}\n{METRICS}"),
    );
    let metrics = Metrics::of(&gateway);
    let targets = [
        format!("/_matrix/client/v3/sync?access_token={SECRET}&since=s1"),
        format!("/_matrix/client/v3/sync?since=s1&access%5Ftoken={SECRET}"),
        format!("/_matrix/client/v3/sync;access_token={SECRET}"),
        format!("/_matrix/client/v3/sync%3Faccess_token={SECRET}"),
        format!("/_matrix/client/v3/login/sso/redirect?redirectUrl=https://a/{SECRET}"),
        format!("/_matrix/client/v3/close?access_token={SECRET}"),
        format!("/_matrix/client/v3/rubbish?access_token={SECRET}"),
        format!("/_matrix/client/v3/cut?access_token={SECRET}"),
        format!("/_matrix/client/v3/register?{SECRET}={SECRET}"),
        format!("/_synapse/client/qr/{SECRET}"),
        format!("/_synapse/client/{SECRET}"),
        format!("{RENDEZVOUS}/{SECRET}"),
        format!("/_matrix/client/unstable/org.matrix.msc4108/rendezvous/{SECRET}"),
        format!("/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{SECRET}/send"),
        format!("/nothing?access_token={SECRET}"),
        format!("/_matrix/client/v3/{}?access_token={SECRET}", "long".repeat(3000)),
    ];
    let mut http2 = gateway.h2();
    for target in &targets {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: matrix.example.com\r\nAuthorization: Bearer {SECRET}\r\nCookie: a={SECRET}\r\n\
             Proxy-Authorization: Basic {SECRET}\r\nReferer: https://app.example/{SECRET}?{SECRET}\r\n\r\n"
        );
        let _ = gateway.client().send(request).try_response();
        let mut request = h2::get(target);
        request.headers_mut().insert("authorization", format!("Bearer {SECRET}").parse().unwrap());
        let _ = http2.ask(request);
    }
    // Heads that cannot be understood, and a request that is cut off.
    for broken in [
        format!("GET /_matrix/x?access_token={SECRET} HTTP/1.1\r\nAuthorization Bearer {SECRET}\r\n\r\n"),
        format!("GET /_matrix/x?access_token={SECRET} HTTP/9.9\r\nHost: a\r\n\r\n"),
        format!("{SECRET} {SECRET}\r\n\r\n"),
        format!("GET https://user:{SECRET}@a/?x={SECRET} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("CONNECT {SECRET}.example.com:443 HTTP/1.1\r\nHost: {SECRET}.example.com\r\n\r\n"),
    ] {
        let _ = gateway.client().send(broken).try_response();
    }
    let cut = post(&format!("{UPLOAD}?access_token={SECRET}"), 100);
    gateway.client().send(cut + SECRET);
    gateway.client().send(format!("GET /_matrix/x?access_token={SECRET} HTTP/1.1\r\nAuthoriz"));
    // Sessions of our own, with ids that only their owners may know.
    let created = gateway.client().ask(post("/_synapse/client/qr", 6) + SECRET);
    let id = created.one("location").unwrap();
    for place in ["/_synapse/client/qr", "/_synapse/client", RENDEZVOUS] {
        assert_eq!(gateway.client().get(&format!("{place}/{id}")).text(), SECRET);
    }
    let last = gateway.client().get("/health");
    gateway.logged(last.one("x-request-id").unwrap());
    gateway.log_where(|entry| entry["class"] == "upload");
    for text in gateway.lines().iter().chain([&metrics.text()]) {
        assert!(!text.contains(SECRET) && !text.contains(id), "{text}");
    }
    // The test would find them: what is harmless is there.
    assert!(gateway.lines().iter().any(|line| line.contains("since=s1")));
}

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
    let old = crate::support::certificates::client_config_with(
        rustls::crypto::aws_lc_rs::default_provider(),
        &[&rustls::version::TLS12],
        &[],
    );
    assert_eq!(Client::tls(gateway.address("127.0.0.2"), NAME, old).unwrap().get("/health").status(), 200);
    metrics.wait("tls_handshakes_total{result=\"completed\",version=\"1.2\"}", 1.0);
}

#[test]
fn metrics_tell_of_certificates_sessions_and_reloads() {
    let upstream = Upstream::answering(fine());
    let more = format!("rendezvous: {{enabled: true}}\n{METRICS}");
    let gateway = Gateway::before(&upstream, &more);
    let metrics = Metrics::of(&gateway);
    let (cert, _) = crate::support::certificates::shared();
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
    metrics.wait("rendezvous_entries", 2.0);
    metrics.wait("rendezvous_bytes", 12.0);
    client.ask(format!("DELETE {RENDEZVOUS}/{id} HTTP/1.1\r\nHost: a\r\n\r\n"));
    metrics.wait("rendezvous_entries", 1.0);
    metrics.wait("rendezvous_bytes", 7.0);
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
        assert_eq!(Client::tcp(metrics.0).get(target).status(), 404);
    }
    assert!(upstream.requests().is_empty());
    // A plain text for people, as `promtool check metrics` reads it.
    for line in metrics.text().lines() {
        assert!(
            line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.starts_with("synapse_gateway_"),
            "{line}"
        );
    }
}
