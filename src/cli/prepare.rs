//! Everything up to the moment of binding, as `run` and `check` both do it.

use std::path::Path;
use std::time::SystemTime;

use crate::config;
use crate::edge::certificates;
use crate::edge::server::Prepared;
use crate::problem::Problems;

/// Reads the configuration and the certificates that it names.
#[expect(clippy::disallowed_methods, reason = "whether a certificate has expired is for the present moment to say")]
pub(super) fn prepare(path: &Path) -> (Option<Prepared>, Problems) {
    let sources = match config::read(path) {
        Ok(sources) => sources,
        Err(error) => {
            let mut found = Problems::default();
            found.add(error.into());
            return (None, found);
        }
    };
    let mut certificates = None;
    let (config, found) = config::load_with(&sources, |tls, problems| {
        certificates = certificates::load(tls, SystemTime::now(), problems);
    });
    (config.map(|config| Prepared { config, certificates }), found)
}
