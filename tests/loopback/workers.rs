//! Several processes of Synapse: which of them gets a request, and what becomes of it when one is not there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::client::{get, lines};
use crate::support::gate::Gate;
use crate::support::gateway::{Gateway, identity, preamble};
use crate::support::metrics::{METRICS, Metrics};
use crate::support::port::Port;
use crate::support::told::Told;
use crate::support::upstream::{Connection, Then, Upstream, answer, fine};

const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";
const VERSIONS: &str = "/_matrix/client/versions";
const SYNC: &str = "/_matrix/client/v3/sync?since=s1";

/// A process that answers with its name.
pub(crate) fn named(name: &'static str) -> Upstream {
    Upstream::answering(answer("200 OK", &format!("{{\"name\":\"{name}\"}}")))
}

/// A gateway with these processes, each with its name and what else stands in its section.
pub(crate) fn before(processes: &[(&str, &Upstream, &str)], more: &str) -> Gateway {
    let sections: Vec<_> =
        processes.iter().map(|(name, at, more)| format!("{name}: {{address: '{}'{more}}}", at.address())).collect();
    let upstreams = format!("upstreams: {{{}}}\n", sections.join(", "));
    let main = processes.iter().find(|(name, ..)| *name == "main").unwrap().1;
    let more = format!("{upstreams}{more}");
    let key = |line: &str| line.split(':').next().map(str::to_owned);
    let replaced: Vec<_> = more.lines().map(key).collect();
    let preamble = preamble(&main.address());
    let others: Vec<_> = preamble.lines().filter(|line| !replaced.contains(&key(line))).collect();
    Gateway::start(&format!("{}\n{LISTENERS}{more}", others.join("\n")))
}

pub(crate) fn ask(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> Told {
    let length = if matches!(method, "GET" | "HEAD") { "" } else { "Content-Length: 0\r\n" };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: matrix.example.com\r\n{length}{}\r\n", lines(fields));
    gateway.client().ask(head).into()
}

/// The process that answers.
pub(crate) fn who(gateway: &Gateway, method: &str, target: &str, authorization: &str) -> String {
    let fields = [("Authorization", authorization)];
    let told = ask(gateway, method, target, if authorization.is_empty() { &[] } else { &fields });
    assert_eq!(told.status, 200, "{told:?}");
    told.json()["name"].as_str().unwrap().to_owned()
}

#[test]
fn each_request_goes_to_a_process_of_its_role() {
    let [main, sync, federation, typing] = ["main", "sync", "federation", "typing"].map(named);
    let gateway = before(
        &[
            ("main", &main, ""),
            ("sync1", &sync, ", roles: [sync, initial_sync]"),
            ("federation1", &federation, ", roles: [federation_inbound], resources: [federation]"),
            ("typing1", &typing, ", streams: [typing]"),
        ],
        "",
    );
    let check = |method: &str, target: &str, process: &str| {
        assert_eq!(who(&gateway, method, target, ""), process, "{method} {target}");
    };
    check("GET", SYNC, "sync");
    check("GET", "/_matrix/client/v3/sync", "sync");
    check("PUT", "/_matrix/federation/v1/send/1", "federation");
    check("PUT", "/_matrix/client/v3/rooms/!r:example.org/typing/@a:example.com", "typing");
    check("GET", VERSIONS, "main");
    check("POST", "/_matrix/client/v3/rooms/!r:example.org/report/$e", "main");
    let entry = gateway.log_where(|entry| entry["target"] == SYNC);
    assert_eq!((&entry["upstream"], &entry["role"]), (&Value::from("sync1"), &Value::from("sync")));
}

#[test]
fn a_user_a_room_and_a_server_stay_with_one_process() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let main = named("main");
    let workers = NAMES.map(named);
    let roles = ", roles: [sync, event_creator, federation_inbound]";
    let mut processes = vec![("main", &main, "")];
    processes.extend(NAMES.iter().zip(&workers).map(|(name, worker)| (*name, worker, roles)));
    let gateway = before(&processes, "");
    let mut met = std::collections::HashSet::new();
    for number in 0..12 {
        // `YWFh` is `aaa`; the numbers make tokens of one user different.
        let user = ["YWFh", "YmJi", "Y2Nj", "ZGRk"][number % 4];
        let token = |device: usize| format!("Bearer syt_{user}_{device}_x");
        let process = who(&gateway, "GET", SYNC, &token(number));
        assert_eq!(who(&gateway, "GET", SYNC, &token(number + 100)), process);
        let room = format!("/_matrix/client/v3/rooms/%21{number}%3Aexample.org/send/m.room.message/1");
        let encoded = format!("/_matrix/client/v3/rooms/!{number}:example.org/redact/$e/2");
        assert_eq!(who(&gateway, "PUT", &room, ""), who(&gateway, "PUT", &encoded, &token(number)));
        let from = format!("X-Matrix origin=\"{number}.example.org\",key=\"k\",sig=\"s\"");
        let server = who(&gateway, "PUT", "/_matrix/federation/v1/send/1", &from);
        assert_eq!(who(&gateway, "PUT", "/_matrix/federation/v1/send/2", &from), server);
        met.extend([process, server]);
    }
    assert_eq!(met.len(), NAMES.len(), "all of them have something to do: {met:?}");
}

