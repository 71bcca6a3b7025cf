//! The socket itself: who may use it, and what it bears.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::{CONTROL, command, told};
use crate::support::DEADLINE;
use crate::support::command::run;
use crate::support::gateway::{Gateway, preamble};
use crate::support::upstream::{Upstream, fine};

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What the gateway answers to these bytes.
fn answer(path: &Path, bytes: &[u8]) -> Value {
    let mut stream = connect(path);
    stream.write_all(bytes).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn the_socket_is_for_one_user_alone_and_goes_with_its_gateway() {
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::before(&upstream, CONTROL);
    let path = gateway.directory().join("control.sock");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    assert!(!path.exists());
}

#[test]
fn a_second_gateway_is_refused_the_socket_and_what_a_killed_one_left_is_replaced() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listeners = "listeners: [{address: '127.0.0.1:0'}]\n";
    let yaml = format!("{}{listeners}control: {{socket: '{}'}}\n", preamble(&upstream.address()), path.display());
    let mut first = Gateway::start(&yaml);
    let second = tempfile::tempdir().unwrap();
    fs::write(second.path().join("gateway.yaml"), &yaml).unwrap();
    let refused = run(second.path(), &["run", "-c", "gateway.yaml"], "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let complaint = refused.err.lines().last().unwrap();
    assert!(complaint.contains("control.sock") && complaint.contains("another program answers there"), "{complaint}");
    told(&first, &["status"]);
    first.signal("KILL");
    first.ended();
    assert!(path.exists());
    let third = Gateway::start(&yaml);
    told(&third, &["status"]);
}

#[test]
fn a_service_manager_says_where_the_socket_is_and_without_one_there_is_none() {
    let upstream = Upstream::answering(fine());
    let yaml = format!("{}listeners: [{{address: '127.0.0.1:0'}}]\n", preamble(&upstream.address()));
    let runtime = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(&[("RUNTIME_DIRECTORY", runtime.path())], &yaml);
    let socket = runtime.path().join("control.sock");
    let told = run(gateway.directory(), &["status", "--socket", socket.to_str().unwrap()], "");
    assert_eq!(told.code, Some(0), "{told:?}");
    let gateway = Gateway::start(&yaml);
    gateway.line(|line| line.starts_with("no command reaches this gateway: "));
    assert_eq!(gateway.client().get("/health").status(), 200);
}

#[test]
fn what_is_no_order_is_refused_and_harms_nobody() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONTROL);
    let path = gateway.directory().join("control.sock");
    let check = |bytes: &[u8], complaint: &str| {
        let told = answer(&path, bytes);
        assert_eq!(told["answer"], "failed", "{told}");
        assert!(told["message"].as_str().unwrap().starts_with(complaint), "{told}");
    };
    check(b"nonsense\n", "that is no order: ");
    check(b"\xff\xfe\n", "that is no order: ");
    check(b"{\"order\":\"explode\"}\n", "that is no order: ");
    check(b"{\"order\":\"undrain\",\"process\":\"a\",\"more\":1}\n", "that is no order: ");
    check(b"{\"order\":\"undrain\",\"process\":\"a\"}\n", "there is no process of that name");
    check(&[b'['; 3000].iter().chain(b"\n").copied().collect::<Vec<_>>(), "that is no order: ");
    check(&[b' '; 4096], "an order is one line of at most 4096 bytes");
    check(&vec![b'x'; 100_000], "an order is one line of at most 4096 bytes");
    // Who leaves without a word, or in the middle of one, is forgotten.
    connect(&path);
    connect(&path).write_all(b"{\"order\":").unwrap();
    told(&gateway, &["status"]);
}

#[test]
fn commands_are_bounded_in_number_and_in_time() {
    const MOST: usize = 64;
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONTROL);
    let path = gateway.directory().join("control.sock");
    let silent: Vec<UnixStream> = (0..MOST).map(|_| connect(&path)).collect();
    let refused = command(&gateway, &["status"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("64 commands wait for an answer already"), "{}", refused.err);
    // Those who say nothing are left after a while.
    for mut stream in silent {
        let mut nothing = Vec::new();
        assert!(stream.read_to_end(&mut nothing).is_ok() && nothing.is_empty());
    }
    let deadline = Instant::now() + DEADLINE;
    while command(&gateway, &["status"]).code != Some(0) {
        assert!(Instant::now() < deadline);
    }
}
