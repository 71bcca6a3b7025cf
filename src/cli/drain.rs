//! `drain`: take a process of Synapse out of service.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::bail;
use humantime::parse_duration;
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
    /// Prints a JSON object for each second of waiting
    #[structopt(long)]
    json: bool,
    /// The process, as `status` lists it
    process: String,
}

impl Drain {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let process = &self.process;
        #[expect(clippy::disallowed_methods, reason = "how long a command waits is for the clock to say")]
        let started = Instant::now();
        for answer in self.gateway.order(&Order::Drain { process: process.clone(), force: self.force })? {
            let answer = answer?;
            let idle = answer == Answer::Drained;
            let (requests, long_polls) = if let Answer::Draining { requests, long_polls } = answer {
                (requests, long_polls)
            } else if idle {
                (0, 0)
            } else {
                return Err(unexpected(&answer));
            };
            if self.json {
                writeln!(out, "{}", json!({ "requests": requests, "long_polls": long_polls }))?;
            } else if idle {
                writeln!(out, "{process} is idle and gets no new requests until `undrain {process}`")?;
            } else {
                writeln!(out, "{process} still has {requests} requests and {long_polls} long polls")?;
            }
            out.flush()?;
            if idle {
                return Ok(Exit::Fine);
            }
            if started.elapsed() >= self.timeout {
                bail!("{process} gets no new requests, but is not idle after {:?}", self.timeout);
            }
        }
        bail!("the gateway has ended the connection")
    }
}