#[test]
fn a_token_that_says_nothing_is_placed_by_its_user_who_is_asked_for_once() {
    let main = Upstream::new(|request, peer| {
        let token = request.head.one("authorization").unwrap_or_default();
        let known = request.target() == "/_matrix/client/v3/account/whoami" && token.starts_with("Bearer mat_alice");
        let told = if known {
            answer("200 OK", r#"{"user_id":"@alice:example.com"}"#)
        } else {
            answer("401 Unauthorized", "{}")
        };
        peer.send(told).map_or(Then::Close, |()| Then::Next)
    });
    let workers = ["a", "b", "c", "d"].map(named);
    let mut processes = vec![("main", &main, "")];
    processes.extend(["a", "b", "c", "d"].into_iter().zip(&workers).map(|(name, at)| (name, at, ", roles: [sync]")));
    let gateway = before(&processes, "");
    // `YWxpY2U` is `alice`.
    let native = who(&gateway, "GET", SYNC, "Bearer syt_YWxpY2U_a_b");
    for token in ["Bearer mat_alice1", "Bearer mat_alice2", "Bearer mat_alice3", "Bearer mat_alice1"] {
        assert_eq!(who(&gateway, "GET", SYNC, token), native, "{token}");
    }
    assert_eq!(main.requests().len(), 3, "each token is asked for once");
    // One that Synapse does not know is still answered by somebody.
    who(&gateway, "GET", SYNC, "Bearer nonsense");
}

#[test]
fn others_answer_while_a_process_is_gone_and_it_gets_its_requests_back() {
    let (main, reader) = (named("main"), named("reader"));
    let port = Port::reserve();
    // It keeps no connection, so that none is left when it is gone.
    let sync = Upstream::on(port.listen(), |connection| {
        if connection.request().is_ok() {
            let _ = connection.peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"name\":\"sync\"}");
        }
    });
    let gateway = before(
        &[("main", &main, ""), ("s", &sync, ", roles: [sync]"), ("g", &reader, "")],
        "health: {interval: 100ms}\n",
    );
    assert_eq!(who(&gateway, "GET", SYNC, ""), "sync");
    drop(sync);
    assert_eq!(who(&gateway, "GET", SYNC, ""), "reader", "the first to stand in");
    gateway.line(|line| line == "warning: upstream s: it does not answer");
    let _sync = Upstream::on(port.listen(), |connection| serve(connection, "sync"));
    gateway.line(|line| line == "upstream s: it is back");
    assert_eq!(who(&gateway, "GET", SYNC, ""), "sync");
}

/// Answers everything with a name until the connection ends.
fn serve(connection: &mut Connection, name: &str) {
    let body = format!("{{\"name\":\"{name}\"}}");
    while connection.request().is_ok() && connection.peer.send(answer("200 OK", &body)).is_ok() {}
}

