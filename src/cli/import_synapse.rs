//! `import-synapse`: the helper that reads Synapse's configuration for the service.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use structopt::StructOpt;

use super::derive::{Taken, derive};
use super::{ConfigFile, Exit, problems};
use crate::config;
use crate::edge::runtime;

/// Leaves what the service needs of Synapse's configuration in its runtime directory; the systemd unit runs this as root
#[derive(Debug, StructOpt)]
pub(super) struct ImportSynapse {
    #[structopt(flatten)]
    config: ConfigFile,
    /// Prints it instead
    #[structopt(long)]
    print: bool,
    /// The runtime directory of the service [default: that of systemd, or /run/synapse-gateway]
    #[structopt(long, value_name = "PATH", parse(from_os_str), conflicts_with = "print")]
    directory: Option<PathBuf>,
}

impl ImportSynapse {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        // A configuration that is wrong elsewhere is the service's to complain about.
        let files = config::read(self.config.path()).ok().and_then(|sources| config::synapse_files(&sources));
        let taken = files.map(|files| derive(&files.config, &files.workers));
        if let Some(taken) = &taken {
            if !taken.problems.as_slice().is_empty() {
                problems::report(&taken.problems, err)?;
            }
            if taken.text().is_none() {
                return Ok(taken.exit());
            }
        }
        let text = taken.as_ref().and_then(Taken::text);
        if self.print {
            out.write_all(text.unwrap_or_default().as_bytes())?;
            return Ok(Exit::Fine);
        }
        let Some(directory) = self.directory.or_else(runtime::customary) else {
            bail!("there is no runtime directory: name one with `--directory`, or use `--print`");
        };
        let file = runtime::derived(&directory);
        let failed = || file.display().to_string();
        match text {
            Some(text) => replace(&file, text.as_bytes()).with_context(failed)?,
            None => remove(&file).with_context(failed)?,
        }
        remove(&runtime::changed(&directory)).with_context(failed)?;
        Ok(Exit::Fine)
    }
}

/// The directory belongs to a user with fewer rights, who may have put a link in the file's place: none is followed.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = file.with_extension("new");
    remove(&unfinished)?;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&unfinished)?;
    // Whatever the umask, which is that of the service: the directory is closed to others, and the file holds no secret.
    new.set_permissions(Permissions::from_mode(0o644))?;
    new.write_all(bytes)?;
    fs::rename(&unfinished, file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
