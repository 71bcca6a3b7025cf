//! Synapse restarts: what waits for it is neither late nor lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use synapse_gateway::limits::Limits;

use crate::support::gateway::{Gateway, identity};
use crate::support::h2::post;
use crate::support::port::Port;
use crate::support::upstream::{Connection, Request, Then, Upstream, fine};

const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";
const TARGET: &str = "/_matrix/client/v3/x";
const GONE: &str = "warning: upstream main: it does not answer";

fn gateway(at: SocketAddr, more: &str) -> Gateway {
    Gateway::start(&format!("{}{LISTENERS}{more}", identity(&at.to_string())))
}

fn request(method: &str) -> String {
    format!("{method} {TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
}

/// Answers everything until the connection ends.
fn serve(connection: &mut Connection) {
    while connection.request().is_ok() && connection.peer.send(fine()).is_ok() {}
}

#[test]
fn a_client_is_not_late_with_a_body_that_nobody_reads_yet() {
    const IDLE: Duration = Duration::from_secs(1);
    let port = Port::reserve();
    let gateway = gateway(port.address(), "timeouts: {body_idle: 1s}\n");
    let mut client = gateway.h2();
    let began = Instant::now();
    let (response, mut body) = client.send(post(TARGET), false);
    body.send_data(Bytes::from_static(b"body"), true).unwrap();
    gateway.line(|line| line == GONE);
    thread::sleep((2 * IDLE).saturating_sub(began.elapsed()));
    let upstream = Upstream::on(port.listen(), serve);
    assert_eq!(client.answer(response).unwrap().status.as_u16(), 200);
    assert!(upstream.requests().iter().any(|request| request.body.bytes == b"body"));
}

/// The rate of a body is that of its client, who sent it long ago.
#[test]
fn a_body_that_is_sent_again_is_not_slow() {
    let port = Port::reserve();
    let dying = Upstream::on(port.listen(), |connection| drop(connection.request()));
    let gateway = gateway(port.address(), "");
    let mut client = gateway.client();
    client.send(request("PUT"));
    dying.wait(|state| state.requests.iter().any(|request| request.method() == "PUT"));
    drop(dying);
    gateway.line(|line| line == GONE);
    thread::sleep(Limits::RATE_GRACE + Duration::from_secs(2));
    let _upstream = Upstream::on(port.listen(), serve);
    assert_eq!(client.response().status(), 200);
}

/// While a process ends, connections to it are still made, and closed without a word.
#[test]
fn what_was_lost_with_a_process_that_ends_is_not_sent_to_it_before_it_is_back() {
    for method in ["GET", "PUT"] {
        let questions = AtomicUsize::new(0);
        let upstream = Upstream::raw(move |connection| {
            let Ok(request) = connection.request() else { return };
            let asked = questions.fetch_add(usize::from(request.target() == "/health"), Ordering::SeqCst);
            // It is back when it is asked for the third time.
            if asked >= 2 {
                let _ = connection.peer.send(fine());
                serve(connection);
            }
        });
        let gateway = gateway(upstream.address().parse().unwrap(), "health: {interval: 10m}\n");
        let mut client = gateway.client();
        assert_eq!(client.ask(request(method)).status(), 200, "{method}");
        let requests = upstream.requests();
        let is_ours = |target: &&str| *target != "/_matrix/federation/v1/version";
        let targets: Vec<_> = requests.iter().map(Request::target).filter(is_ours).collect();
        assert_eq!(targets, [TARGET, "/health", "/health", "/health", TARGET], "{method}");
    }
}

#[test]
fn what_was_lost_with_a_process_that_does_not_come_back_is_told_as_lost() {
    let upstream = Upstream::new(|_, _| Then::Close);
    let gateway = gateway(upstream.address().parse().unwrap(), "health: {interval: 100ms}\nrestart_grace: 1s\n");
    gateway.line(|line| line == GONE);
    let told = gateway.client().ask(request("GET"));
    assert_eq!((told.status(), &told.json()["org.matrix.gateway.cause"]), (502, &"upstream_closed".into()));
}

/// Synapse lets 50 connections wait until it accepts them, and has much else to do when it has just been started.
#[test]
fn everybody_who_waited_is_let_in() {
    const MANY: usize = 200;
    let port = Port::reserve();
    let gateway = gateway(port.address(), "log: {level: debug}\n");
    let mut clients: Vec<_> = (0..MANY).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(request("POST"));
    }
    // Each is refused once before it waits.
    let refused = |lines: &[String]| lines.iter().filter(|line| line.contains(" is tried again: ")).count();
    gateway.wait_lines(|lines| (refused(lines) >= MANY).then_some(()));
    let busy = Duration::from_millis(10);
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let _upstream = Upstream::busy(port.listen_before(50), busy, move |connection| {
        while let Ok(request) = connection.request() {
            counted.fetch_add(usize::from(request.method() == "POST"), Ordering::SeqCst);
            if connection.peer.send(fine()).is_err() {
                break;
            }
        }
    });
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.response().status()).collect();
    assert_eq!(statuses, [200; MANY]);
    assert_eq!(served.load(Ordering::SeqCst), MANY, "each once");
    let warnings = gateway.lines().into_iter().filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.collect::<Vec<_>>(), [GONE], "one for all of them");
}
