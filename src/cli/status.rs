//! `status`: how the running gateway and the processes behind it are.

use std::io::Write;
use std::time::Duration;

use humantime::format_duration;
use structopt::StructOpt;

use super::Exit;
use super::orders::{Gateway, unexpected};
use crate::edge::control::{Answer, Order, Process, Status as Told};

/// Says how the running gateway and the processes behind it are
#[derive(Debug, StructOpt)]
pub(super) struct Status {
    #[structopt(flatten)]
    gateway: Gateway,
    /// Prints a JSON object
    #[structopt(long)]
    json: bool,
}

impl Status {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let answer = self.gateway.ask(&Order::Status)?;
        let Answer::Status(told) = answer else { return Err(unexpected(&answer)) };
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
            return Ok(Exit::Fine);
        }
        let Told { version, pid, uptime, connections, synapse, processes } = &told;
        let uptime = format_duration(Duration::from_secs(*uptime));
        writeln!(out, "synapse-gateway {version}, pid {pid}, up {uptime}, {connections} connections")?;
        writeln!(out, "Synapse is taken for {synapse}")?;
        let width = |of: fn(&Process) -> usize| processes.iter().map(of).max().unwrap_or_default();
        let (names, addresses) = (width(|one| one.name.len()), width(|one| one.address.len()));
        for process in processes {
            let Process { name, address, up, drained, roles, requests, long_polls, waiting, unknown_endpoints } =
                process;
            let state = match (up, drained) {
                (true, false) => "up",
                (false, false) => "down",
                (true, true) => "drained",
                (false, true) => "down, drained",
            };
            let load = format!("{requests} requests, {long_polls} long polls, {waiting} waiting");
            let roles = roles.join(", ");
            writeln!(out, "  {name:names$}  {address:addresses$}  {state:13}  {load}  {roles}")?;
            if !unknown_endpoints.is_empty() {
                writeln!(out, "  {:names$}  does not know {}, which main serves", "", unknown_endpoints.join(", "))?;
            }
        }
        Ok(Exit::Fine)
    }
}
