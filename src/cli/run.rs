//! `run`: serve.

use std::io::Write;
use std::path::Path;

use structopt::StructOpt;

use super::prepare::prepare;
use super::synapse::Reader;
use super::{ConfigFile, Exit, problems};
use crate::edge::server::{self, Prepared};

/// Serves until it is stopped; the systemd unit runs this
#[derive(Debug, StructOpt)]
pub(super) struct Run {
    #[structopt(flatten)]
    config: ConfigFile,
}

impl Run {
    pub(super) fn execute(self, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let path = self.config.path().to_owned();
        let (prepared, found) = prepare(&path, Reader::Service);
        if !found.as_slice().is_empty() {
            problems::print(&found, err)?;
        }
        let Some(prepared) = prepared else { return Ok(Exit::Configuration) };
        server::run(prepared, Box::new(move || reread(&path)))?;
        Ok(Exit::Fine)
    }
}

fn reread(path: &Path) -> (Option<Prepared>, Vec<String>) {
    let (prepared, found) = prepare(path, Reader::Service);
    (prepared, found.as_slice().iter().map(ToString::to_string).collect())
}
