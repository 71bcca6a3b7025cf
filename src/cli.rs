//! The command line: one file for each subcommand.
//!
//! It must not decide anything itself: it calls the library and prints what comes back.

mod check;
mod completions;
mod configured;
mod derive;
mod drain;
mod explain;
mod import_certificates;
mod import_synapse;
mod manual;
mod orders;
mod prepare;
mod problems;
mod reference;
mod reload;
mod routes;
mod run;
mod status;
mod synapse;
mod undrain;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use structopt::StructOpt;
use structopt::clap::ErrorKind;

use crate::edge::journal;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Fine,
    /// Something failed.
    Failure,
    /// The command line cannot be understood.
    Usage,
    /// The configuration is wrong: `EX_CONFIG` of sysexits.h, on which the systemd unit does not restart.
    Configuration,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Configuration => 78,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Reverse proxy for the Synapse Matrix homeserver.
#[derive(Debug, StructOpt)]
#[structopt(name = "synapse-gateway")]
enum Command {
    Check(check::Check),
    Completions(completions::Completions),
    Configured(configured::Configured),
    Derive(derive::Derive),
    Drain(drain::Drain),
    Explain(explain::Explain),
    ImportCertificates(import_certificates::ImportCertificates),
    ImportSynapse(import_synapse::ImportSynapse),
    Manual(manual::Manual),
    Reference(reference::Reference),
    Reload(reload::Reload),
    Routes(routes::Routes),
    Run(run::Run),
    Status(status::Status),
    Undrain(undrain::Undrain),
}

// No doc comment: the parser would show it in place of the help of each subcommand that this is part of.
#[derive(Debug, StructOpt)]
struct ConfigFile {
    /// The configuration [default: /etc/synapse-gateway/gateway.yaml]; the files in conf.d next to it are read too
    // Not clap's `default_value`: with one, it reads a `-c` without a value as the default.
    #[structopt(short = "c", long = "config", value_name = "FILE", parse(from_os_str))]
    path: Option<PathBuf>,
}

impl ConfigFile {
    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new("/etc/synapse-gateway/gateway.yaml"))
    }
}

impl Command {
    fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        match self {
            Self::Check(command) => command.execute(out),
            Self::Completions(command) => command.execute(out),
            Self::Configured(command) => command.execute(err),
            Self::Derive(command) => command.execute(out, err),
            Self::Drain(command) => command.execute(out),
            Self::Explain(command) => command.execute(out, err),
            Self::ImportCertificates(command) => command.execute(out, err),
            Self::ImportSynapse(command) => command.execute(out, err),
            Self::Manual(command) => command.execute(out),
            Self::Reference(command) => command.execute(out),
            Self::Reload(command) => command.execute(out, err),
            Self::Routes(command) => command.execute(out),
            Self::Run(command) => command.execute(err),
            Self::Status(command) => command.execute(out),
            Self::Undrain(command) => command.execute(out),
        }
    }
}

/// Does what the arguments say; the first one is the program's own name. Answers go to `out`, complaints to `err`.
pub fn run<I>(arguments: I, out: &mut dyn Write, err: &mut dyn Write) -> Exit
where
    I: IntoIterator<Item = OsString>,
{
    let (result, exit) = match Command::from_iter_safe(arguments) {
        Ok(command) => match command.execute(out, err) {
            Ok(exit) => (Ok(()), exit),
            // Whoever read the answer has seen enough, as in `reference | head`.
            Err(error) if is_broken_pipe(&error) => (Ok(()), Exit::Fine),
            Err(error) => (writeln!(err, "{}error: {error:#}", journal::prefix(log::Level::Error)), Exit::Failure),
        },
        // The version is printed by the parser itself, and its message empty.
        Err(error) if error.kind == ErrorKind::VersionDisplayed => (writeln!(out), Exit::Fine),
        Err(error) if error.kind == ErrorKind::HelpDisplayed => (writeln!(out, "{}", error.message), Exit::Fine),
        Err(error) => (writeln!(err, "{}", error.message), Exit::Usage),
    };
    match result.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && exit == Exit::Fine => Exit::Failure,
        Ok(()) | Err(_) => exit,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
