//! `reload`: have the running gateway read its configuration again.

use std::io::Write;

use anyhow::bail;
use structopt::StructOpt;

use super::Exit;
use super::orders::Gateway;
use crate::edge::control::{Answer, Order};

/// Has the running gateway read its configuration and certificates again, and says what came of it
#[derive(Debug, StructOpt)]
pub(super) struct Reload {
    #[structopt(flatten)]
    gateway: Gateway,
}

impl Reload {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.gateway.ask(&Order::Reload)? {
            Answer::Reloaded { warnings } => {
                for warning in warnings {
                    writeln!(err, "{warning}")?;
                }
                writeln!(out, "the configuration is in use")?;
                Ok(Exit::Fine)
            }
            Answer::Wrong { problems } => {
                for problem in problems {
                    writeln!(err, "{problem}")?;
                }
                writeln!(err, "the configuration was not reloaded, the old one stays in use")?;
                Ok(Exit::Configuration)
            }
            Answer::Failed { message } => bail!("{message}; the old configuration stays in use"),
            other => bail!("the gateway answers {other:?}"),
        }
    }
}
