//! `undrain`: put a process of Synapse back into service.

use std::io::Write;

use structopt::StructOpt;

use super::Exit;
use super::orders::{Gateway, unexpected};
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
        let answer = self.gateway.ask(&Order::Undrain { process: self.process.clone() })?;
        if answer != Answer::Undrained {
            return Err(unexpected(&answer));
        }
        writeln!(out, "{} gets requests again", self.process)?;
        Ok(Exit::Fine)
    }
}
