//! Where sessions are kept: shared by two gateways through Redis, and across a restart in memory.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::DEADLINE;
use crate::support::certificates::{Kind, authority, sign};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, preamble};
use crate::support::redis::RedisServer;
use crate::support::told::Told;
use crate::support::upstream::{Upstream, fine};

const ENDPOINT: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";
const VERSIONS: &str = "/_matrix/client/versions";

fn ask(client: &mut Client, method: &str, target: &str, fields: &str, body: &str) -> Told {
    let length = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: {length}\r\n{fields}\r\n");
    client.ask(head + body).into()
}

/// Opens a session; its path and entity tag.
fn create(client: &mut Client, body: &str) -> (String, String) {
    let told = ask(client, "POST", ENDPOINT, "Content-Type: text/plain\r\n", body);
    assert_eq!(told.status, 201, "{told:?}");
    (format!("{ENDPOINT}/{}", told.one("location").unwrap()), told.one("etag").unwrap().to_owned())
}

fn on_redis(upstream: &Upstream, redis: &RedisServer) -> Gateway {
    let store = format!("unix:{}", redis.socket().display());
    let limits = "limits: {creations_per_minute: 0, reads_per_minute: 0, writes_per_minute: 0}";
    Gateway::before(upstream, &format!("rendezvous: {{enabled: true, store: '{store}', {limits}}}\n"))
}

#[test]
fn a_session_that_one_gateway_opened_is_read_written_and_ended_on_another() {
    let (upstream, redis) = (Upstream::answering(fine()), RedisServer::start());
    let gateways = [on_redis(&upstream, &redis), on_redis(&upstream, &redis)];
    let [mut one, mut other] = gateways.each_ref().map(Gateway::tls_client);
    let (session, first) = create(&mut one, "one");
    let read = ask(&mut other, "GET", &session, "", "");
    assert_eq!((read.status, read.text(), read.one("etag")), (200, "one", Some(&*first)));
    assert_eq!(read.one("content-type"), Some("text/plain"));
    let written = ask(&mut other, "PUT", &session, &format!("If-Match: {first}\r\n"), "two");
    let second = written.one("etag").unwrap().to_owned();
    assert_eq!((written.status, written.one("expires")), (202, read.one("expires")));
    let lost = ask(&mut one, "PUT", &session, &format!("If-Match: {first}\r\n"), "three");
    lost.is_error(412, "M_CONCURRENT_WRITE", "session_conflict");
    assert_eq!(lost.one("etag"), Some(&*second));
    let unchanged = ask(&mut one, "GET", &session, &format!("If-None-Match: {second}\r\n"), "");
    assert_eq!(unchanged.status, 304);
    assert_eq!(ask(&mut other, "DELETE", &session, "", "").status, 204);
    for client in [&mut one, &mut other] {
        ask(client, "GET", &session, "", "").is_error(404, "M_NOT_FOUND", "session_not_found");
    }
}

#[test]
fn a_redis_is_spoken_to_over_tls_where_this_machine_trusts_its_certificate() {
    // An address of the test's own, so that no other test can have the port.
    let address = format!("127.79.{}.{}", std::process::id() % 256, std::process::id() / 256 % 256);
    let upstream = Upstream::answering(fine());
    let directory = tempfile::TempDir::new().unwrap();
    let signed = sign(&[&address], Kind::Ecdsa);
    let [cert, key] = [("cert.pem", signed.cert), ("key.pem", signed.key)].map(|(name, pem)| {
        let file = directory.path().join(name);
        std::fs::write(&file, pem).unwrap();
        file.into_os_string()
    });
    let words = ["--bind", &address, "--tls-port", "6379", "--tls-auth-clients", "no", "--tls-cert-file"];
    let mut arguments: Vec<OsString> = words.map(OsString::from).into();
    arguments.extend([cert, "--tls-key-file".into(), key, "--tls-ca-cert-file".into(), authority().into()]);
    let _redis = RedisServer::start_with(arguments);
    let listeners = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";
    let store = format!("rendezvous: {{enabled: true, store: 'rediss://{address}/0'}}\n");
    let yaml = format!("{}{listeners}{store}", preamble(&upstream.address()));

    let trusting = [Gateway::trusting(&yaml), Gateway::trusting(&yaml)];
    let [mut one, mut other] = trusting.each_ref().map(Gateway::tls_client);
    let (session, tag) = create(&mut one, "sealed");
    let read = ask(&mut other, "GET", &session, "", "");
    assert_eq!((read.status, read.text(), read.one("etag")), (200, "sealed", Some(&*tag)));

    let doubtful = Gateway::start(&yaml);
    let refused = ask(&mut doubtful.client(), "GET", &session, "", "");
    refused.is_error(503, "M_UNKNOWN", "store_unavailable");
    doubtful.line(|line| {
        line.starts_with("warning: the Redis of the rendezvous sessions: ") && line.contains("ertificate")
    });
}

