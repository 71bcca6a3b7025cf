//! The program that runs, and whether it still is the one that would be started.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use procfs::process::{MMPermissions, MMapPath, Process};

/// What the kernel writes behind the path of a mapped file that is no longer there.
const GONE: &str = " (deleted)";
/// The mapped file of this process.
const RUNNING: &str = "/proc/self/exe";

/// The program of this process, with what it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Program {
    /// The real path: by `/proc/self/exe` the process would be called `exe`.
    path: PathBuf,
    config: PathBuf,
}

impl Program {
    /// Must be called before the program can have been replaced. `config` is the configuration that it runs.
    pub(in crate::edge) fn running(config: &Path) -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, config: config.to_owned() })
    }

    /// What of it has been replaced on disk since it was started, if anything: itself, or a library.
    pub(in crate::edge) fn replaced(&self) -> Option<String> {
        let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        // In the middle of its replacement there may be none; then there is nothing to be started either.
        let there = identity(&self.path)?;
        if Some(there) != identity(Path::new(RUNNING)) {
            return Some(self.path.display().to_string());
        }
        let maps = Process::myself().and_then(|process| process.maps()).ok()?;
        maps.into_iter().filter(|map| map.perms.contains(MMPermissions::EXECUTE)).find_map(|map| {
            let MMapPath::Path(path) = map.pathname else { return None };
            path.to_str()?.strip_suffix(GONE).map(str::to_owned)
        })
    }

    /// Starts it again, to take over from the process whose control socket is at `socket`.
    pub(in crate::edge) fn start(&self, socket: &Path) -> io::Result<Child> {
        start(&self.path, &self.config, socket)
    }
}

/// Starts a process that takes over. It inherits where messages go.
pub fn start(program: &Path, config: &Path, socket: &Path) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("run").arg("-c").arg(config).arg("--take-over").arg(socket).stdin(Stdio::null());
    // What these name was passed to another process.
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
        command.env_remove(name);
    }
    command.spawn()
}
