//! One line for each request.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use synapse_gateway::observe::fields;

use super::{UPLOAD, VERSIONS};
use crate::support::DEADLINE;
use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::upstream::{Then, Upstream, fine};

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
    let upstream = Upstream::new(|request, peer| {
        if request.target().contains("hold") {
            return Then::Hold;
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
    let mode = fs::metadata(path("access.log")).unwrap().permissions().mode();
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
