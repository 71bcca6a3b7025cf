use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};

use super::*;
use crate::matrix::Cause;
use crate::observe::tests::record;
use crate::role::Role;
use crate::upstream_address::UpstreamId;

fn metrics() -> GatewayMetrics {
    GatewayMetrics::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_502_820_500)).unwrap()
}

#[track_caller]
fn check(metrics: &GatewayMetrics, lines: &[&str]) {
    let (media_type, body) = metrics.render().unwrap();
    assert_eq!(media_type, "text/plain; version=0.0.4");
    let body = String::from_utf8(body).unwrap();
    for line in lines {
        assert!(body.lines().any(|written| written == *line), "{line} is not in\n{body}");
    }
}

#[test]
fn a_forwarded_request_is_counted_by_class_method_and_status() {
    let metrics = metrics();
    let get = record("/", &[], &Method::GET, "");
    metrics.request(&get);
    metrics.request(&get);
    let method = Method::from_bytes(b"BREW").unwrap();
    let status = Some(StatusCode::from_u16(799).unwrap());
    metrics.request(&AccessRecord { status, ..record("/", &[], &method, "") });
    check(
        &metrics,
        &[
            r#"synapse_gateway_requests_total{cause="",class="long_poll",method="GET",status="200"} 2"#,
            r#"synapse_gateway_requests_total{cause="",class="long_poll",method="other",status="other"} 1"#,
            r#"synapse_gateway_request_duration_seconds_bucket{class="long_poll",le="120"} 0"#,
            r#"synapse_gateway_request_duration_seconds_bucket{class="long_poll",le="300"} 3"#,
            r#"synapse_gateway_upstream_first_byte_seconds_count{class="long_poll"} 3"#,
            r#"synapse_gateway_response_body_bytes_total{class="long_poll"} 4596"#,
            r#"synapse_gateway_upstream_connections_total{kind="reused"} 3"#,
            r#"synapse_gateway_upstream_connections_total{kind="new"} 0"#,
        ],
    );
}

