//! The directory that the service manager makes for the service: what is in it outlives a process, and no reboot.

use std::env;
use std::path::{Path, PathBuf};

/// What the unit of the package has made.
const CUSTOMARY: &str = "/run/synapse-gateway";
/// What is derived from Synapse's configuration, by a helper that may read it.
const DERIVED: &str = "synapse.yaml";
/// Copies of certificates and keys, by the same kind of helper.
const TLS: &str = "tls";
/// Its presence asks the service manager for a reload, in which that helper runs again.
const CHANGED: &str = "synapse-changed";

/// The directory of the service; None for a process that no service manager has started.
#[must_use]
pub fn given() -> Option<PathBuf> {
    env::split_paths(&env::var_os("RUNTIME_DIRECTORY")?).find(|path| path.is_absolute())
}

/// The directory of the service, as its helpers and an administrator's commands look for it; None if it is not there.
#[must_use]
pub fn customary() -> Option<PathBuf> {
    given().or_else(|| Some(PathBuf::from(CUSTOMARY)).filter(|path| path.is_dir()))
}

/// Where what is derived from Synapse's configuration stands.
#[must_use]
pub fn derived(directory: &Path) -> PathBuf {
    directory.join(DERIVED)
}

/// The file by which the service manager is asked for a reload.
#[must_use]
pub fn changed(directory: &Path) -> PathBuf {
    directory.join(CHANGED)
}

/// The directory of the copies of certificates and keys that the service cannot read itself.
#[must_use]
pub fn tls(directory: &Path) -> PathBuf {
    directory.join(TLS)
}
