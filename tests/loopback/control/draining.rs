//! A process of Synapse is taken out of service and put back, and no client notices.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CONTROL, command, process, refused, told};
use crate::support::DEADLINE;
use crate::support::client::{Client, lines};
use crate::support::command::Finished;
use crate::support::gate::Gate;
use crate::support::gateway::Gateway;
use crate::support::told::Told;
use crate::support::upstream::{Then, Upstream, answer};
use crate::workers::{before, named, who};

const SYNC: &str = "/_matrix/client/v3/sync?since=s1";
const VERSIONS: &str = "/_matrix/client/versions";
const ROLES: &str = ", roles: [sync]";

/// A process that answers with its name; long polls that say so wait at the gate first.
fn polled(name: &'static str, gate: &Gate) -> Upstream {
    let gate = gate.clone();
    Upstream::new(move |request, peer| {
        if request.target().contains("timeout=30000") {
            gate.wait();
        }
        let told = answer("200 OK", &format!("{{\"name\":\"{name}\"}}"));
        peer.send(told).map_or(Then::Close, |()| Then::Next)
    })
}

/// The access token of a user; each has a process of their own.
fn token(user: &str) -> String {
    format!("Bearer syt_{user}_d_x")
}

/// Users whose process is `name`, and users whose process is another.
fn users_of(gateway: &Gateway, name: &str) -> (Vec<String>, Vec<String>) {
    let users = (0..12).map(|number| format!("{:04}", 1000 + number));
    users.partition(|user| who(gateway, "GET", SYNC, &token(user)) == name)
}

/// Begins a long poll that waits at the gate.
fn poll(gateway: &Gateway, user: &str) -> Client {
    let mut client = gateway.client();
    let fields = lines(&[("Authorization", &token(user))]);
    client.send(format!("GET {SYNC}&timeout=30000 HTTP/1.1\r\nHost: matrix.example.com\r\n{fields}\r\n"));
    client
}

/// Waits until a process is such, by what `status` says of it.
#[track_caller]
fn await_process(gateway: &Gateway, name: &str, is_so: impl Fn(&Value) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = process(gateway, name);
        if is_so(&found) {
            return;
        }
        assert!(Instant::now() < deadline, "{found}");
    }
}

/// Runs a command beside the test.
fn beside<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    gateway: &'scope Gateway,
    arguments: &'scope [&'scope str],
) -> thread::ScopedJoinHandle<'scope, Finished> {
    scope.spawn(move || command(gateway, arguments))
}

#[test]
fn drain_waits_for_what_is_in_flight_while_new_requests_go_elsewhere_and_undrain_brings_them_back() {
    let gate = Gate::new();
    let (main, a, b) = (named("main"), polled("a", &gate), polled("b", &gate));
    let gateway = before(&[("main", &main, ""), ("a", &a, ROLES), ("b", &b, ROLES)], CONTROL);
    let (of_a, of_b) = users_of(&gateway, "a");
    assert!(!of_a.is_empty() && !of_b.is_empty());
    let mut poll = poll(&gateway, &of_a[0]);
    await_process(&gateway, "a", |process| process["long_polls"] == 1);
    thread::scope(|scope| {
        let drain = beside(scope, &gateway, &["drain", "a"]);
        await_process(&gateway, "a", |process| process["drained"] == true);
        for user in of_a.iter().chain(&of_b) {
            assert_eq!(who(&gateway, "GET", SYNC, &token(user)), "b");
        }
        assert!(!drain.is_finished(), "a long poll is in flight");
        gate.open();
        assert_eq!(poll.response().json()["name"], "a", "it was not cut");
        let drained = drain.join().unwrap();
        assert_eq!((drained.code, drained.err.as_str()), (Some(0), ""), "{drained:?}");
        assert!(drained.out.starts_with("a is idle"), "{}", drained.out);
    });
    assert_eq!(process(&gateway, "a")["up"], true, "it is looked at all the same");
    assert_eq!(who(&gateway, "GET", SYNC, &token(&of_a[0])), "b", "it stays drained");
    // A second time it has nothing to wait for.
    told(&gateway, &["drain", "a"]);
    told(&gateway, &["undrain", "a"]);
    for (users, name) in [(&of_a, "a"), (&of_b, "b")] {
        for user in users {
            assert_eq!(who(&gateway, "GET", SYNC, &token(user)), name);
        }
    }
}

