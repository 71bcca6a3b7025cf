//! Where sessions are kept, as written by the operator.

use std::path::PathBuf;

use super::{build, problems};
use crate::rendezvous::session::{Content, Record, Retry, Session, Timestamp, Write};
use crate::rendezvous::{Keeping, Protocol, RedisEndpoint, RedisServer, Revision, Revisions, SessionId, TransactionId};

#[test]
fn sessions_are_in_memory_unless_a_redis_is_named() {
    let check = |store: &str, endpoint: RedisEndpoint, database: u16| {
        let rendezvous = build(|section| section.store = store.to_owned());
        let expected = RedisServer { endpoint, database, password_file: None };
        assert_eq!(rendezvous.keeping(), Some(&Keeping::Redis(expected)), "{store}");
    };
    let tcp = |host: &str, port, tls| RedisEndpoint::Tcp { host: host.to_owned(), port, tls };
    check("redis://localhost", tcp("localhost", 6379, false), 0);
    check("redis://localhost/", tcp("localhost", 6379, false), 0);
    check("redis://127.0.0.1:6380/3", tcp("127.0.0.1", 6380, false), 3);
    check("redis://[::1]:6380", tcp("::1", 6380, false), 0);
    check("redis://[::1]", tcp("::1", 6379, false), 0);
    check("rediss://redis.example.com:6390/15", tcp("redis.example.com", 6390, true), 15);
    let socket = || RedisEndpoint::Unix("/run/redis/redis.sock".into());
    check("unix:/run/redis/redis.sock", socket(), 0);
    check("unix:///run/redis/redis.sock", socket(), 0);
    check("redis+unix:///run/redis/redis.sock?db=2", socket(), 2);
    assert_eq!(build(|_| ()).keeping(), Some(&Keeping::Memory { state_dir: None }));
    let path = PathBuf::from("/etc/synapse-gateway/redis");
    let with_password = build(|section| {
        section.store = "redis://localhost".to_owned();
        section.store_password_file = Some(path.clone());
    });
    let Some(Keeping::Redis(server)) = with_password.keeping() else { panic!("{with_password:?}") };
    assert_eq!(server.password_file.as_ref(), Some(&path));
}

#[test]
fn a_store_that_is_none_is_refused_and_no_password_repeated() {
    let check = |store: &str, start: &str| {
        let found = problems(|section| section.store = store.to_owned());
        let [problem] = &found[..] else { panic!("{store}: {found:?}") };
        assert!(problem.starts_with(start), "{store}: {problem}");
        assert!(!problem.contains("sesame"), "{problem}");
    };
    let neither = "error: rendezvous.store: it is neither `memory` nor a URL of Redis";
    for store in ["", "Memory", "redis", "localhost:6379", "http://localhost:6379", "valkey://sesame"] {
        check(store, neither);
    }
    let password = "error: rendezvous.store: a password in the URL would be readable";
    for store in ["redis://:sesame@localhost", "rediss://user:sesame@localhost:1/0", "redis://user@localhost"] {
        check(store, password);
    }
    let host = "error: rendezvous.store: there is no host and port";
    for store in ["redis://", "redis://:6379", "redis://localhost:0", "redis://localhost:99999", "redis://local host"] {
        check(store, host);
    }
    let database = "error: rendezvous.store: the database is not a number";
    for store in
        ["redis://localhost/x", "redis://localhost/70000", "redis://localhost/0?db=1", "unix:/a?db=", "unix:/a?x"]
    {
        check(store, database);
    }
    check("unix:redis.sock", "error: rendezvous.store: the path of the socket is not absolute");
}

#[test]
fn paths_are_absolute_and_a_password_is_for_somebody() {
    let check = |file: Option<&str>, directory: Option<&str>, start: &str| {
        let found = problems(|section| {
            section.store_password_file = file.map(PathBuf::from);
            section.state_dir = directory.map(PathBuf::from);
        });
        let [problem] = &found[..] else { panic!("{found:?}") };
        assert!(problem.starts_with(start), "{problem}");
    };
    check(Some("/a"), None, "error: rendezvous.store_password_file: the memory of the gateway has no password");
    check(None, Some("run"), "error: rendezvous.state_dir: the path is not absolute");
}

#[test]
fn a_session_is_built_again_from_its_parts() {
    let id = SessionId::parse("0123456789abcdef0123456789abcdef").unwrap();
    let revision = |number| Revision::new(uuid::Uuid::from_u128(number));
    let content = |payload: &str| Content::new(payload.as_bytes(), http::HeaderValue::from_static("text/plain"));
    let now = Timestamp::from_millis(1000);
    let lives = std::time::Duration::from_mins(1);
    let mut session = Session::open(Protocol::Msc4388, content("a"), revision(0), now, lives);
    assert_eq!(Session::from(Record::from(session.clone())), session);
    let write = |name: &str, expected: u128, next: u128| Write {
        protocol: Protocol::Msc4388,
        expected: Revisions::OneOf(vec![revision(expected)]),
        content: content(name),
        revision: revision(next),
        retry: Retry::SameTransaction(TransactionId::parse(id, name).unwrap()),
    };
    session.write(write("m1", 0, 1), now).unwrap();
    session.write(write("m2", 0, 2), now).unwrap_err();
    let mut again = Session::from(Record::from(session.clone()));
    assert_eq!(again, session);
    assert_eq!(again.write(write("m1", 7, 3), now).unwrap().revision, revision(1), "it remembers its writes");
}
