//! `reload`: have the running gateway read its configuration again.

use std::io::Write;

use structopt::StructOpt;

use super::Exit;
use super::orders::{Gateway, unexpected};
use crate::edge::control::{Answer, Order};

/// Has the running gateway read its configuration and certificates again, and says what came of it
#[derive(Debug, StructOpt)]
pub(super) struct Reload {
    #[structopt(flatten)]
    gateway: Gateway,
}

impl Reload {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let answer = self.gateway.ask(&Order::Reload)?;
        let (told, exit) = match &answer {
            Answer::Reloaded { warnings } => (warnings, Exit::Fine),
            Answer::Wrong { problems } => (problems, Exit::Configuration),
            Answer::Status(_)
            | Answer::Draining { .. }
            | Answer::Drained
            | Answer::Busy { .. }
            | Answer::Undrained
            | Answer::Failed { .. } => {
                return Err(unexpected(&answer));
            }
        };
        for problem in told {
            writeln!(err, "{problem}")?;
        }
        match exit {
            Exit::Fine => writeln!(out, "the configuration is in use")?,
            Exit::Failure | Exit::Usage | Exit::Configuration => {
                writeln!(err, "the configuration was not reloaded, the old one stays in use")?;
            }
        }
        Ok(exit)
    }
}
