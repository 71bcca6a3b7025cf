//! `reload` tells the truth: whoever runs it knows whether the new configuration is in use.

use std::fs;
use std::time::Duration;

use super::{CONTROL, refused, told};
use crate::support::command::run;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

const PAGE: &str = "extra_routes: [{path: /page, respond: {body: 'one'}}]\n";

fn configuration(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.directory().join("gateway.yaml")).unwrap()
}

#[test]
fn a_configuration_that_is_right_is_in_use_when_the_command_ends() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, &format!("{CONTROL}{PAGE}"));
    assert_eq!(gateway.client().get("/page").text(), "one");
    gateway.configure(&configuration(&gateway).replace("'one'", "'two'"));
    assert_eq!(told(&gateway, &["reload"]), "the configuration is in use\n");
    assert_eq!(gateway.client().get("/page").text(), "two");
    gateway.line(|line| line == "the configuration was reloaded");
    // Signals are orders as good as commands.
    gateway.configure(&configuration(&gateway).replace("'two'", "'three'"));
    gateway.signal("HUP");
    gateway.wait_lines(|lines| {
        (lines.iter().filter(|line| *line == "the configuration was reloaded").count() == 2).then_some(())
    });
    assert_eq!(gateway.client().get("/page").text(), "three");
}

#[test]
fn a_configuration_that_is_wrong_is_told_with_all_its_problems_and_changes_nothing() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, &format!("{CONTROL}{PAGE}"));
    gateway
        .configure(&configuration(&gateway).replace("server_name: example.com", "server_name: 1 2\nlog: {level: x}"));
    let complaint = refused(&gateway, &["reload"], 78);
    assert!(complaint.contains("gateway.yaml:1:1: error: server_name: "), "{complaint}");
    assert!(complaint.contains("error: log.level: "), "{complaint}");
    assert!(complaint.ends_with("the configuration was not reloaded, the old one stays in use\n"), "{complaint}");
    assert_eq!(gateway.client().get("/page").text(), "one");
}

#[test]
fn a_configuration_that_cannot_be_put_in_use_is_no_success() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONTROL);
    let taken = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let more = format!("{{address: '127.0.0.2:0', tls: true}}, {{address: '{}'}}", taken.local_addr().unwrap());
    gateway.configure(&configuration(&gateway).replace("{address: '127.0.0.2:0', tls: true}", &more));
    let complaint = refused(&gateway, &["reload"], 1);
    assert!(complaint.contains("cannot listen on 127.0.0.3:"), "{complaint}");
    assert!(complaint.contains("the old configuration stays in use"), "{complaint}");
}

#[test]
fn a_gateway_that_is_not_there_is_no_success() {
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::before(&upstream, CONTROL);
    gateway.signal("TERM");
    gateway.ended();
    let complaint = refused(&gateway, &["reload"], 1);
    assert!(complaint.contains("the gateway cannot be reached at ") && complaint.lines().count() == 1, "{complaint}");
    for arguments in [&["status"][..], &["drain", "main"], &["undrain", "main"]] {
        refused(&gateway, arguments, 1);
    }
    // Nor is one whose socket nobody knows.
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("control.sock");
    let finished = run(directory.path(), &["reload", "--socket", missing.to_str().unwrap()], "");
    assert_eq!((finished.code, finished.out.as_str()), (Some(1), ""));
}

#[test]
fn a_gateway_that_stops_does_not_reload_and_says_so() {
    let gate = crate::support::gate::Gate::new();
    let opened = gate.clone();
    let upstream = Upstream::new(move |_, peer| {
        opened.wait();
        peer.send(fine()).map_or(crate::support::upstream::Then::Close, |()| crate::support::upstream::Then::Next)
    });
    let mut gateway = Gateway::before(&upstream, CONTROL);
    let mut client = gateway.client();
    client.send(crate::support::client::get("/_matrix/client/versions"));
    upstream.wait(|seen| seen.requests.len() == 1);
    gateway.signal("TERM");
    gateway.line(|line| line.starts_with("stopping: "));
    let complaint = refused(&gateway, &["reload"], 1);
    assert!(complaint.contains("the gateway is stopping"), "{complaint}");
    gate.open();
    assert_eq!(client.response().status(), 200);
    assert!(gateway.ended().success());
    assert!(client.closed() < Duration::from_secs(5));
}
