//! `drain`: take a process of Synapse out of service.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::bail;
use humantime::{format_duration, parse_duration};
use serde_json::json;
use structopt::StructOpt;

use super::Exit;
use super::orders::{Gateway, unexpected};
use crate::edge::control::{Answer, Order};

/// Gives a process of Synapse no new requests, and waits until it has none left
#[derive(Debug, StructOpt)]
pub(super) struct Drain {
    #[structopt(flatten)]
    gateway: Gateway,
    /// How long to wait. The process stays drained whether or not it gets idle in time
    #[structopt(long, value_name = "DURATION", default_value = "5m", parse(try_from_str = parse_duration))]
    timeout: Duration,
    /// Drains it even if nobody else can answer some requests; they wait as during a restart
    #[structopt(long)]
    force: bool,
    /// Prints a JSON object a second while it waits, and one at the end. Without it, only a terminal is shown how it goes
    #[structopt(long)]
    json: bool,
    /// The process, as `status` lists it
    process: String,
}

impl Drain {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let process = &self.process;
        let within_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let order = Order::Drain { process: process.clone(), force: self.force, within_ms };
        // Who is not there to watch wants to know how it ended.
        let shows = self.json || io::stdout().is_terminal();
        for answer in self.gateway.order(&order)? {
            match answer? {
                Answer::Draining { requests, long_polls } if shows => {
                    self.tell(out, "draining", requests, long_polls)?;
                }
                Answer::Draining { .. } => {}
                Answer::Drained if self.json => {
                    self.tell(out, "drained", 0, 0)?;
                    return Ok(Exit::Fine);
                }
                Answer::Drained => {
                    writeln!(out, "{process} is idle, and gets no new requests until `undrain {process}`")?;
                    return Ok(Exit::Fine);
                }
                Answer::Busy { requests, long_polls } => {
                    if self.json {
                        self.tell(out, "busy", requests, long_polls)?;
                    }
                    bail!(
                        "{process} still has {requests} requests and {long_polls} long polls after {}; it stays drained \
                         until `undrain {process}`",
                        format_duration(self.timeout)
                    );
                }
                other @ (Answer::Status(_)
                | Answer::Reloaded { .. }
                | Answer::Start { .. }
                | Answer::HandedOver { .. }
                | Answer::Wrong { .. }
                | Answer::Undrained
                | Answer::Failed { .. }) => return Err(unexpected(&other)),
            }
        }
        bail!("the gateway has ended the connection; {process} may be drained, see `status`")
    }

    fn tell(&self, out: &mut dyn Write, state: &str, requests: u32, long_polls: u32) -> io::Result<()> {
        if self.json {
            writeln!(out, "{}", json!({ "state": state, "requests": requests, "long_polls": long_polls }))?;
        } else {
            writeln!(out, "{} still has {requests} requests and {long_polls} long polls", self.process)?;
        }
        out.flush()
    }
}