/// Whatever is answered is right: a write that was accepted is what is read next, or the session is gone as a whole with
/// the Redis that had it. All else is 503.
#[test]
fn while_redis_dies_and_comes_back_answers_are_right_or_503_and_forwarding_goes_on() {
    let (upstream, mut redis) = (Upstream::answering(fine()), RedisServer::start());
    let gateways = [on_redis(&upstream, &redis), on_redis(&upstream, &redis)].map(Arc::new);
    let stop = Arc::new(AtomicBool::new(false));
    let (done, signed_in) = mpsc::channel();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (gateway, other) = (Arc::clone(&gateways[worker % 2]), Arc::clone(&gateways[(worker + 1) % 2]));
            let (stop, done) = (Arc::clone(&stop), done.clone());
            thread::spawn(move || {
                let mut refused = 0;
                while !stop.load(Ordering::Relaxed) {
                    if sign_in(&mut gateway.client(), &mut other.client()) {
                        let _ = done.send(());
                    } else {
                        refused += 1;
                    }
                }
                refused
            })
        })
        .collect();
    let mut client = gateways[0].client();
    for _ in 0..2 {
        for _ in 0..8 {
            signed_in.recv_timeout(DEADLINE).unwrap();
        }
        redis.kill();
        let told = ask(&mut client, "POST", ENDPOINT, "", "x");
        told.is_error(503, "M_UNKNOWN", "store_unavailable");
        told.is_readable_for_pages();
        assert_eq!(told.one("retry-after"), Some("1"));
        let asked = Instant::now();
        assert_eq!(client.get(VERSIONS).status(), 200);
        assert!(asked.elapsed() < Duration::from_secs(1), "forwarding waits for Redis");
        redis.start_again();
        let back = Instant::now();
        while ask(&mut client, "POST", ENDPOINT, "", "x").status != 201 {
            assert!(back.elapsed() < DEADLINE, "it does not come back");
        }
        // Those of before.
        while signed_in.try_recv().is_ok() {}
    }
    stop.store(true, Ordering::Relaxed);
    let refused: u32 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    assert!(refused > 0, "nobody noticed");
    for gateway in &gateways {
        gateway.line(|line| line.contains("the Redis of the rendezvous sessions") && line.starts_with("warning: "));
        gateway.line(|line| line == "the Redis of the rendezvous sessions answers again");
    }
}

/// One session on two gateways, each step checked; whether it came to its end.
fn sign_in(one: &mut Client, other: &mut Client) -> bool {
    let unavailable = |told: &Told| {
        if told.status == 503 {
            told.is_error(503, "M_UNKNOWN", "store_unavailable");
        }
        told.status == 503
    };
    let told = ask(one, "POST", ENDPOINT, "", "0");
    if unavailable(&told) {
        return false;
    }
    assert_eq!(told.status, 201, "{told:?}");
    let session = format!("{ENDPOINT}/{}", told.one("location").unwrap());
    let mut tag = told.one("etag").unwrap().to_owned();
    for step in 1..20 {
        let (writer, reader) = if step % 2 == 0 { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
        let written = ask(writer, "PUT", &session, &format!("If-Match: {tag}\r\n"), &step.to_string());
        if unavailable(&written) || written.status == 404 {
            return false;
        }
        assert_eq!(written.status, 202, "{written:?}");
        written.one("etag").unwrap().clone_into(&mut tag);
        let read = ask(reader, "GET", &session, "", "");
        if unavailable(&read) || read.status == 404 {
            return false;
        }
        assert_eq!((read.status, read.text(), read.one("etag")), (200, &*step.to_string(), Some(&*tag)));
    }
    true
}

#[test]
fn a_session_in_memory_goes_on_after_a_restart() {
    let upstream = Upstream::answering(fine());
    let state = tempfile::TempDir::new().unwrap();
    let more = format!("rendezvous: {{enabled: true, state_dir: '{}'}}\n", state.path().display());
    let mut gateway = Gateway::before(&upstream, &more);
    let mut client = gateway.client();
    let (session, first) = create(&mut client, "one");
    let written = ask(&mut client, "PUT", &session, &format!("If-Match: {first}\r\n"), "two");
    let tag = written.one("etag").unwrap().to_owned();
    let file = state.path().join("rendezvous-sessions");
    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
    gateway.line(|line| line == format!("1 rendezvous sessions wait in {}", file.display()));
    assert!(file.exists());

    let gateway = Gateway::before(&upstream, &more);
    gateway.line(|line| line == "1 rendezvous sessions go on from before the restart");
    assert!(!file.exists());
    let mut client = gateway.client();
    let read = ask(&mut client, "GET", &session, "", "");
    assert_eq!((read.status, read.text(), read.one("etag")), (200, "two", Some(&*tag)));
    for field in ["expires", "last-modified"] {
        assert_eq!(read.one(field), written.one(field), "{field}");
    }
    let lost = ask(&mut client, "PUT", &session, &format!("If-Match: {first}\r\n"), "three");
    lost.is_error(412, "M_CONCURRENT_WRITE", "session_conflict");
    assert_eq!(ask(&mut client, "PUT", &session, &format!("If-Match: {tag}\r\n"), "three").status, 202);
}

#[test]
fn a_file_that_is_none_of_ours_does_not_keep_the_gateway_from_starting() {
    let upstream = Upstream::answering(fine());
    let state = tempfile::TempDir::new().unwrap();
    std::fs::write(state.path().join("rendezvous-sessions"), "something else").unwrap();
    let gateway = Gateway::before(
        &upstream,
        &format!("rendezvous: {{enabled: true, state_dir: '{}'}}\n", state.path().display()),
    );
    gateway.line(|line| line.starts_with("warning: the rendezvous sessions from before the restart are lost: "));
    create(&mut gateway.client(), "one");
}