#[test]
fn drain_gives_up_in_time_says_how_many_are_left_and_leaves_the_process_drained() {
    let gate = Gate::new();
    let (main, a, b) = (named("main"), polled("a", &gate), polled("b", &gate));
    let gateway = before(&[("main", &main, ""), ("a", &a, ROLES), ("b", &b, ROLES)], CONTROL);
    let (of_a, _) = users_of(&gateway, "a");
    let mut poll = poll(&gateway, &of_a[0]);
    await_process(&gateway, "a", |process| process["long_polls"] == 1);
    let drain = command(&gateway, &["drain", "--timeout", "300ms", "a"]);
    assert_eq!((drain.code, drain.out.as_str()), (Some(1), ""), "nobody watches: {drain:?}");
    assert!(drain.err.contains("a still has 0 requests and 1 long polls after 300ms"), "{}", drain.err);
    let drain = command(&gateway, &["drain", "--json", "--timeout", "300ms", "a"]);
    let states: Vec<Value> = drain.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&states[0]["state"], &states[0]["long_polls"]), (&"draining".into(), &1.into()), "{states:?}");
    assert_eq!(states.last().unwrap()["state"], "busy", "{states:?}");
    assert_eq!(process(&gateway, "a")["drained"], true);
    gate.open();
    assert_eq!(poll.response().status(), 200);
    let drain = told(&gateway, &["drain", "--json", "a"]);
    assert!(drain.lines().last().unwrap().contains("\"drained\""), "{drain}");
}

#[test]
fn who_is_put_back_while_it_is_drained_is_not_waited_for() {
    let gate = Gate::new();
    let (main, a, b) = (named("main"), polled("a", &gate), polled("b", &gate));
    let gateway = before(&[("main", &main, ""), ("a", &a, ROLES), ("b", &b, ROLES)], CONTROL);
    let (of_a, _) = users_of(&gateway, "a");
    let _poll = poll(&gateway, &of_a[0]);
    await_process(&gateway, "a", |process| process["long_polls"] == 1);
    thread::scope(|scope| {
        let drain = beside(scope, &gateway, &["drain", "a"]);
        await_process(&gateway, "a", |process| process["drained"] == true);
        told(&gateway, &["undrain", "a"]);
        let drained = drain.join().unwrap();
        assert_eq!(drained.code, Some(1), "{drained:?}");
        assert!(drained.err.contains("not drained any more"), "{}", drained.err);
    });
    gate.open();
}

#[test]
fn the_last_that_could_answer_is_drained_by_force_only_and_requests_wait_for_it() {
    let (main, typing) = (named("main"), named("typing"));
    let gateway = before(
        &[("main", &main, ""), ("typing1", &typing, ", streams: [typing]")],
        &format!("{CONTROL}restart_grace: 20s\n"),
    );
    let complaint = refused(&gateway, &["drain", "typing1"], 1);
    assert!(complaint.contains("nobody else could answer for stream.typing;"), "{complaint}");
    let complaint = refused(&gateway, &["drain", "main"], 1);
    assert!(complaint.contains("nobody else could answer for main;"), "{complaint}");
    assert_eq!(process(&gateway, "typing1")["drained"], false, "nothing was changed");
    let complaint = refused(&gateway, &["drain", "typing"], 1);
    assert!(complaint.contains("there are main, typing1"), "{complaint}");
    refused(&gateway, &["undrain", "typing"], 1);

    told(&gateway, &["drain", "--force", "typing1"]);
    let target = "/_matrix/client/v3/rooms/!r:example.org/typing/@a:example.com";
    let mut client = gateway.client();
    client.send(format!("PUT {target} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 0\r\n\r\n"));
    assert!(client.response_within(Duration::from_millis(300)).is_none(), "it waits");
    assert_eq!(who(&gateway, "GET", VERSIONS, ""), "main", "others do not");
    let ready = Told::from(gateway.client().get("/ready"));
    assert_eq!((ready.status, &ready.json()["error"]), (503, &"Nobody answers for stream.typing".into()));
    told(&gateway, &["undrain", "typing1"]);
    assert_eq!(client.response().json()["name"], "typing");
    assert_eq!(gateway.client().get("/ready").status(), 200);
}

#[test]
fn a_process_stays_drained_over_a_reload_unless_it_is_gone() {
    let gate = Gate::new();
    let (main, a, b) = (named("main"), polled("a", &gate), polled("b", &gate));
    let gateway = before(&[("main", &main, ""), ("a", &a, ROLES), ("b", &b, ROLES)], CONTROL);
    let with_a = std::fs::read_to_string(gateway.directory().join("gateway.yaml")).unwrap();
    let (of_a, _) = users_of(&gateway, "a");
    // It began under a configuration that is no longer in use when it is looked for.
    let mut poll = poll(&gateway, &of_a[0]);
    await_process(&gateway, "a", |process| process["long_polls"] == 1);
    told(&gateway, &["reload"]);
    refused(&gateway, &["drain", "--timeout", "200ms", "a"], 1);
    told(&gateway, &["reload"]);
    assert_eq!(process(&gateway, "a")["drained"], true);
    assert_eq!(who(&gateway, "GET", SYNC, &token(&of_a[0])), "b");
    gate.open();
    assert_eq!(poll.response().status(), 200);
    told(&gateway, &["drain", "a"]);

    let section = format!(", a: {{address: '{}'{ROLES}}}", a.address());
    assert!(with_a.contains(&section));
    gateway.configure(&with_a.replace(&section, ""));
    told(&gateway, &["reload"]);
    gateway.configure(&with_a);
    told(&gateway, &["reload"]);
    assert_eq!(process(&gateway, "a")["drained"], false);
    assert_eq!(who(&gateway, "GET", SYNC, &token(&of_a[0])), "a");
}
