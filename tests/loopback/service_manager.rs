//! Under a service manager: what it is told, and the sockets that it keeps for the next process.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use crate::support::client::{Client, get};
use crate::support::gateway::{Gateway, preamble};
use crate::support::manager::{Manager, pass};
use crate::support::upstream::{Upstream, fine};

const VERSIONS: &str = "/_matrix/client/versions";
const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";

fn yaml(upstream: &str, listeners: &str) -> String {
    format!("{}{listeners}", preamble(upstream))
}

fn start(manager: &Manager, yaml: &str) -> Gateway {
    Gateway::launch(yaml, |command, _| manager.environment(command))
}

/// Starts a gateway that gets what the manager has kept.
fn restart(manager: &Manager, yaml: &str) -> Gateway {
    Gateway::launch(yaml, |command, _| manager.pass(command))
}

#[test]
fn ready_is_said_once_every_listener_accepts_whether_or_not_synapse_is_there() {
    for manager in [Manager::new(), Manager::in_the_abstract()] {
        let gateway = start(&manager, &yaml("127.0.0.1:1", LISTENERS));
        manager.heard("READY=1", 1);
        for ip in ["127.0.0.1", "127.0.0.2"] {
            TcpStream::connect(gateway.address(ip)).unwrap();
        }
        assert_eq!(gateway.client().get(VERSIONS).status(), 503);
        manager.wait(|messages| {
            let status = messages.iter().find_map(|message| message.strip_prefix("STATUS="))?;
            assert!(status.contains(" connections; Synapse 1.163 is "), "{status}");
            Some(())
        });
    }
}

#[test]
fn the_status_says_that_synapse_is_down_and_how_many_connections_there_are() {
    let manager = Manager::new();
    let gateway = start(&manager, &yaml("127.0.0.1:1", LISTENERS).replace("interval: 10m", "interval: 1s"));
    let mut client = gateway.client();
    assert_eq!(client.get("/health").status(), 200);
    manager.heard("STATUS=1 connections; Synapse 1.163 is down", 1);
}

#[test]
fn a_reload_begins_and_ends_whether_or_not_it_succeeds() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let gateway = start(&manager, &yaml(&upstream.address(), LISTENERS));
    manager.heard("READY=1", 1);
    for (times, text) in [(1, yaml(&upstream.address(), LISTENERS)), (2, "nonsense: 1\n".to_owned())] {
        gateway.configure(&text);
        gateway.signal("HUP");
        manager.heard("READY=1", times + 1);
        let told: Vec<_> = manager.messages().into_iter().filter(|message| !message.starts_with("STATUS")).collect();
        let reloads = told.iter().filter(|message| message.starts_with("RELOADING=1\nMONOTONIC_USEC=")).count();
        assert_eq!(reloads, times, "{told:?}");
        assert_eq!(told.last().unwrap(), "READY=1");
    }
}

#[test]
fn stopping_is_said_before_the_last_requests_end() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let mut gateway = start(&manager, &yaml(&upstream.address(), LISTENERS));
    manager.heard("READY=1", 1);
    gateway.signal("TERM");
    manager.heard("STOPPING=1", 1);
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn signs_of_life_come_for_as_long_as_the_process_runs() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let gateway = Gateway::launch(&yaml(&upstream.address(), LISTENERS), |command, _| {
        manager.environment(command);
        command.env("WATCHDOG_USEC", "400000");
    });
    manager.heard("WATCHDOG=1", 5);
    gateway.signal("STOP");
    while manager.hears_another("WATCHDOG=1", Duration::from_secs(1)) {}
    gateway.signal("CONT");
    let so_far = manager.messages().iter().filter(|message| *message == "WATCHDOG=1").count();
    manager.heard("WATCHDOG=1", so_far + 3);
}

#[test]
fn signs_of_life_that_another_process_is_to_give_are_not_given() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let _gateway = Gateway::launch(&yaml(&upstream.address(), LISTENERS), |command, _| {
        manager.environment(command);
        command.env("WATCHDOG_USEC", "40000").env("WATCHDOG_PID", "1");
    });
    manager.heard("READY=1", 1);
    assert!(!manager.hears_another("WATCHDOG=1", Duration::from_millis(500)));
}

#[test]
fn listening_sockets_are_kept_and_those_of_listeners_that_go_are_not() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let metrics = "metrics: {address: '127.0.0.3:0'}\n";
    let gateway = start(&manager, &(yaml(&upstream.address(), LISTENERS) + metrics));
    manager.heard("READY=1", 1);
    let name = |ip: &str| format!("tcp-{ip}-{}", gateway.address(ip).port());
    assert_eq!(manager.kept(), ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(name));
    let other = "listeners: [{address: '127.0.0.1:0'}, {address: 'unix:{dir}/socket', tls: true}]\n";
    gateway.configure(&(yaml(&upstream.address(), other) + metrics));
    gateway.signal("HUP");
    manager.heard("READY=1", 2);
    let kept = manager.kept();
    assert_eq!(kept[..2], ["127.0.0.1", "127.0.0.3"].map(name));
    assert!(kept.len() == 3 && kept[2].starts_with("unix-"), "{kept:?}");
}

