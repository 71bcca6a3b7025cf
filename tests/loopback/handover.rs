//! Another process takes over while requests go on: nothing is lost, and if it fails nothing has changed.

mod failing;
mod load;
mod sessions;
mod starting;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::command::{Finished, run};
use crate::support::gateway::{Gateway, preamble};

const VERSIONS: &str = "/_matrix/client/versions";
const SYNC: &str = "/_matrix/client/v3/sync?since=s1&timeout=30000";
const CONTROL: &str = "control: {socket: '{dir}/control.sock'}\n";
const LISTENERS: &str = "listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.2:0', tls: true}]\n";

fn yaml(upstream: &str, more: &str) -> String {
    format!("{}{LISTENERS}{CONTROL}{more}", preamble(upstream))
}

fn command(gateway: &Gateway, arguments: &[&str]) -> Finished {
    let (name, rest) = arguments.split_first().unwrap();
    run(gateway.directory(), &[&[name, "-c", "gateway.yaml"], rest].concat(), "")
}

/// Has another process take over, since `threads` cannot change in place; its process id.
#[track_caller]
fn hand_over(gateway: &Gateway, upstream: &str, threads: usize, more: &str) -> u32 {
    gateway.configure(&yaml(upstream, &format!("threads: {threads}\n{more}")));
    let finished = command(gateway, &["reload"]);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""), "{finished:?}");
    let told = finished.out.strip_prefix("the configuration is in use, in process ").unwrap();
    let (pid, why) = told.trim().split_once(": ").unwrap();
    assert_eq!(why, "threads changed");
    pid.parse().unwrap()
}

/// The process that answers commands.
#[track_caller]
fn serving(gateway: &Gateway) -> u32 {
    let finished = command(gateway, &["status", "--json"]);
    let status: Value = serde_json::from_str(&finished.out).unwrap_or_else(|_| panic!("{finished:?}"));
    status["pid"].as_u64().unwrap().try_into().unwrap()
}

/// Starts a gateway from a program of its own, which can be replaced, at this path.
fn with_program(program: &Path, yaml: &str) -> Gateway {
    install(program);
    Gateway::launch(yaml, |command, _| {
        let mut other = Command::new(program);
        other.args(command.get_args());
        for name in ["JOURNAL_STREAM", "NOTIFY_SOCKET", "RUNTIME_DIRECTORY"] {
            other.env_remove(name);
        }
        *command = other;
    })
}

/// Puts the gateway's program at a path, as a package manager does: under another name first.
fn install(program: &Path) {
    let new = program.with_extension("new");
    fs::copy(env!("CARGO_BIN_EXE_synapse-gateway"), &new).unwrap();
    fs::rename(new, program).unwrap();
}
