//! `import-certificates`: copies certificates to where the service can read them.

use std::io::Write;

use anyhow::Context as _;
use structopt::StructOpt;

use super::{ConfigFile, Exit};
use crate::config;
use crate::edge::import::{self, Deposit};
use crate::edge::{journal, runtime};

/// Copies the certificates and keys that the configuration names to where the service can read them; the systemd unit
/// runs this as root, since certbot's files are for root alone
#[derive(Debug, StructOpt)]
pub(super) struct ImportCertificates {
    #[structopt(flatten)]
    config: ConfigFile,
}

impl ImportCertificates {
    pub(super) fn execute(self, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<Exit> {
        let path = self.config.path();
        let sources = config::read(path)?;
        import::trust(path)?;
        for source in &sources {
            import::trust(source.name.as_ref())?;
        }
        let mut files = None;
        let (_, found) = config::load_with(&sources, None, |naming, _| {
            let pairs = naming.tls.map(|tls| tls.pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
            files = pairs.map(Iterator::collect::<Vec<_>>);
        });
        if files.is_none() && found.has_errors() {
            // The start or the reload that comes next tells what is wrong.
            writeln!(err, "no certificate was copied: the configuration is wrong, as `synapse-gateway check` tells")?;
            return Ok(Exit::Fine);
        }
        let files = files.unwrap_or_default();
        let directory = runtime::customary().context("there is no runtime directory: the systemd unit makes it")?;
        let place = runtime::tls(&directory);
        let deposit = Deposit::open(&directory, &place).with_context(|| place.display().to_string())?;
        let mut exit = Exit::Fine;
        for failed in import::copy(&deposit, &files) {
            writeln!(err, "{}error: {failed}", journal::prefix(log::Level::Error))?;
            exit = Exit::Failure;
        }
        if exit == Exit::Fine {
            writeln!(out, "{} files were copied to {}", files.len(), place.display())?;
        }
        Ok(exit)
    }
}
