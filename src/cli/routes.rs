//! `routes`: the table of Synapse's endpoints, and whether it is true of the Synapse that is installed.

mod bounded;
mod list;
mod verify;

use std::io::Write;

use structopt::StructOpt;

use super::Exit;

/// Lists the endpoints that workers serve, or compares them with the Synapse that is installed
#[derive(Debug, StructOpt)]
pub(super) enum Routes {
    List(list::List),
    Verify(verify::Verify),
}

impl Routes {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        match self {
            Self::List(command) => command.execute(out),
            Self::Verify(command) => command.execute(out),
        }
    }
}
