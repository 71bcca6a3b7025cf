//! `run`: serve.

use std::io::Write;
use std::path::{Path, PathBuf};

use structopt::StructOpt;

use super::prepare::prepare;
use super::synapse::Reader;
use super::{ConfigFile, Exit, problems};
use crate::edge::handover::{self, Predecessor};
use crate::edge::server::{self, Prepared};
use crate::problem::Problems;

/// Serves until it is stopped; the systemd unit runs this
#[derive(Debug, StructOpt)]
pub(super) struct Run {
    #[structopt(flatten)]
    config: ConfigFile,
    /// Takes the place of the gateway that has this control socket, and its connections wait for nothing
    #[structopt(long, value_name = "PATH", parse(from_os_str), hidden = true)]
    take_over: Option<PathBuf>,
    /// Takes over once the process with this id is gone, which has started it
    #[structopt(long, value_name = "PID", requires = "take-over", hidden = true)]
    orphan_of: Option<u32>,
}

impl Run {
    pub(super) fn execute(self, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let path = self.config.path().to_owned();
        if let Some(socket) = &self.take_over {
            let Some(parent) = self.orphan_of else {
                handover::start_orphan(&path, socket)?;
                return Ok(Exit::Fine);
            };
            handover::await_adoption(parent)?;
        }
        let predecessor = self.take_over.as_deref().map(Predecessor::meet).transpose()?;
        let (prepared, found) = prepare(&path, Reader::Service);
        if !found.as_slice().is_empty() {
            problems::report(&found, err)?;
        }
        let Some(prepared) = prepared else {
            if let Some(predecessor) = predecessor {
                predecessor.give_up(lines(&found), true);
            }
            return Ok(Exit::Configuration);
        };
        let config = path.clone();
        server::run(prepared, Box::new(move || reread(&path)), &config, predecessor)?;
        Ok(Exit::Fine)
    }
}

fn reread(path: &Path) -> (Option<Prepared>, Vec<String>) {
    let (prepared, found) = prepare(path, Reader::Service);
    (prepared, lines(&found))
}

fn lines(found: &Problems) -> Vec<String> {
    found.as_slice().iter().map(ToString::to_string).collect()
}
