//! Which process is started when, by whom, and who knows of it.

use std::fs::{self, File};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::{LISTENERS, VERSIONS, command, hand_over, install, serving, with_program, yaml};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, preamble, signal};
use crate::support::manager::Manager;
use crate::support::upstream::{Upstream, fine};

#[test]
fn settings_that_cannot_change_in_place_change_in_a_new_process() {
    let upstream = Upstream::answering(fine());
    let mut gateway = Gateway::start(&yaml(&upstream.address(), ""));
    let address = gateway.address("127.0.0.1");
    let pid = hand_over(&gateway, &upstream.address(), 3, "");
    assert_ne!(pid, gateway.pid());
    assert_eq!(gateway.ended().code(), Some(0));
    assert_eq!(serving(&gateway), pid);
    assert_eq!(Client::tcp(address).get(VERSIONS).status(), 200);
    // What can change in place does so from then on.
    let finished = command(&gateway, &["reload"]);
    assert_eq!((finished.code, finished.out.as_str()), (Some(0), "the configuration is in use\n"));
    assert_eq!(serving(&gateway), pid);
}

#[test]
fn tls_is_switched_on_and_off() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), ""));
    let plain = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("tls: "));
        lines.collect::<Vec<_>>().join("\n").replace(", {address: '127.0.0.2:0', tls: true}", "") + "\n"
    };
    gateway.configure(&plain(yaml(&upstream.address(), "")));
    let finished = command(&gateway, &["reload"]);
    assert!(finished.code == Some(0) && finished.out.contains(": tls changed"), "{finished:?}");
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
    assert!(TcpStream::connect(gateway.address("127.0.0.2")).is_err());
    gateway.configure(&yaml(&upstream.address(), ""));
    let finished = command(&gateway, &["reload"]);
    assert!(finished.code == Some(0) && finished.out.contains(": tls changed"), "{finished:?}");
}

#[test]
fn a_listener_moves_to_another_address_and_keeps_its_port() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), ""));
    let port = gateway.address("127.0.0.1").port();
    let moved = yaml(&upstream.address(), "threads: 2\n").replace("127.0.0.1:0", &format!("0.0.0.0:{port}"));
    gateway.configure(&moved);
    let finished = command(&gateway, &["reload"]);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""), "{finished:?}");
    let elsewhere = format!("127.0.0.3:{port}").parse().unwrap();
    assert_eq!(Client::tcp(elsewhere).get(VERSIONS).status(), 200);
}

#[test]
fn a_program_that_was_replaced_takes_over_at_a_reload_or_a_signal() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("synapse-gateway");
    let gateway = with_program(&program, &yaml(&upstream.address(), ""));
    let finished = command(&gateway, &["reload"]);
    assert_eq!(finished.out, "the configuration is in use\n", "nothing was replaced");
    install(&program);
    let finished = command(&gateway, &["reload"]);
    assert!(finished.code == Some(0) && finished.out.ends_with("synapse-gateway was replaced\n"), "{finished:?}");
    let second = serving(&gateway);
    assert_ne!(second, gateway.pid());
    let name = fs::read_to_string(format!("/proc/{second}/comm")).unwrap();
    assert_eq!(name, "synapse-gateway\n");
    install(&program);
    signal(second, "HUP");
    assert_eq!(gateway.successor(2), serving(&gateway));
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
}

