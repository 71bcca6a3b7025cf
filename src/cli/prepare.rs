//! Everything up to the moment of binding, as `run` and `check` both do it.

use std::path::Path;
use std::time::SystemTime;

use super::synapse::{self, Reader};
use crate::config;
use crate::edge::certificates;
use crate::edge::server::Prepared;
use crate::edge::store::Password;
use crate::problem::Problems;
use crate::rendezvous::{Keeping, Rendezvous};

/// Reads the configuration and the files that it names.
#[expect(clippy::disallowed_methods, reason = "whether a certificate has expired is for the present moment to say")]
pub(super) fn prepare(path: &Path, reader: Reader) -> (Option<Prepared>, Problems) {
    let sources = match config::read(path) {
        Ok(sources) => sources,
        Err(error) => {
            let mut found = Problems::default();
            found.add(error.into());
            return (None, found);
        }
    };
    let mut of_synapse = Problems::default();
    let files = config::synapse_files(&sources);
    let derived = files.and_then(|files| synapse::derived(&files, path, reader, &mut of_synapse));
    let mut certificates = None;
    let mut store_password = None;
    let (config, found) = config::load_with(&sources, derived.as_ref(), |naming, problems| {
        if let Some(tls) = naming.tls {
            certificates = certificates::load(tls, SystemTime::now(), problems);
        }
        if let Some(keeping) = naming.rendezvous.and_then(Rendezvous::keeping) {
            store_password = password(keeping, problems);
        }
    });
    // What is missing because Synapse's files are wrong is not the operator's to write here.
    let found = if of_synapse.has_errors() { of_synapse } else { of_synapse.and(found) };
    let config = config.filter(|_| !found.has_errors());
    (config.map(|config| Prepared { config, certificates, store_password }), found)
}

fn password(keeping: &Keeping, problems: &mut Problems) -> Option<Password> {
    let problem = |error: &dyn std::fmt::Display, path: &Path| format!("{}: {error}", path.display());
    match keeping {
        Keeping::Memory { state_dir: None } => None,
        Keeping::Memory { state_dir: Some(path) } => {
            if !path.is_dir() {
                let message = problem(&"there is no such directory", path);
                let remedy = "make it, writable for the user synapse-gateway alone, or remove the key";
                problems.error("rendezvous.state_dir", message, remedy);
            }
            None
        }
        Keeping::Redis(server) => {
            let path = server.password_file.as_deref()?;
            let remedy = "write the password into its first line, readable for the user synapse-gateway";
            let report = |error| problems.error("rendezvous.store_password_file", problem(&error, path), remedy);
            Password::read(path).map_err(report).ok()
        }
    }
}
