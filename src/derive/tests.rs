use super::value::{text, truth, whole};
use super::*;
use crate::role::Role;

fn source(name: &str, yaml: &str) -> Source {
    Source { name: name.to_owned(), bytes: yaml.into() }
}

/// What is derived from a main configuration, as far as it is under a key.
fn check(yaml: &str, key: &str, expected: &str) {
    let common = "server_name: example.com\npublic_baseurl: https://example.com/\n";
    let derived = derive(&[source("h", &format!("{common}{yaml}"))], &[]);
    let value = derived.values().unwrap_or_else(|| panic!("{yaml}: {:#?}", derived.problems())).pointer(key);
    assert_eq!(value.map_or_else(|| "nothing".to_owned(), ToString::to_string), expected, "{yaml}");
}

fn listeners(listener: &str) -> String {
    format!("listeners: [{{type: http, {listener}, resources: [{{names: [client, federation]}}]}}]\n")
}

#[test]
fn values_mean_what_they_mean_to_python() {
    let node = |yaml: &str| parse(0, yaml.as_bytes(), Dialect::Synapse, &mut Findings::default()).unwrap();
    for (yaml, expected) in [("yes", Some(true)), ("Off", Some(false)), ("'yes'", None), ("y", None), ("1", None)] {
        assert_eq!(truth(&node(yaml)), expected, "{yaml}");
    }
    for (yaml, expected) in [
        ("8008", Some(8008)),
        ("8_008", Some(8008)),
        ("010", Some(8)),
        ("0x10", Some(16)),
        ("'8008'", None),
        ("-1", None),
    ] {
        assert_eq!(whole(&node(yaml)), expected, "{yaml}");
    }
    assert_eq!(text(&node("!!str 12")), Some("12"));
    assert_eq!(text(&node("no")), None);
}

