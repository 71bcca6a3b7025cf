//! `check`: everything that `run` does before it binds a port.

use std::io::Write;

use bytesize::ByteSize;
use structopt::StructOpt;

use super::prepare::prepare;
use super::synapse::Reader;
use super::{ConfigFile, Exit, problems};
use crate::config;
use crate::edge::certificates;
use crate::quantity::Size;

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
        let (prepared, found) = prepare(self.config.path(), Reader::Command);
        if self.json {
            problems::print_json(&found, out)?;
        } else {
            problems::print(&found, out)?;
            if let Some(prepared) = &prepared {
                let pairs = prepared.config.tls.iter().flat_map(|tls| &tls.pairs);
                for told in pairs.flat_map(|pair| [&pair.cert, &pair.key]).filter_map(|file| certificates::told(file)) {
                    writeln!(out, "{told}")?;
                }
                let name = prepared.config.server_name.as_deref().unwrap_or("this homeserver");
                writeln!(out, "other servers find {name} by the first of these steps that succeeds:")?;
                for step in config::delegation(&prepared.config) {
                    writeln!(out, "  {step}")?;
                }
            }
            let memory = prepared.map_or(Size(0), |prepared| prepared.config.gateway.rendezvous.worst_case_memory());
            if memory > Size(0) {
                writeln!(out, "rendezvous sessions take at most {} of memory", ByteSize(memory.0))?;
            }
        }
        Ok(if found.has_errors() { Exit::Configuration } else { Exit::Fine })
    }
}
