//! `configured`: whether there is anything to be run.

use std::io::Write;

use structopt::StructOpt;

use super::{ConfigFile, Exit};
use crate::config;

/// Succeeds once somebody has written a configuration; the systemd unit asks before it starts the gateway
#[derive(Debug, StructOpt)]
pub(super) struct Configured {
    #[structopt(flatten)]
    config: ConfigFile,
}

impl Configured {
    pub(super) fn execute(self, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let path = self.config.path();
        let why = match config::read(path) {
            Ok(sources) if config::is_written(&sources) => return Ok(Exit::Fine),
            Ok(_) => format!("{} sets nothing yet", path.display()),
            Err(error) => error.to_string(),
        };
        writeln!(
            err,
            "not configured: {why}; write it, run `synapse-gateway check`, then `systemctl start synapse-gateway`"
        )?;
        Ok(Exit::Failure)
    }
}