#[test]
fn the_service_manager_follows() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let mut gateway = Gateway::launch(&yaml(&upstream.address(), ""), |command, _| {
        manager.environment(command);
        command.env("WATCHDOG_USEC", "2000000");
    });
    manager.heard("READY=1", 1);
    let kept = manager.kept();
    let more = "metrics: {address: '127.0.0.3:0'}\n";
    gateway.configure(&yaml(&upstream.address(), &format!("threads: 2\n{more}")));
    let finished = command(&gateway, &["reload"]);
    assert!(finished.out.contains(": threads, metrics changed"), "{finished:?}");
    let pid = gateway.successor(1);
    manager.heard("READY=1", 2);
    let told = manager.messages();
    let place = |start: &str| told.iter().rposition(|message| message.starts_with(start)).unwrap();
    assert!(place("RELOADING=1") < place(&format!("MAINPID={pid}")), "{told:?}");
    assert!(place("MAINPID=") < place("FDSTORE=1\nFDNAME=tcp-127.0.0.3-"), "{told:?}");
    assert!(place("FDSTORE=1") < place("READY=1"), "{told:?}");
    // The first process says nothing more, and the second gives the signs of life.
    assert!(gateway.ended().success());
    assert!(!manager.messages().iter().any(|message| message == "STOPPING=1"));
    assert!(manager.hears_another("WATCHDOG=1", Duration::from_secs(5)));
    assert_eq!(manager.kept().len(), kept.len() + 1);
    signal(pid, "TERM");
    manager.heard("STOPPING=1", 1);
}

/// As the unit's `ExecReload`: the new process is its child, and has the limits and the environment of now.
#[test]
fn within_a_service_the_command_starts_the_new_process() {
    let upstream = Upstream::answering(fine());
    let runtime = tempfile::tempdir().unwrap();
    let yaml = format!("{}{LISTENERS}", preamble(&upstream.address()));
    let environment = [("RUNTIME_DIRECTORY", runtime.path())];
    let mut gateway = Gateway::start_in(&environment, &yaml);
    gateway.configure(&format!("{yaml}threads: 2\n"));
    // Files, since the new process keeps them as the unit's keeps the journal.
    let path = |name: &str| gateway.directory().join(name);
    let mut reload = Command::new(env!("CARGO_BIN_EXE_synapse-gateway"));
    reload.args(["reload", "-c", "gateway.yaml"]).current_dir(gateway.directory()).envs(environment);
    reload.stdout(File::create(path("out")).unwrap()).stderr(File::create(path("err")).unwrap());
    let reloaded = reload.status().unwrap();
    let told = ["out", "err"].map(|name| fs::read_to_string(path(name)).unwrap());
    assert!(reloaded.success(), "{told:?}");
    let pid = gateway.successor(1);
    let process = Kill(pid);
    assert!(told[0].starts_with("starting a new process: threads changed\n"), "{told:?}");
    assert!(
        told[0].ends_with(&format!("the configuration is in use, in process {pid}: threads changed\n")),
        "{told:?}"
    );
    assert!(told[1].contains("listening on 127.0.0.1:"), "{told:?}");
    assert!(gateway.ended().success());
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
    drop(process);
}

/// A process that is not in the gateway's group, and ends with the test all the same.
struct Kill(u32);

impl Drop for Kill {
    fn drop(&mut self) {
        signal(self.0, "KILL");
    }
}

#[test]
fn unix_sockets_go_over_with_their_files() {
    let upstream = Upstream::answering(fine());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listeners =
        |yaml: String| yaml.replace(LISTENERS, &format!("listeners: [{{address: 'unix:{}'}}]\n", path.display()));
    let mut gateway = Gateway::start(&listeners(yaml(&upstream.address(), "")));
    gateway.configure(&listeners(yaml(&upstream.address(), "threads: 2\n")));
    let finished = command(&gateway, &["reload"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(gateway.ended().success());
    assert_eq!(Client::unix(&path).get(VERSIONS).status(), 200);
    let pid = serving(&gateway);
    signal(pid, "TERM");
    gateway.wait_lines(|lines| (lines.iter().filter(|line| *line == "stopped").count() == 2).then_some(()));
    let gone = || !path.exists() && !gateway.directory().join("control.sock").exists();
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    while !gone() {
        assert!(std::time::Instant::now() < deadline, "the files stay");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_of_synapse_that_is_drained_stays_so() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::start(&yaml(&upstream.address(), ""));
    let finished = command(&gateway, &["drain", "main", "--force"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    hand_over(&gateway, &upstream.address(), 2, "");
    let status = command(&gateway, &["status"]).out;
    assert!(status.contains("drained"), "{status}");
}
