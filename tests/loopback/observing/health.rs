//! Is the gateway there, and is Synapse?

use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::gateway::Gateway;
use crate::support::port::Port;
use crate::support::told::Told;
use crate::support::upstream::{Connection, Then, Upstream, answer};

#[test]
fn health_is_about_the_gateway_and_readiness_about_synapse() {
    let port = Port::reserve();
    let gateway = Gateway::at(&port.address().to_string(), "");
    let mut client = gateway.client();
    let health = Told::from(client.get("/health"));
    assert_eq!((health.status, health.text(), health.all("access-control-allow-origin").len()), (200, "OK", 0));
    let ready = Told::from(client.get("/ready"));
    ready.is_error(503, "M_UNKNOWN", "upstream_refused");
    assert!(ready.one("retry-after").is_some());
    // Synapse starts.
    let script = |connection: &mut Connection| {
        while connection.request().is_ok() && connection.peer.send(answer("200 OK", "OK")).is_ok() {}
    };
    let upstream = Upstream::on(port.listen(), script);
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
