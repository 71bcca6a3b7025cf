//! What is taken from Synapse's own configuration, as commands and the service get at it.
//!
//! The files hold passwords and keys. A command of an administrator reads them itself; the service never does: before it
//! starts, a helper with more rights leaves what is derived in the runtime directory. A service that nobody manages runs
//! that helper as a process of its own.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::derive::derive;
use crate::config::Source;
use crate::edge::runtime;
use crate::problem::{Problem, Problems};
use crate::routing::SynapseFiles;

/// The largest text, in bytes.
const LARGEST: u64 = 1 << 20;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A command, with the rights of whoever gave it.
    Command,
    /// The service.
    Service,
}

/// What is derived from Synapse's configuration, as a file that lies under the gateway's own `config`.
pub(super) fn derived(files: &SynapseFiles, config: &Path, reader: Reader, problems: &mut Problems) -> Option<Source> {
    let source = match (reader, runtime::given()) {
        (Reader::Command, _) => return derive_here(files, problems),
        (Reader::Service, Some(directory)) => left_in(&directory),
        (Reader::Service, None) => from_helper(config),
    };
    match source {
        Ok(source) => Some(source),
        Err(error) => {
            let remedy = "see what `synapse-gateway import-synapse` says as root";
            problems.error("synapse.config", format!("{error:#}"), remedy);
            None
        }
    }
}

/// Reads Synapse's files. Where that is not permitted, what the helper has left for the service will do.
fn derive_here(files: &SynapseFiles, problems: &mut Problems) -> Option<Source> {
    let taken = derive(&files.config, &files.workers);
    if taken.denied
        && let Some(source) = runtime::customary().and_then(|directory| left_in(&directory).ok())
    {
        return Some(source);
    }
    for problem in taken.problems.as_slice() {
        problems.add(Problem::clone(problem));
    }
    Some(Source { name: "what is derived from Synapse".to_owned(), bytes: taken.text()?.into() })
}

/// What the helper has left.
fn left_in(directory: &Path) -> anyhow::Result<Source> {
    let path = runtime::derived(directory);
    let mut bytes = Vec::new();
    let file = File::open(&path).with_context(|| format!("nothing was derived: {}", path.display()))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(Source { name: path.display().to_string(), bytes })
}

/// What the helper says when it is run now.
fn from_helper(config: &Path) -> anyhow::Result<Source> {
    let program = std::env::current_exe().context("the program does not know where it is")?;
    let mut helper = Command::new(program);
    helper.args(["import-synapse", "--print", "--config"]).arg(config);
    let mut child = helper.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the helper does not start")?;
    let mut bytes = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(LARGEST + 1).read_to_end(&mut bytes).context("the helper says nothing")?;
    }
    let status = child.wait().context("the helper is lost")?;
    if !status.success() {
        bail!("nothing was derived: the helper's messages say why");
    }
    Ok(Source { name: "what is derived from Synapse".to_owned(), bytes })
}
