//! `check`: everything that `run` does before it binds a port.

use std::io::Write;

use structopt::StructOpt;

use super::{ConfigFile, Exit, problems};
use crate::config;
use crate::problem::Problems;

/// Checks the configuration and tells all that is wrong with it at once
#[derive(Debug, StructOpt)]
pub(super) struct Check {
    #[structopt(flatten)]
    config: ConfigFile,
    /// Prints an array of problems for scripts
    #[structopt(long)]
    json: bool,
}

impl Check {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let found = match config::read(self.config.path()) {
            Ok(sources) => config::load(&sources).1,
            Err(error) => {
                let mut found = Problems::default();
                found.add(error.into());
                found
            }
        };
        if self.json {
            problems::print_json(&found, out)?;
        } else {
            problems::print(&found, out)?;
        }
        Ok(if found.has_errors() { Exit::Configuration } else { Exit::Fine })
    }
}
