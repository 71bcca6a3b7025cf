//! Clients of every kind, all the while that one process after the other takes over.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ::h2::Reason;

use super::{SYNC, VERSIONS, hand_over, yaml};
use crate::support::certificates::{NAME, client_config};
use crate::support::client::{Client, get, post};
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::h2::{self, H2};
use crate::support::upstream::{Then, Upstream, fine};

/// How many requests each kind of client must have sent while one process takes over from another.
const AT_LEAST: usize = 20;

/// A client that keeps its connection for as long as it may.
struct Kept<'a> {
    connect: Box<dyn Fn() -> Client + Send + 'a>,
    client: Option<Client>,
}

impl Kept<'_> {
    fn ask(&mut self) -> u16 {
        let client = self.client.get_or_insert_with(&self.connect);
        let response = client.get(VERSIONS);
        if response.one("connection") == Some("close") {
            self.client = None;
        }
        response.status()
    }
}

/// A client of HTTP/2 that connects again once it was told that its connection ends. What it wanted to send just then, and
/// the gateway says that it has not seen, it sends again (RFC 9113, section 6.8).
fn ask_h2(gateway: &Gateway, line: &mut Option<H2>) -> u16 {
    let connect = || H2::connect(gateway.address("127.0.0.2"), NAME, client_config(&["h2"]));
    loop {
        let client = line.get_or_insert_with(connect);
        match client.try_send(h2::get(VERSIONS), true) {
            Some((answer, _)) => match client.answer(answer) {
                Ok(answer) => return answer.status.as_u16(),
                Err(error) if error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR) => {
                    *line = None;
                }
                // What was sent must be answered.
                Err(error) => panic!("{error:?}"),
            },
            None => *line = None,
        }
    }
}

#[test]
fn no_request_is_lost_while_three_processes_take_over_from_one_another() {
    let gate = Gate::new();
    let waiting = gate.clone();
    let upstream = Upstream::new(move |request, peer| {
        if request.target() == SYNC {
            waiting.wait();
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let mut gateway = Gateway::start(&yaml(&upstream.address(), ""));
    // Under way from before the first until after the last.
    let (mut poll, mut upload) = (gateway.client(), gateway.tls_client());
    let mut poll_h2 = gateway.h2();
    poll.send(get(SYNC));
    upload.send(post("/_matrix/media/v3/upload", 8) + "half");
    let (polled, _) = poll_h2.send(h2::get(SYNC), true);
    upstream.wait(|seen| seen.requests.len() == 2 && seen.accepted >= 3);

    let (stop, sent) = (AtomicBool::new(false), [const { AtomicUsize::new(0) }; 5]);
    let gateway_ref = &gateway;
    thread::scope(|scope| {
        let mut line = None;
        let kept = |connect: Box<dyn Fn() -> Client + Send>| Kept { connect, client: None };
        let mut plain = kept(Box::new(|| gateway_ref.client()));
        let mut tls = kept(Box::new(|| gateway_ref.tls_client()));
        let asks: [Box<dyn FnMut() -> u16 + Send>; 5] = [
            Box::new(|| gateway_ref.client().get(VERSIONS).status()),
            Box::new(|| gateway_ref.tls_client().get(VERSIONS).status()),
            Box::new(move || plain.ask()),
            Box::new(move || tls.ask()),
            Box::new(move || ask_h2(gateway_ref, &mut line)),
        ];
        let (stop, sent) = (&stop, &sent);
        let clients: Vec<_> = asks
            .into_iter()
            .zip(sent)
            .map(|(mut ask, sent)| {
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(ask(), 200);
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for threads in 1..=3 {
            let before = sent.each_ref().map(|sent| sent.load(Ordering::Relaxed));
            hand_over(gateway_ref, &upstream.address(), threads, "");
            let busy =
                || sent.iter().zip(before).all(|(sent, before)| sent.load(Ordering::Relaxed) >= before + AT_LEAST);
            while !busy() && clients.iter().all(|client| !client.is_finished()) {
                thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });

    upload.send("rest");
    assert_eq!(upload.response().status(), 200);
    gate.open();
    assert_eq!(poll.response().status(), 200);
    assert_eq!(poll_h2.answer(polled).unwrap().status, 200);
    let uploaded = upstream.requests().into_iter().find(|request| request.method() == "POST").unwrap();
    assert_eq!(uploaded.body.bytes, b"halfrest");
    drop((poll, upload, poll_h2));
    assert_eq!(gateway.ended().code(), Some(0));
}
