//! Sign-in sessions in memory while one process takes over from another: there is one truth at any time.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{hand_over, yaml};
use crate::support::asked::{over_h1, over_h2};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::h2::H2;
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

const SESSIONS: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const UNBOUNDED: &str = "rendezvous:\n  enabled: true\n  limits: {sessions: 0, creations_per_minute: 0, reads_per_minute: 0, \
                         writes_per_minute: 0}\n";
const TEXT: (&str, &str) = ("content-type", "text/plain");
/// How many writes must succeed while one process takes over from another.
const AT_LEAST: u64 = 20;

fn open(client: &mut Client, payload: &str) -> String {
    let told = over_h1(client, "POST", SESSIONS, &[TEXT], payload);
    assert_eq!(told.status, 201, "{told:?}");
    let url = told.json()["url"].as_str().unwrap().to_owned();
    url[url.find("/_").unwrap()..].to_owned()
}

fn read(client: &mut Client, session: &str) -> Told {
    over_h1(client, "GET", session, &[], "")
}

fn write(client: &mut Client, session: &str, tag: &str, payload: &str) -> Told {
    over_h1(client, "PUT", session, &[TEXT, ("if-match", tag)], payload)
}

#[test]
fn sessions_go_over_and_are_asked_for_in_the_new_process() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), UNBOUNDED));
    let (mut old, mut old_h2) = (gateway.client(), gateway.h2());
    let session = open(&mut old, "first");
    let first = read(&mut old, &session);
    let tag = first.one("etag").unwrap().to_owned();
    let mut long = gateway.client();
    let large = "x".repeat(4096);
    let other = open(&mut long, &large);
    hand_over(&gateway, &upstream.address(), 2, UNBOUNDED);

    // A connection of the old process still serves one request, from the store of the new one.
    let written = write(&mut old, &session, &tag, "second");
    assert_eq!((written.status, written.one("connection")), (202, Some("close")), "{written:?}");
    let mut new = gateway.client();
    let second = read(&mut new, &session);
    assert_eq!((second.text(), second.one("etag")), ("second", written.one("etag")));
    let stale = write(&mut new, &session, &tag, "third");
    assert_eq!((stale.status, stale.one("etag")), (412, written.one("etag")), "{stale:?}");
    let told = read(&mut long, &other);
    assert_eq!((told.status, told.text()), (200, large.as_str()));
    // Ended in one, it is gone in the other.
    assert_eq!(over_h1(&mut new, "DELETE", &session, &[], "").status, 204);
    drop(old_h2.try_send(crate::support::h2::get(&session), true));
    assert_eq!(read(&mut new, &session).status, 404);
}

#[test]
fn sessions_that_are_opened_in_the_old_process_last_are_known_to_the_new_one() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), UNBOUNDED));
    let mut old = [gateway.client(), gateway.client()];
    // One that has served something waits for the next request, one that has not for its first.
    for client in &mut old {
        assert_eq!(client.get("/health").status(), 200);
    }
    hand_over(&gateway, &upstream.address(), 2, UNBOUNDED);
    hand_over(&gateway, &upstream.address(), 3, UNBOUNDED);
    for client in &mut old {
        // From the first process by way of the control socket, which is the third one's by now.
        let session = open(client, "payload");
        assert_eq!(read(&mut gateway.client(), &session).text(), "payload");
    }
}

/// Connects again when it is told to.
enum Writer<'a> {
    New(&'a Gateway),
    Kept(&'a Gateway, Option<Client>),
    Http2(&'a Gateway, Option<H2>),
}

impl Writer<'_> {
    fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Told {
        match self {
            Self::New(gateway) => over_h1(&mut gateway.client(), method, target, fields, body),
            Self::Kept(gateway, kept) => {
                let client = kept.get_or_insert_with(|| gateway.tls_client());
                let told = over_h1(client, method, target, fields, body);
                if told.one("connection") == Some("close") {
                    *kept = None;
                }
                told
            }
            Self::Http2(gateway, kept) => {
                let ready = kept.as_mut().is_some_and(H2::is_open);
                if !ready {
                    *kept = Some(gateway.h2());
                }
                over_h2(kept.as_mut().unwrap(), method, target, fields, body)
            }
        }
    }
}

/// Each adds one to the number in the session, on the condition that nobody has written meanwhile. Two processes that
/// both believed to have the session would count the same number twice; a lost write would be missing.
#[test]
fn writers_that_compete_during_three_hand_overs_see_one_session() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), UNBOUNDED));
    let session = open(&mut gateway.client(), "0");
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let (gateway, session, stop, written) = (&gateway, &session, &stop, &written);
        let writers = [
            Writer::New(gateway),
            Writer::Kept(gateway, None),
            Writer::Kept(gateway, None),
            Writer::Http2(gateway, None),
            Writer::Http2(gateway, None),
        ];
        let count = move |mut writer: Writer<'_>| {
            while !stop.load(Ordering::Relaxed) {
                let read = writer.ask("GET", session, &[], "");
                assert_eq!(read.status, 200, "{read:?}");
                let next = (read.text().parse::<u64>().unwrap() + 1).to_string();
                let tag = read.one("etag").unwrap().to_owned();
                let told = writer.ask("PUT", session, &[TEXT, ("if-match", &tag)], &next);
                match told.status {
                    202 => drop(written.fetch_add(1, Ordering::Relaxed)),
                    412 => {}
                    _ => panic!("{told:?}"),
                }
            }
        };
        let writers: Vec<_> = writers.into_iter().map(|writer| scope.spawn(move || count(writer))).collect();
        for threads in 1..=3 {
            let before = written.load(Ordering::Relaxed);
            hand_over(gateway, &upstream.address(), threads, UNBOUNDED);
            let busy = || written.load(Ordering::Relaxed) >= before + AT_LEAST;
            while !busy() && writers.iter().all(|writer| !writer.is_finished()) {
                thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    let end = read(&mut gateway.client(), &session);
    assert_eq!(end.text(), written.load(Ordering::Relaxed).to_string());
}
