//! `reference`: every key of the configuration, from the same definition that parses it.

use std::io::Write;

use structopt::StructOpt;
use structopt::clap::arg_enum;

use super::Exit;
use crate::config;

arg_enum! {
    #[derive(Clone, Copy, Debug)]
    enum Format {
        Yaml,
        Man,
    }
}

/// Prints a configuration file with every key, its meaning and its default
#[derive(Debug, StructOpt)]
pub(super) struct Reference {
    /// As a file to copy from, or as the manual page synapse-gateway.yaml(5)
    #[structopt(long, value_name = "FORMAT", default_value = "yaml", case_insensitive = true, possible_values = &["yaml", "man"])]
    format: Format,
}

impl Reference {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let text = match self.format {
            Format::Yaml => config::reference(),
            Format::Man => config::man(),
        };
        out.write_all(text.as_bytes())?;
        Ok(Exit::Fine)
    }
}
