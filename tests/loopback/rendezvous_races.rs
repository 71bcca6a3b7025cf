//! Several devices write to one session at once, over both protocols of HTTP: in every round exactly one wins, and no
//! revision ever comes back.

use std::collections::HashSet;
use std::sync::mpsc;
use std::thread;

use serde_json::json;

use crate::support::DEADLINE;
use crate::support::asked::{over_h1, over_h2};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::h2::H2;
use crate::support::redis::RedisServer;
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

const ROUNDS: usize = 10_000;
/// Half of them over HTTP/1.1, half over HTTP/2.
const WRITERS: usize = 4;
const MSC4108: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
const MSC4388: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";

/// A connection, and the protocol spoken on it.
enum Line {
    Http1(Box<Client>),
    Http2(Box<H2>),
}

impl Line {
    /// The connection of the n-th writer.
    fn of(writer: usize, gateway: &Gateway) -> Self {
        if writer < WRITERS / 2 {
            Self::Http1(Box::new(gateway.tls_client()))
        } else {
            Self::Http2(Box::new(gateway.h2()))
        }
    }

    fn ask(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Told {
        match self {
            Self::Http1(client) => over_h1(client, method, target, fields, body),
            Self::Http2(client) => over_h2(client, method, target, fields, body),
        }
    }
}

/// How a protocol opens a session and writes to it.
#[derive(Clone, Copy)]
enum Dialect {
    /// MSC4108.
    EntityTags,
    /// MSC4388.
    SequenceTokens,
}

impl Dialect {
    /// The session's path and first revision.
    fn open(self, line: &mut Line) -> (String, String) {
        match self {
            Self::EntityTags => {
                let told = line.ask("POST", MSC4108, &[("content-type", "text/plain")], "");
                assert_eq!(told.status, 201, "{told:?}");
                let json = told.json();
                let url = json["url"].as_str().unwrap();
                (url[url.find("/_").unwrap()..].to_owned(), told.one("etag").unwrap().to_owned())
            }
            Self::SequenceTokens => {
                let told = line.ask("POST", MSC4388, &[], r#"{"data":""}"#);
                assert_eq!(told.status, 200, "{told:?}");
                let text = |name: &str| told.json()[name].as_str().unwrap().to_owned();
                (format!("{MSC4388}/{}", text("id")), text("sequence_token"))
            }
        }
    }

    fn write(self, line: &mut Line, session: &str, revision: &str, payload: &str) -> Told {
        match self {
            Self::EntityTags => {
                line.ask("PUT", session, &[("content-type", "text/plain"), ("if-match", revision)], payload)
            }
            Self::SequenceTokens => {
                let body = json!({ "sequence_token": revision, "data": payload }).to_string();
                line.ask("PUT", session, &[], &body)
            }
        }
    }

    /// The revision after the write where it has won, and none where it was refused as it should be. A refusal in terms
    /// of entity tags tells the present one.
    fn verdict(self, told: &Told) -> Option<String> {
        let (accepted, refused) = match self {
            Self::EntityTags => (202, 412),
            Self::SequenceTokens => (200, 409),
        };
        if told.status == accepted {
            return Some(self.revision(told));
        }
        let errcode = match self {
            Self::EntityTags => "M_UNKNOWN",
            Self::SequenceTokens => "IO_ELEMENT_MSC4388_CONCURRENT_WRITE",
        };
        told.is_error(refused, errcode, "session_conflict");
        None
    }

    fn revision(self, told: &Told) -> String {
        match self {
            Self::EntityTags => told.one("etag").unwrap().to_owned(),
            Self::SequenceTokens => told.json()["sequence_token"].as_str().unwrap().to_owned(),
        }
    }

    fn payload(self, told: &Told) -> String {
        match self {
            Self::EntityTags => told.text().to_owned(),
            Self::SequenceTokens => told.json()["data"].as_str().unwrap().to_owned(),
        }
    }
}

/// Each writer always writes the same payload, so that payloads come back all the time.
fn race(dialect: Dialect, gateways: &[Gateway]) {
    let lines = (0..WRITERS).map(|writer| Line::of(writer, &gateways[writer % gateways.len()]));
    let mut witness = Line::of(0, &gateways[0]);
    let (session, first) = dialect.open(&mut witness);
    let mut present = first.clone();
    thread::scope(|scope| {
        let (judge, verdicts) = mpsc::channel::<(usize, Told)>();
        let starts: Vec<mpsc::Sender<String>> = lines
            .enumerate()
            .map(|(writer, mut line)| {
                let (start, revisions) = mpsc::channel::<String>();
                let (judge, session) = (judge.clone(), session.as_str());
                scope.spawn(move || {
                    for revision in revisions {
                        let told = dialect.write(&mut line, session, &revision, &writer.to_string());
                        judge.send((writer, told)).unwrap();
                    }
                });
                start
            })
            .collect();
        let mut seen = HashSet::from([first.clone()]);
        for round in 0..ROUNDS {
            for start in &starts {
                start.send(present.clone()).unwrap();
            }
            let told: Vec<_> = starts.iter().map(|_| verdicts.recv_timeout(DEADLINE).unwrap()).collect();
            let won: Vec<_> =
                told.iter().filter_map(|(writer, told)| Some((*writer, dialect.verdict(told)?))).collect();
            let [(winner, next)] = won.as_slice() else { panic!("round {round}: {won:?} have won") };
            assert!(seen.insert(next.clone()), "round {round}: {next} comes back");
            if matches!(dialect, Dialect::EntityTags) {
                assert!(told.iter().all(|(_, told)| told.one("etag") == Some(next)), "round {round}: {told:?}");
            }
            if round % 100 == 0 {
                let read = witness.ask("GET", &session, &[], "");
                assert_eq!((dialect.payload(&read), dialect.revision(&read)), (winner.to_string(), next.clone()));
                let stale = dialect.write(&mut witness, &session, &present, "nobody's");
                assert_eq!(dialect.verdict(&stale), None, "round {round}");
            }
            present.clone_from(next);
        }
        let late = dialect.write(&mut witness, &session, &first, "late");
        assert_eq!(dialect.verdict(&late), None);
    });
}

/// What the tests of other files look at is switched off here.
fn gateway(upstream: &Upstream, store: &str) -> Gateway {
    let limits = "limits: {creations_per_minute: 0, reads_per_minute: 0, writes_per_minute: 0}";
    let ttl = "msc4108: {ttl: 1h}, msc4388: {ttl: 1h}";
    let log = "log: {target: 'off'}\n";
    Gateway::before(upstream, &format!("rendezvous: {{enabled: true, store: '{store}', {ttl}, {limits}}}\n{log}"))
}

fn race_in_memory(dialect: Dialect) {
    let upstream = Upstream::answering(fine());
    race(dialect, &[gateway(&upstream, "memory")]);
}

fn race_in_redis(dialect: Dialect) {
    let (upstream, redis) = (Upstream::answering(fine()), RedisServer::start());
    let store = format!("unix:{}", redis.socket().display());
    race(dialect, &[gateway(&upstream, &store), gateway(&upstream, &store)]);
}

#[test]
fn of_writers_with_one_entity_tag_exactly_one_wins_in_memory() {
    race_in_memory(Dialect::EntityTags);
}

#[test]
fn of_writers_with_one_sequence_token_exactly_one_wins_in_memory() {
    race_in_memory(Dialect::SequenceTokens);
}

#[test]
fn of_writers_with_one_entity_tag_at_two_gateways_exactly_one_wins_in_redis() {
    race_in_redis(Dialect::EntityTags);
}

#[test]
fn of_writers_with_one_sequence_token_at_two_gateways_exactly_one_wins_in_redis() {
    race_in_redis(Dialect::SequenceTokens);
}