#[test]
fn requests_wait_for_a_synapse_that_restarts() {
    let port = Port::reserve();
    let address = port.address();
    let gateway = Gateway::start(&format!("{}{LISTENERS}", identity(&address.to_string())));
    let waiting: Vec<_> = ["GET", "PUT", "POST"]
        .into_iter()
        .map(|method| {
            let mut client = gateway.client();
            client.send(format!("{method} /_matrix/client/v3/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"));
            (method, client)
        })
        .collect();
    gateway.line(|line| line == "warning: upstream main: it does not answer");
    let synapse = Upstream::on(port.listen(), |connection| serve(connection, "main"));
    for (method, mut client) in waiting {
        let told = client.response();
        assert_eq!((told.status(), &told.json()["name"]), (200, &Value::from("main")), "{method}");
    }
    let bodies: Vec<_> = synapse.requests().into_iter().filter(|request| request.target() != "/health").collect();
    let asked = bodies.iter().filter(|request| request.target() == "/_matrix/client/v3/x");
    assert!(asked.clone().all(|request| request.body.bytes == b"body"), "{bodies:?}");
    assert_eq!(asked.count(), 3);
}

#[test]
fn patience_has_an_end() {
    let port = Port::reserve();
    let address = port.address();
    let gateway = Gateway::start(&format!("{}restart_grace: 500ms\n{LISTENERS}", identity(&address.to_string())));
    let started = Instant::now();
    let told = Told::from(gateway.client().get(VERSIONS));
    told.is_error(503, "M_UNKNOWN", "upstream_refused");
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_process_gets_as_many_requests_as_it_is_given_and_others_wait_in_line() {
    let gate = Gate::new();
    let (opened, most, present) = (gate.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (peak, inside) = (Arc::clone(&most), Arc::clone(&present));
    let main = Upstream::new(move |_, peer| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        opened.wait();
        inside.fetch_sub(1, Ordering::SeqCst);
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let more = format!("queue: {{max_waiting: 2}}\n{METRICS}");
    let gateway = before(&[("main", &main, ", max_concurrent: 2")], &more);
    let metrics = Metrics::of(&gateway);
    let mut clients: Vec<_> = (0..4).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send(get(VERSIONS));
    }
    main.wait(|seen| seen.requests.len() == 2);
    metrics.wait("upstream_waiting_requests{upstream=\"main\"}", 2.0);
    // A long poll has a lane of its own.
    let mut poll = gateway.client();
    poll.send(get(SYNC));
    main.wait(|seen| seen.requests.iter().any(|request| request.target() == SYNC));
    // Two wait; whoever comes now is one too many, sooner or later.
    let refused = loop {
        let mut client = gateway.client();
        client.send(get(VERSIONS));
        if let Some(told) = client.response_within(Duration::from_millis(200)) {
            break Told::from(told);
        }
        clients.push(client);
        assert!(clients.len() < 6, "nobody is sent away");
    };
    refused.is_error(429, "M_LIMIT_EXCEEDED", "overloaded");
    metrics.wait("upstream_requests{upstream=\"main\"}", 3.0);
    metrics.wait("upstream_waiting_requests{upstream=\"main\"}", 2.0);
    metrics.wait("upstream_up{upstream=\"main\"}", 1.0);
    assert!(refused.one("retry-after").is_some());
    gate.open();
    let waited = clients.iter_mut().take(4).map(|client| client.response().status());
    assert_eq!(waited.collect::<Vec<_>>(), [200; 4]);
    assert_eq!(poll.response().status(), 200);
    assert!(most.load(Ordering::SeqCst) <= 3, "two, and the long poll");
}

#[test]
fn what_a_worker_does_not_know_the_main_process_is_asked_for() {
    let worker = Upstream::new(|request, peer| {
        let known = request.target() != "/_matrix/client/v3/profile/@a:example.com";
        let told = if known { fine() } else { answer("404 Not Found", r#"{"errcode":"M_UNRECOGNIZED","error":"x"}"#) };
        peer.send(told).map_or(Then::Close, |()| Then::Next)
    });
    let main = named("main");
    let gateway = before(&[("main", &main, ""), ("w", &worker, "")], "");
    let profile = "/_matrix/client/v3/profile/@a:example.com";
    assert_eq!(who(&gateway, "GET", profile, ""), "main");
    gateway.line(|line| line.starts_with("warning: upstream w: it does not know the endpoint `profile`"));
    let seen = worker.requests().len();
    assert_eq!(who(&gateway, "GET", profile, ""), "main");
    assert_eq!(worker.requests().len(), seen, "and is not asked again");
}

#[test]
fn what_nobody_finds_is_told_as_it_is() {
    let missing = answer("404 Not Found", r#"{"errcode":"M_NOT_FOUND","error":"Profile was not found"}"#);
    let (worker, main) = (Upstream::answering(missing.clone()), Upstream::answering(missing));
    let gateway = before(&[("main", &main, ""), ("w", &worker, "")], "");
    let told = ask(&gateway, "GET", "/_matrix/client/v3/profile/@a:example.com", &[]);
    assert_eq!((told.status, &told.json()["errcode"]), (404, &Value::from("M_NOT_FOUND")));
    assert_eq!((worker.requests().len(), main.requests().len()), (1, 1));
    // What changes something is not asked twice.
    let told = ask(&gateway, "POST", "/_matrix/client/v3/createRoom", &[]);
    assert_eq!((told.status, worker.requests().len(), main.requests().len()), (404, 2, 1));
}

#[test]
fn a_request_that_was_lost_with_its_process_is_asked_of_another_once() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let lost = Arc::clone(&asked);
    let dying = Upstream::new(move |request, _| {
        if request.target() != "/health" {
            lost.lock().unwrap().push(request.method().to_owned());
        }
        Then::Close
    });
    let main = named("main");
    let gateway = before(&[("main", &main, ""), ("w", &dying, "")], METRICS);
    let reads = "/_matrix/client/v3/profile/@a:example.com";
    assert_eq!(ask(&gateway, "POST", "/_matrix/client/v3/createRoom", &[]).status, 502);
    // It is still taken for there, so it may be asked once more; not a third time.
    let told = ask(&gateway, "GET", reads, &[]);
    assert!(matches!(told.status, 200 | 502), "{told:?}");
    let methods = asked.lock().unwrap().clone();
    assert!(methods.iter().filter(|method| *method == "GET").count() <= 2, "{methods:?}");
    assert_eq!(methods.iter().filter(|method| *method == "POST").count(), 1);
    let resent = |target: &str| gateway.log_where(|entry| entry["target"] == target)["resent"].clone();
    assert_eq!((resent(reads), resent("/_matrix/client/v3/createRoom")), (true.into(), false.into()));
    Metrics::of(&gateway).wait("upstream_resends_total{upstream=\"w\"}", 1.0);
}

#[test]
fn what_only_the_writer_of_a_stream_can_do_waits_for_the_writer() {
    let (main, other) = (named("main"), named("other"));
    let port = Port::reserve();
    let address = port.address();
    let sections = format!(
        "upstreams: {{main: {{address: '{}'}}, g: {{address: '{}'}}, w: {{address: '{address}', streams: [to_device, receipts]}}}}\n",
        main.address(),
        other.address(),
    );
    let others = identity(&main.address());
    let others = others.lines().filter(|line| !line.starts_with("upstreams: ")).collect::<Vec<_>>().join("\n");
    let gateway = Gateway::start(&format!("{others}\n{sections}{LISTENERS}"));
    let waiting: Vec<_> =
        ["PUT /_matrix/client/v3/sendToDevice/m.dummy/1", "POST /_matrix/client/v3/rooms/!r/receipt/m.read/$e"]
            .into_iter()
            .map(|request| {
                let mut client = gateway.client();
                client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}"));
                (request, client)
            })
            .collect();
    gateway.line(|line| line == "warning: upstream w: it does not answer");
    let _writer = Upstream::on(port.listen(), |connection| serve(connection, "writer"));
    for (request, mut client) in waiting {
        let told = client.response();
        assert_eq!((told.status(), &told.json()["name"]), (200, &Value::from("writer")), "{request}");
    }
}

#[test]
fn a_request_that_was_lost_behind_its_process_is_sent_again_once() {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&asked);
    // As a worker does that loses the main process in the middle of a request.
    let worker = Upstream::new(move |request, peer| {
        let this = format!("{} {}", request.method(), request.target());
        let mut asked = seen.lock().unwrap();
        let before = asked.iter().filter(|other| **other == this).count();
        asked.push(this);
        let bad = before == 0 && request.target() != "/health";
        let told = if bad { answer("502 Bad Gateway", r#"{"errcode":"M_UNKNOWN","error":"x"}"#) } else { fine() };
        peer.send(told).map_or(Then::Close, |()| Then::Next)
    });
    let main = named("main");
    let [gateway, other] = [(); 2].map(|()| before(&[("main", &main, ""), ("w", &worker, "")], METRICS));
    let check = |gateway: &Gateway, method: &str, number: u32, status: u16, times: usize| {
        let target = format!("/_matrix/client/v3/rooms/!r/send/m.room.message/{number}");
        let mut client = gateway.client();
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"));
        assert_eq!(client.response().status(), status, "{method} {number}");
        let this = format!("{method} {target}");
        assert_eq!(asked.lock().unwrap().iter().filter(|other| **other == this).count(), times, "{this}");
        let entry = gateway.log_where(|entry| entry["target"] == *target && entry["method"] == method);
        assert_eq!(entry["resent"], Value::from(times > 1), "{entry}");
    };
    // Such an answer may have another reason, as another server has.
    check(&other, "PUT", 1, 502, 1);
    drop(main);
    check(&gateway, "PUT", 2, 200, 2);
    check(&gateway, "POST", 3, 502, 1);
    let bodies = worker.requests().into_iter().filter(|request| request.method() == "PUT");
    assert!(bodies.into_iter().all(|request| request.body.bytes == b"body"));
    Metrics::of(&gateway).wait("upstream_resends_total{upstream=\"main\"}", 1.0);
}

/// Long polls wait for news most of the time, and others for an answer: neither takes the places of the other.
#[test]
fn long_polls_and_other_requests_do_not_keep_each_other_waiting() {
    const OTHER: &str = "/_matrix/client/v3/profile/@a:example.com";
    for (crowding, passing) in [(SYNC, OTHER), (OTHER, SYNC)] {
        let gate = Gate::new();
        let opened = gate.clone();
        let worker = Upstream::new(move |request, peer| {
            if request.target() == crowding {
                opened.wait();
            }
            peer.send(answer("200 OK", r#"{"name":"w"}"#)).map_or(Then::Close, |()| Then::Next)
        });
        let main = named("main");
        let places = ", roles: [sync, generic], max_concurrent: 2, max_long_polls: 2";
        let more = format!("queue: {{sync_timeout: 1m}}\n{METRICS}");
        let gateway = before(&[("main", &main, ""), ("w", &worker, places)], &more);
        let mut crowd: Vec<_> = (0..10).map(|_| gateway.client()).collect();
        for client in &mut crowd {
            client.send(get(crowding));
        }
        Metrics::of(&gateway).wait("upstream_waiting_requests{upstream=\"w\"}", 8.0);
        for _ in 0..5 {
            assert_eq!(who(&gateway, "GET", passing, ""), "w");
        }
        let entry = gateway.log_where(|entry| entry["target"] == passing);
        assert_eq!(entry["waited"], Value::Null, "{entry}");
        let seen = worker.requests().iter().filter(|request| request.target() == crowding).count();
        assert_eq!(seen, 2, "the crowd is where it was");
        gate.open();
        for client in &mut crowd {
            assert_eq!(client.response().status(), 200);
        }
    }
}

#[test]
fn a_release_that_synapse_tells_decides_which_endpoints_workers_get() {
    let version = Arc::new(Mutex::new("1.80.0"));
    let told = Arc::clone(&version);
    let main = Upstream::new(move |request, peer| {
        let body = match request.target() {
            "/_matrix/federation/v1/version" => {
                format!(r#"{{"server":{{"name":"Synapse","version":"{}"}}}}"#, told.lock().unwrap())
            }
            _ => r#"{"name":"main"}"#.to_owned(),
        };
        peer.send(answer("200 OK", &body)).map_or(Then::Close, |()| Then::Next)
    });
    let worker = named("worker");
    let sections =
        format!("upstreams: {{main: {{address: '{}'}}, w: {{address: '{}'}}}}\n", main.address(), worker.address());
    let others = identity(&main.address());
    let others = others.lines().filter(|line| !line.starts_with("upstreams: ")).collect::<Vec<_>>().join("\n");
    let gateway = Gateway::start(&format!("{others}\n{sections}{LISTENERS}"));
    let capabilities = "/_matrix/client/v3/capabilities";
    assert_eq!(who(&gateway, "GET", VERSIONS, ""), "worker");
    assert_eq!(who(&gateway, "GET", capabilities, ""), "main", "1.80 had it on the main process alone");
    drop(gateway);
    *version.lock().unwrap() = "1.163.2 (b=abc)";
    let gateway = Gateway::start(&format!("{others}\n{sections}{LISTENERS}"));
    gateway.line(|line| line.starts_with("Synapse is 1.163: "));
    assert_eq!(who(&gateway, "GET", capabilities, ""), "worker");
}

#[test]
fn a_role_for_which_nobody_may_stand_in_is_part_of_being_ready() {
    let (main, generic) = (named("main"), named("generic"));
    let (sync, typing) = (Upstream::answering("HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n"), named("typing"));
    let more = format!("health: {{interval: 100ms, fall: 1}}\n{METRICS}");
    let gateway = before(
        &[
            ("main", &main, ""),
            ("g", &generic, ""),
            ("s", &sync, ", roles: [sync]"),
            ("t", &typing, ", streams: [typing]"),
        ],
        &more,
    );
    gateway.line(|line| line == "warning: upstream s: it does not answer");
    let ready = || Told::from(gateway.client().get("/ready"));
    assert_eq!(ready().status, 200, "others answer for it");
    let metrics = Metrics::of(&gateway);
    metrics.wait("upstream_outages_total{upstream=\"s\"}", 1.0);
    assert_eq!(who(&gateway, "GET", SYNC, ""), "generic");
    let entry = gateway.log_where(|entry| entry["target"] == SYNC);
    assert_eq!((&entry["role"], &entry["stands_in_for"]), (&Value::from("generic"), &Value::from("sync")));
    assert_eq!(entry["endpoint"], "sync");
    metrics.wait("role_stand_ins_total{by=\"generic\",role=\"sync\"}", 1.0);
    metrics.wait("upstream_requests_total{role=\"generic\",status=\"2xx\",upstream=\"g\"}", 1.0);
    metrics.wait("role_first_byte_seconds_count{role=\"sync\"}", 1.0);
    metrics.wait("upstream_answer_seconds_count{role=\"generic\",upstream=\"g\"}", 1.0);

    drop(typing);
    gateway.line(|line| line == "warning: upstream t: it does not answer");
    let told = ready();
    told.is_error(503, "M_UNKNOWN", "upstream_refused");
    assert_eq!(told.json()["error"], "Nobody answers for stream.typing");
    assert_eq!(told.json()["org.matrix.gateway.unserved_roles"], json!(["stream.typing"]));
    assert!(!told.text().contains("127.0.0."), "strangers learn no address: {told:?}");
    drop(main);
    let deadline = Instant::now() + DEADLINE;
    while ready().json()["org.matrix.gateway.unserved_roles"] != json!(["main", "stream.typing"]) {
        assert!(Instant::now() < deadline);
    }
}
