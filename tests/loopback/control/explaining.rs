//! `explain`: which process a request is for, by the configuration and as things are.

use serde_json::{Value, json};

use super::{CONTROL, process, refused, told};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Then, Upstream, answer};
use crate::workers::{before, named, who};

const SYNC: &str = "/_matrix/client/v3/sync?since=s1";
const USER: &str = "Bearer syt_YWFh_1_x";
const PROFILE: &str = "/_matrix/client/v3/profile/@a:example.com";

#[track_caller]
fn explain(gateway: &Gateway, more: &[&str], method: &str, target: &str) -> Value {
    let header = format!("Authorization: {USER}");
    let arguments = [&["explain", "--json", "-H", &header], more, &[method, target]].concat();
    serde_json::from_str(&told(gateway, &arguments)).unwrap()
}

#[test]
fn the_chosen_process_is_told_with_the_reason_and_those_who_stand_in() {
    let [main, a, b, g, typing] = ["main", "a", "b", "g", "typing"].map(named);
    let gateway = before(
        &[
            ("main", &main, ""),
            ("a", &a, ", roles: [sync]"),
            ("b", &b, ", roles: [sync]"),
            ("g", &g, ""),
            ("typing1", &typing, ", streams: [typing, push_rules]"),
        ],
        "",
    );
    let check = |method, target, upstream: &str, why: &str, order: &[&str]| {
        let explained = explain(&gateway, &[], method, target);
        assert_eq!(explained["upstream"], upstream, "{explained}");
        assert_eq!((&explained["why"], &explained["in_this_order"]), (&why.into(), &json!(order)), "{explained}");
        assert_eq!(who(&gateway, method, target, USER), if upstream == "typing1" { "typing" } else { upstream });
        assert!(explained["now"].is_null(), "nobody was asked: {explained}");
    };
    let of_key = who(&gateway, "GET", SYNC, USER);
    check("GET", SYNC, &of_key, "by its key among 2", &["sync: a, b", "generic: g", "main: main"]);
    let initial = "/_matrix/client/v3/sync";
    let since = "by its key among 2 of sync, since no process has initial_sync";
    check("GET", initial, &of_key, since, &["sync: a, b", "generic: g", "main: main"]);
    let typing = "/_matrix/client/v3/rooms/!r:example.org/typing/@a:example.com";
    check("PUT", typing, "typing1", "the only one", &["stream.typing: typing1"]);
    let generic = "the only one of generic, since no process has client_reader";
    check("GET", "/_matrix/client/versions", "g", generic, &["generic: g", "main: main"]);
    check("POST", "/_matrix/client/v3/rooms/!r:a/report/$e", "main", "the only one", &["main: main"]);
}

#[test]
fn a_running_gateway_is_asked_where_it_would_send_the_request_now() {
    // A worker that does not know profiles.
    let worker = Upstream::new(|request, peer| {
        let status = if request.target() == PROFILE { "404 Not Found" } else { "200 OK" };
        peer.send(answer(status, r#"{"name":"g"}"#)).map_or(Then::Close, |()| Then::Next)
    });
    let [main, a, b] = ["main", "a", "b"].map(named);
    let gateway = before(
        &[("main", &main, ""), ("a", &a, ", roles: [sync]"), ("b", &b, ", roles: [sync]"), ("g", &worker, "")],
        CONTROL,
    );
    let live = |target| explain(&gateway, &["--live"], "GET", target);
    let of_key = who(&gateway, "GET", SYNC, USER);
    let other = if of_key == "a" { "b" } else { "a" };
    let explained = live(SYNC);
    assert_eq!((&explained["now"], &explained["not_available"]), (&json!(of_key), &json!([])), "{explained}");

    told(&gateway, &["drain", &of_key]);
    let explained = live(SYNC);
    assert_eq!((&explained["upstream"], &explained["now"]), (&json!(of_key), &json!(other)), "{explained}");
    assert_eq!(explained["not_available"], json!([format!("{of_key}: drained")]));
    assert_eq!(who(&gateway, "GET", SYNC, USER), other, "which is true");
    told(&gateway, &["drain", other]);
    let explained = live(SYNC);
    assert_eq!(explained["now"], "g");
    assert_eq!(explained["now_because"], "the only one of generic, since nobody of sync is there");
    told(&gateway, &["drain", "g"]);
    told(&gateway, &["drain", "--force", "main"]);
    let explained = live(SYNC);
    assert!(explained["now"].is_null() && explained["now_because"] == "nobody is there: it waits for up to 0s");
    for name in ["a", "b", "g", "main"] {
        told(&gateway, &["undrain", name]);
    }

    assert_eq!(live(PROFILE)["now"], "g");
    assert_eq!(who(&gateway, "GET", PROFILE, ""), "main");
    let explained = live(PROFILE);
    assert_eq!((&explained["now"], &explained["upstream"]), (&json!("main"), &json!("g")), "{explained}");
    assert_eq!(explained["not_available"], json!(["g: does not know the endpoint"]));
    assert_eq!(process(&gateway, "g")["unknown_endpoints"], json!(["profile"]));
    assert!(told(&gateway, &["status"]).contains("does not know profile, which main serves"));
    // A file that is not in use yet.
    let yaml = std::fs::read_to_string(gateway.directory().join("gateway.yaml")).unwrap();
    gateway.configure(&yaml.replace("upstreams: {", "upstreams: {c: {address: '127.0.0.1:9', roles: [sync]}, "));
    let unknown = "c: not known to the running gateway, which has another configuration";
    assert_eq!(live(SYNC)["not_available"], json!([unknown]));
}

#[test]
fn without_a_running_gateway_live_is_an_error() {
    let main = named("main");
    let mut gateway = before(&[("main", &main, "")], CONTROL);
    gateway.signal("TERM");
    gateway.ended();
    let complaint = refused(&gateway, &["explain", "--live", "GET", SYNC], 1);
    assert!(complaint.contains("the gateway cannot be reached"), "{complaint}");
    explain(&gateway, &[], "GET", SYNC);
}

#[test]
fn roles_are_told_with_who_serves_them_and_who_stands_in() {
    let [main, a, b, g, writer] = ["main", "a", "b", "g", "writer"].map(named);
    let gateway = before(
        &[
            ("main", &main, ""),
            ("a", &a, ", roles: [sync]"),
            ("b", &b, ", roles: [sync]"),
            ("g", &g, ""),
            ("w", &writer, ", streams: [push_rules]"),
        ],
        "",
    );
    let text = told(&gateway, &["explain", "--roles"]);
    for expected in [
        "sync\n  sync: a, b; then generic: g; then main: main\n",
        "main\n  main: main\n",
        "stream.push_rules\n  reads: stream.push_rules: w; then generic: g; then main: main\n  writes: stream.push_rules: w\n",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let lines = told(&gateway, &["explain", "--roles", "--json"]);
    let roles: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sync = roles.iter().find(|role| role["role"] == "sync").unwrap();
    let first = json!({"role": "sync", "processes": ["a", "b"]});
    assert_eq!((&sync["reads"][0], &sync["writes"][0], sync["reads"].as_array().unwrap().len()), (&first, &first, 3));
    refused(&gateway, &["explain", "--roles", "GET", SYNC], 2);
    refused(&gateway, &["explain", "--roles", "--live"], 2);
}
