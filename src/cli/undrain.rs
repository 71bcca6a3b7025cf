//! `undrain`: put a process of Synapse back into service.

use std::io::Write;

use anyhow::bail;
use structopt::StructOpt;

use super::Exit;
use super::orders::Gateway;
use crate::edge::control::{Answer, Order};

/// Gives a process of Synapse requests again
#[derive(Debug, StructOpt)]
pub(super) struct Undrain {
    #[structopt(flatten)]
    gateway: Gateway,
    /// The process, as `status` lists it
    process: String,
}

impl Undrain {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        match self.gateway.ask(&Order::Undrain { process: self.process.clone() })? {
            Answer::Undrained => writeln!(out, "{} gets requests again", self.process)?,
            Answer::Failed { message } => bail!("{message}"),
            other => bail!("the gateway answers {other:?}"),
        }
        Ok(Exit::Fine)
    }
}
