//! `routes list`: the table.

use std::io::Write;

use structopt::StructOpt;

use super::Exit;
use crate::routing::{Listed, Release, list};

/// Prints the endpoints that workers serve; all others are the main process's
#[derive(Debug, StructOpt)]
pub(in crate::cli) struct List {
    /// The release of Synapse, such as 1.163; by default every row, with the releases it is for
    #[structopt(long, value_name = "RELEASE")]
    release: Option<Release>,
    /// Prints an array of rows
    #[structopt(long)]
    json: bool,
}

impl List {
    pub(super) fn execute(self, out: &mut dyn Write) -> anyhow::Result<Exit> {
        let rows: Vec<Listed> = list(self.release).collect();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
            return Ok(Exit::Fine);
        }
        writeln!(
            out,
            "`*` is one segment of a path, `**` all that follows. The first row that fits a request counts."
        )?;
        for Listed { id, methods, paths, role, affinity, only, since, until } in rows {
            let to = until.map_or_else(String::new, |until| format!(" to {until}"));
            writeln!(out, "{id}: {role}, by {}, from {since}{to}", affinity.as_str())?;
            for condition in only {
                writeln!(out, "  only {condition}")?;
            }
            let methods = methods.join(" ");
            for path in paths {
                writeln!(out, "  {methods} {path}")?;
            }
        }
        Ok(Exit::Fine)
    }
}