#[test]
fn every_class_method_and_status_has_a_counter_of_its_own() {
    let metrics = metrics();
    let methods: Vec<Method> =
        MethodLabel::ALL.iter().map(|label| Method::from_bytes(label.as_str().as_bytes()).unwrap()).collect();
    let statuses = || (100..=524).map(|status| StatusCode::from_u16(status).ok()).chain([None]);
    for class in RouteClass::ALL {
        for method in &methods {
            for status in statuses() {
                metrics.request(&AccessRecord { status, class, ..record("/", &[], method, "") });
            }
        }
    }
    let (_, body) = metrics.render().unwrap();
    let body = String::from_utf8(body).unwrap();
    let series: Vec<&str> = body.lines().filter(|line| line.starts_with("synapse_gateway_requests_total")).collect();
    assert_eq!(series.len(), RouteClass::ALL.len() * MethodLabel::ALL.len() * STATUS_LABELS.len());
    let (others, named): (Vec<&str>, Vec<&str>) = series.iter().partition(|line| line.contains(r#"status="other""#));
    assert!(named.iter().all(|line| line.ends_with("} 1")), "a counter is shared");
    let unnamed = statuses().count() - (STATUS_LABELS.len() - 1);
    assert!(others.iter().all(|line| line.ends_with(&format!("}} {unnamed}"))), "{others:?}");
}

#[test]
fn a_request_that_the_gateway_refused_is_counted_by_its_cause() {
    let metrics = metrics();
    let refused = AccessRecord {
        class: RouteClass::Upload,
        status: Some(StatusCode::PAYLOAD_TOO_LARGE),
        cause: Some(Cause::BodyTooLarge),
        bytes_in: 50,
        role: None,
        reused: None,
        first_byte: None,
        ..record("/", &[], &Method::POST, "")
    };
    metrics.request(&refused);
    metrics.request(&AccessRecord { status: None, cause: Some(Cause::ClientGone), ..refused });
    check(
        &metrics,
        &[
            r#"synapse_gateway_requests_total{cause="body_too_large",class="upload",method="POST",status="413"} 1"#,
            r#"synapse_gateway_requests_total{cause="client_gone",class="upload",method="POST",status="none"} 1"#,
            r#"synapse_gateway_request_body_bytes_total{class="upload"} 100"#,
            r#"synapse_gateway_upstream_connections_total{kind="reused"} 0"#,
            r#"synapse_gateway_upstream_first_byte_seconds_count{class="upload"} 0"#,
        ],
    );
}

#[test]
fn connecting_to_an_upstream_is_timed() {
    let metrics = metrics();
    let connect = Some(Duration::from_millis(3));
    metrics.request(&AccessRecord { connect, reused: Some(false), retries: 2, ..record("/", &[], &Method::GET, "") });
    check(
        &metrics,
        &[
            r#"synapse_gateway_upstream_connect_seconds_bucket{le="0.0025"} 0"#,
            r#"synapse_gateway_upstream_connect_seconds_bucket{le="0.005"} 1"#,
            r#"synapse_gateway_upstream_connections_total{kind="new"} 1"#,
            r#"synapse_gateway_upstream_retries_total{class="long_poll"} 2"#,
        ],
    );
}

#[test]
fn a_connection_is_open_until_it_is_dropped() {
    let metrics = metrics();
    let listener = metrics.listener("[::]:443");
    let first = metrics.connection(&listener);
    let second = metrics.connection(&listener);
    drop(first);
    check(
        &metrics,
        &[
            r#"synapse_gateway_connections{listener="[::]:443"} 1"#,
            r#"synapse_gateway_connections_total{listener="[::]:443"} 2"#,
        ],
    );
    drop(second);
    check(&metrics, &[r#"synapse_gateway_connections{listener="[::]:443"} 0"#]);
}

#[test]
fn only_completed_handshakes_are_timed() {
    let metrics = metrics();
    metrics.handshake(Handshake::Tls13, Duration::from_millis(2));
    metrics.handshake(Handshake::TimedOut, Duration::from_mins(1));
    check(
        &metrics,
        &[
            r#"synapse_gateway_tls_handshakes_total{result="completed",version="1.3"} 1"#,
            r#"synapse_gateway_tls_handshakes_total{result="timed_out",version=""} 1"#,
            r#"synapse_gateway_tls_handshakes_total{result="failed",version=""} 0"#,
            r"synapse_gateway_tls_handshake_seconds_count 1",
        ],
    );
}

#[test]
fn certificates_that_are_gone_are_no_longer_exposed() {
    let metrics = metrics();
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_001);
    metrics.certificates([("old.example", expiry)]);
    metrics.certificates([("a.example", expiry)]);
    check(&metrics, &[r#"synapse_gateway_certificate_expiry_timestamp_seconds{name="a.example"} 1800000001"#]);
    assert!(!String::from_utf8(metrics.render().unwrap().1).unwrap().contains("old.example"));
}

#[test]
fn the_process_the_configuration_and_the_sessions_are_described() {
    let metrics = metrics();
    metrics.reload(Reload::Refused);
    metrics.access_log_dropped().inc_by(7);
    metrics.watch_rendezvous(|_| RendezvousUsage { entries: 3, bytes: 4096, expired: 5 });
    metrics.render().unwrap();
    check(
        &metrics,
        &[
            r#"synapse_gateway_config_reloads_total{result="applied"} 0"#,
            r#"synapse_gateway_config_reloads_total{result="refused"} 1"#,
            "synapse_gateway_access_log_dropped_total 7",
            r#"synapse_gateway_rendezvous_entries{protocol="msc3886"} 3"#,
            r#"synapse_gateway_rendezvous_bytes{protocol="msc4388"} 4096"#,
            r#"synapse_gateway_rendezvous_expired_total{protocol="msc4108"} 5"#,
            "synapse_gateway_start_time_seconds 1795502820",
            concat!("synapse_gateway_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ],
    );
}

fn forwarded() -> Forwarded {
    Forwarded {
        upstream: Some(UpstreamId(1)),
        role: Some(Role::Generic),
        wanted: Some(Role::Sync),
        stands_in_for: Some(Role::Sync),
        status: Some(StatusCode::OK),
        waited: Some(Duration::from_secs(3)),
        first_byte: Some(Duration::from_secs(5)),
    }
}

fn counters() -> ProcessCounters {
    ProcessCounters::new(vec!["main".to_owned(), "w".to_owned()])
}

#[test]
fn a_request_is_counted_by_role_and_process_and_its_wait_apart() {
    let (metrics, counters) = (metrics(), counters());
    metrics.forwarded(&counters, &forwarded());
    metrics.forwarded(&counters, &Forwarded { status: None, first_byte: None, ..forwarded() });
    let of_main = Some(UpstreamId(0));
    let no_role = Forwarded { upstream: of_main, role: None, wanted: None, stands_in_for: None, ..forwarded() };
    metrics.forwarded(&counters, &no_role);
    // Who finds no place has waited all the same.
    metrics.forwarded(&counters, &Forwarded { upstream: None, role: None, first_byte: None, ..forwarded() });
    check(
        &metrics,
        &[
            r#"synapse_gateway_upstream_requests_total{role="generic",status="2xx",upstream="w"} 1"#,
            r#"synapse_gateway_upstream_requests_total{role="generic",status="none",upstream="w"} 1"#,
            r#"synapse_gateway_upstream_requests_total{role="",status="2xx",upstream="main"} 1"#,
            r#"synapse_gateway_upstream_answer_seconds_bucket{role="generic",upstream="w",le="1"} 0"#,
            r#"synapse_gateway_upstream_answer_seconds_bucket{role="generic",upstream="w",le="2.5"} 1"#,
            r#"synapse_gateway_role_wait_seconds_bucket{role="sync",le="2.5"} 0"#,
            r#"synapse_gateway_role_wait_seconds_count{role="sync"} 3"#,
            r#"synapse_gateway_role_first_byte_seconds_count{role="sync"} 1"#,
            r#"synapse_gateway_role_stand_ins_total{by="generic",role="sync"} 2"#,
        ],
    );
}

fn upstream(name: &str) -> UpstreamUsage {
    UpstreamUsage { name: name.to_owned(), up: true, drained: false, requests: 2, long_polls: 1, waiting: 1 }
}

#[test]
fn upstreams_are_told_as_they_are_now() {
    let metrics = metrics();
    metrics.watch_upstreams(|| vec![upstream("main"), UpstreamUsage { up: false, ..upstream("sync1") }]);
    check(
        &metrics,
        &[
            r#"synapse_gateway_upstream_up{upstream="main"} 1"#,
            r#"synapse_gateway_upstream_up{upstream="sync1"} 0"#,
            r#"synapse_gateway_upstream_requests{upstream="main"} 3"#,
            r#"synapse_gateway_upstream_waiting_requests{upstream="main"} 1"#,
        ],
    );
    metrics.watch_upstreams(|| vec![upstream("main")]);
    let (_, body) = metrics.render().unwrap();
    assert!(!String::from_utf8(body).unwrap().contains("sync1"), "one that is gone is not told");
}

#[test]
fn every_named_metric_is_exposed() {
    let metrics = metrics();
    metrics.request(&record("/", &[], &Method::GET, ""));
    metrics.certificates([("a.example", SystemTime::UNIX_EPOCH)]);
    let _open = metrics.connection(&metrics.listener("[::]:443"));
    metrics.watch_upstreams(|| vec![upstream("sync1")]);
    metrics.forwarded(&counters(), &forwarded());
    metrics.resent("sync1");
    metrics.outage("sync1");
    metrics.unknown_endpoint("sync1");
    let (_, body) = metrics.render().unwrap();
    let body = String::from_utf8(body).unwrap();
    for metric in names::ALL {
        assert!(body.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}", metric.name);
    }
    assert_eq!(body.matches("# HELP").count(), names::ALL.len());
}

#[test]
fn what_comes_of_rendezvous_requests_is_counted_by_protocol() {
    let metrics = metrics();
    let wait = Duration::from_secs(1);
    let now = crate::rendezvous::session::Timestamp::from(SystemTime::UNIX_EPOCH);
    let revision = crate::rendezvous::Revision::new(uuid::Uuid::nil());
    let stamp = crate::rendezvous::session::Stamp { revision, modified: now, expires: now };
    let id = crate::rendezvous::SessionId::new(uuid::Uuid::nil());
    for outcome in [
        Ok(Done::Created(id, stamp)),
        Ok(Done::Written(stamp)),
        Err(Refusal::Stale(stamp)),
        Err(Refusal::Absent),
        Err(Refusal::Full { retry_after: wait }),
        Err(Refusal::Crowded { retry_after: wait }),
        Err(Refusal::TooOften { retry_after: wait }),
    ] {
        metrics.rendezvous(Protocol::Msc4108, &outcome);
    }
    check(
        &metrics,
        &[
            r#"synapse_gateway_rendezvous_created_total{protocol="msc4108"} 1"#,
            r#"synapse_gateway_rendezvous_created_total{protocol="msc3886"} 0"#,
            r#"synapse_gateway_rendezvous_conflicts_total{protocol="msc4108"} 1"#,
            r#"synapse_gateway_rendezvous_refused_total{cause="overloaded",protocol="msc4108"} 1"#,
            r#"synapse_gateway_rendezvous_refused_total{cause="rate_limited",protocol="msc4108"} 2"#,
        ],
    );
}
