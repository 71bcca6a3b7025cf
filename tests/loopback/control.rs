//! Commands to a gateway that runs, over its control socket.

mod draining;
mod explaining;
mod reloading;
mod socket;
mod status;

use serde_json::Value;

use crate::support::command::{Finished, run};
use crate::support::gateway::Gateway;

/// The section that has a socket in the gateway's own directory.
const CONTROL: &str = "control: {socket: '{dir}/control.sock'}\n";

/// Runs a command against a gateway.
fn command(gateway: &Gateway, arguments: &[&str]) -> Finished {
    let (name, rest) = arguments.split_first().unwrap();
    run(gateway.directory(), &[&[name, "-c", "gateway.yaml"], rest].concat(), "")
}

/// Runs a command that must succeed, and returns what it writes.
#[track_caller]
fn told(gateway: &Gateway, arguments: &[&str]) -> String {
    let finished = command(gateway, arguments);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""), "{arguments:?}: {finished:?}");
    finished.out
}

/// Runs a command that must fail, and returns what it complains of.
#[track_caller]
fn refused(gateway: &Gateway, arguments: &[&str], code: i32) -> String {
    let finished = command(gateway, arguments);
    assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
    finished.err
}

/// What `status` says of a process.
#[track_caller]
fn process(gateway: &Gateway, name: &str) -> Value {
    let status: Value = serde_json::from_str(&told(gateway, &["status", "--json"])).unwrap();
    let found = status["processes"].as_array().unwrap().iter().find(|process| process["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {status}")).clone()
}
