//! `reference`: every key of the configuration, from the same definition that parses it.

use std::io::Write;

use structopt::StructOpt;

use super::Exit;
use crate::config;

/// Prints a configuration file with every key, its meaning and its default
#[derive(Debug, StructOpt)]
pub(super) struct Reference {}

impl Reference {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let Self {} = self;
        out.write_all(config::reference().as_bytes())?;
        Ok(Exit::Fine)
    }
}
