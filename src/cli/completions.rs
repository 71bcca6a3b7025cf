//! `completions`: what a shell needs to complete a command line, from the definition that parses it.

use std::io::Write;

use structopt::StructOpt;
use structopt::clap::Shell;

use super::{Command, Exit};

/// Prints completions for a shell; the Debian package installs them
#[derive(Debug, StructOpt)]
pub(super) struct Completions {
    /// The shell
    #[structopt(possible_values = &["bash", "fish", "zsh"])]
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        Command::clap().gen_completions_to("synapse-gateway", self.shell, &mut script);
        out.write_all(&script)?;
        Ok(Exit::Fine)
    }
}