/// Kills or stops the gateway, and connects while there is none; the next one answers.
fn nobody_is_refused(listeners: &str, signal: &str, connect: impl Fn(&Gateway) -> Client) {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let yaml = yaml(&upstream.address(), listeners);
    let mut gateway = start(&manager, &yaml);
    manager.heard("READY=1", 1);
    gateway.signal(signal);
    gateway.ended();
    let mut client = connect(&gateway);
    client.send(get(VERSIONS));
    let next = restart(&manager, &yaml);
    assert_eq!(client.response().status(), 200);
    manager.heard("READY=1", 2);
    assert!(!next.lines().iter().any(|line| line.contains("closing it")), "{:?}", next.lines());
}

#[test]
fn a_restart_and_a_crash_refuse_no_connection() {
    let tcp = "listeners: [{address: '127.0.0.1:0'}]\n";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let unix = format!("listeners: [{{address: 'unix:{}'}}]\n", path.display());
    for signal in ["TERM", "KILL"] {
        let address = |gateway: &Gateway| gateway.address("127.0.0.1");
        nobody_is_refused(tcp, signal, |gateway| Client::tcp(address(gateway)));
        nobody_is_refused(&unix, signal, |_| Client::unix(&path));
    }
}

#[test]
fn a_socket_of_the_socket_unit_is_used_and_not_kept_twice() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    // Blocking, with a small backlog and without an option of ours.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listeners = format!("listeners: [{{address: '{address}'}}]\n");
    let gateway = Gateway::launch(&yaml(&upstream.address(), &listeners), |command, _| {
        pass(command, vec![("synapse-gateway.socket".to_owned(), socket.into())]);
        manager.environment(command);
    });
    manager.heard("READY=1", 1);
    assert_eq!(gateway.address("127.0.0.1"), address);
    let mut clients: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get(VERSIONS).status(), 200);
    }
    assert_eq!(manager.kept(), Vec::<String>::new());
}

#[test]
fn kept_sockets_that_fit_no_listener_make_room_for_others() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    manager.keep("tcp-old", other);
    let listeners = format!("listeners: [{{address: '0.0.0.0:{port}'}}]\n");
    manager.keep("tcp-gone", TcpListener::bind("127.0.0.1:0").unwrap());
    let gateway = restart(&manager, &yaml(&upstream.address(), &listeners));
    manager.heard("FDSTOREREMOVE=1\nFDNAME=tcp-old", 1);
    manager.heard("FDSTOREREMOVE=1\nFDNAME=tcp-gone", 1);
    manager.heard("READY=1", 1);
    assert_eq!(manager.kept(), [format!("tcp-0.0.0.0-{port}")]);
    let mut client = Client::tcp(([127, 0, 0, 1], port).into());
    assert_eq!(client.get(VERSIONS).status(), 200);
    drop(gateway);
}

#[test]
fn sockets_that_are_meant_for_another_process_are_left_alone() {
    let upstream = Upstream::answering(fine());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway =
        Gateway::launch(&yaml(&upstream.address(), "listeners: [{address: '127.0.0.1:0'}]\n"), |command, _| {
            command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
        });
    assert_ne!(gateway.address("127.0.0.1"), socket.local_addr().unwrap());
    assert_eq!(gateway.client().get(VERSIONS).status(), 200);
}

/// Its file would lead to nobody.
#[test]
fn a_unix_socket_whose_file_was_replaced_is_bound_anew() {
    let upstream = Upstream::answering(fine());
    let manager = Manager::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let yaml = yaml(&upstream.address(), &format!("listeners: [{{address: 'unix:{}'}}]\n", path.display()));
    let mut gateway = start(&manager, &yaml);
    manager.heard("READY=1", 1);
    gateway.signal("TERM");
    assert!(gateway.ended().success());
    assert!(is_socket(&path), "the kept socket can still be reached");
    for replaced in [false, true] {
        std::fs::remove_file(&path).unwrap();
        if replaced {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        }
        let mut next = restart(&manager, &yaml);
        manager.heard("READY=1", 2 + usize::from(replaced));
        assert_eq!(Client::unix(&path).get(VERSIONS).status(), 200);
        next.signal("TERM");
        assert!(next.ended().success());
    }
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}