#[test]
fn a_listener_is_reached_where_it_is_nearest() {
    let at = |place: &str, expected: &str| check(&listeners(place), "/upstreams/main/address", expected);
    at("port: 8008, bind_addresses: ['::1', '127.0.0.1']", r#""127.0.0.1:8008""#);
    at("port: 8008, bind_address: localhost", r#""127.0.0.1:8008""#);
    at("port: 8008", r#""127.0.0.1:8008""#);
    at("port: 8008, bind_addresses: ['::']", r#""[::1]:8008""#);
    at("port: 8008, bind_addresses: ['192.0.2.1']", r#""192.0.2.1:8008""#);
    at("path: /run/main.sock", r#""unix:/run/main.sock""#);
}

#[test]
fn what_is_nearer_is_chosen_and_tls_never_is() {
    let names = "resources: [{names: [client]}]";
    let yaml = format!(
        "listeners:\n- {{type: http, port: 1, tls: true, {names}}}\n- {{type: http, port: 2, {names}}}\n\
         - {{type: http, port: 3, bind_address: 127.0.0.1, {names}}}\n- {{type: metrics, port: 4}}\n"
    );
    check(&yaml, "/upstreams/main/address", r#""127.0.0.1:3""#);
}

#[test]
fn a_shared_value_and_a_merged_one_hold_as_in_python() {
    let yaml = "x: &near {bind_address: 127.0.0.1, port: 1}\nlisteners:\n\
                - {<<: *near, port: 8008, type: http, resources: [{names: &names [client, federation]}]}\n\
                - {<<: [*near, {port: 9}], port: 2, type: http, resources: [{names: [replication]}]}\n";
    check(yaml, "/upstreams/main/address", r#""127.0.0.1:8008""#);
}

#[test]
fn sizes_are_those_of_synapse() {
    let size = |yaml: &str, expected: &str| {
        check(&format!("{}{yaml}", listeners("port: 1")), "/limits/body", expected);
    };
    size("max_upload_size: 50M", r#""50MiB""#);
    size("max_upload_size: 1048576", r#""1MiB""#);
    size("max_upload_size: '2048'", r#""2KiB""#);
    size("", "nothing");
    let refused =
        derive(&[source("h", &format!("server_name: a\n{}max_upload_size: 50MB\n", listeners("port: 1")))], &[]);
    assert!(refused.text().is_none() && refused.problems().as_slice().iter().any(|it| it.path == "max_upload_size"));
}

#[test]
fn a_name_says_what_its_worker_does() {
    let says = |name: &str, expected: &[Role]| assert_eq!(names::roles(name), expected, "{name}");
    says("generic_worker12", &[Role::Generic]);
    says("synchrotron-1", &[Role::Sync]);
    says("initial-synchrotron", &[Role::InitialSync]);
    says("sliding-sync-worker", &[Role::SlidingSync]);
    says("federation-inbound-0", &[Role::FederationInbound]);
    says("federation_reader3", &[Role::FederationReader]);
    says("event-creator", &[Role::EventCreator]);
    says("user_dir1", &[Role::UserDirectory]);
    for silent in
        ["worker-7", "federation_sender1", "event_persister2", "media_pusher", "typing_writer", "roomy", "sso1"]
    {
        says(silent, &[]);
    }
    assert!(names::says_sso("sso-1") && !names::says_sso("lasso"));
}

#[test]
fn a_file_is_told_apart_by_its_keys() {
    let is = |yaml: &str, expected: Kind| assert_eq!(kind(&source("f", yaml)), expected, "{yaml}");
    is("server_name: a", Kind::Main);
    is("instance_map: {}", Kind::Main);
    is("worker_name: a", Kind::Worker);
    is("worker_app: synapse.app.homeserver", Kind::Worker);
    is("version: 1\nhandlers: {}\n", Kind::Other);
    is("id: bridge\nas_token: a\nhs_token: b\n", Kind::Other);
    is("", Kind::Main);
    is("a: [", Kind::Main);
}

#[test]
fn the_main_process_may_have_a_file_of_its_own() {
    let shared =
        source("shared", "server_name: example.com\npublic_baseurl: https://example.com/\nredis: {enabled: true}\n");
    let own = format!("worker_app: synapse.app.homeserver\n{}", listeners("path: /run/main.sock"));
    let worker =
        format!("worker_app: synapse.app.generic_worker\nworker_name: w\nworker_{}", listeners("path: /run/w.sock"));
    let derived = derive(&[shared], &[source("worker", &worker), source("own", &own)]);
    let values = derived.values().unwrap();
    assert_eq!(values.pointer("/upstreams/main/address"), Some(&"unix:/run/main.sock".into()));
    assert_eq!(derived.origins()["upstreams.w.address"], "worker:3");
}

#[test]
fn one_worker_alone_is_given_single_sign_on() {
    let sso = |workers: &[&str], more: &str| {
        let main = format!("server_name: a\nredis: {{enabled: true}}\n{}{more}\n", listeners("path: /run/main.sock"));
        let files: Vec<Source> = workers
            .iter()
            .map(|name| {
                let place = listeners(&format!("path: /run/{name}.sock"));
                source(name, &format!("worker_app: synapse.app.generic_worker\nworker_name: {name}\nworker_{place}"))
            })
            .collect();
        let derived = derive(&[source("main", &main)], &files);
        derived.text().unwrap().contains("[sso]")
    };
    let provider = "oidc_providers: [{idp_id: a}]";
    assert!(sso(&["sso1"], provider));
    assert!(!sso(&["sso1"], ""));
    assert!(!sso(&["sso1", "sso2"], provider));
    assert!(!sso(&["sso1"], &format!("{provider}\nmatrix_authentication_service: {{enabled: true}}")));
    assert!(!sso(&["worker1"], provider));
}

#[test]
fn a_name_with_a_line_break_stays_in_its_comment() {
    let main = format!("server_name: example.com\npublic_baseurl: https://example.com/\n{}", listeners("port: 1"));
    let derived = derive(&[source("a\nthreads: 7 #", &main)], &[]);
    assert!(!derived.text().unwrap().lines().any(|line| line.starts_with("threads")), "{:?}", derived.text());
}
