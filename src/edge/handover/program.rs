//! The program that runs, and whether it still is the one that would be started.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use procfs::process::{MMPermissions, MMapPath, Process};

use super::APPEAR;

/// What the kernel writes behind the path of a mapped file that is no longer there.
const GONE: &str = " (deleted)";
/// How often it is looked whether this process is an orphan.
const LOOK_EVERY: Duration = Duration::from_millis(1);
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

/// Starts a process that takes over. It inherits where messages go, and ends at once: the one that really takes over is an
/// orphan, since a service manager only looks after children of its own (`pid_is_my_child` in systemd). It would otherwise
/// kill the process at a restart without waiting for it.
pub fn start(program: &Path, config: &Path, socket: &Path) -> io::Result<Child> {
    taking_over(program, config, socket).spawn()
}

/// Starts the process that really takes over, from one that [`start`] has started.
pub fn start_orphan(config: &Path, socket: &Path) -> io::Result<()> {
    let mut command = taking_over(&std::env::current_exe()?, config, socket);
    command.arg("--orphan-of").arg(std::process::id().to_string()).spawn()?;
    Ok(())
}

/// Waits until the process that has started this one is gone.
pub fn await_adoption(parent: u32) -> io::Result<()> {
    let begun = Instant::now();
    while std::os::unix::process::parent_id() == parent {
        if begun.elapsed() > APPEAR {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the process that has started this one does not end"));
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

fn taking_over(program: &Path, config: &Path, socket: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("run").arg("-c").arg(config).arg("--take-over").arg(socket).stdin(Stdio::null());
    // What these name was passed to another process.
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
        command.env_remove(name);
    }
    command
}
