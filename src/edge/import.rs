//! The helper that runs as root and copies files to where the service may read them.
//!
//! It believes nobody but root: it reads only what a configuration names that nobody else can write, and it writes into
//! a directory of the service's user without following anything that this user may have put there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, renameat, unlinkat};
use rustix::process::geteuid;

use super::certificates::{MAX_FILE, copy_name};

/// For the service's user alone, who need not change them.
const FILE: u32 = 0o400;
const DIRECTORY: Mode = Mode::RWXU;
/// The name of a copy that is not complete.
const UNFINISHED: &str = "new";
const STICKY: u32 = 0o1000;

/// Why a configuration is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Distrusted {
    /// It cannot be looked at.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "{} could be changed by others than root, who would then learn what root alone may read; \
         `chown root` it, and `chmod go-w`", .0.display()
    )]
    Writable(PathBuf),
}

/// A file that was not copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy {}: {error}", file.display())]
pub struct Failed {
    /// The file.
    pub file: PathBuf,
    /// What the system says.
    pub error: io::Error,
}

/// Makes sure that nobody but root, or whoever runs this, can change what is at a path: neither the file, nor any
/// directory or link on the way to it.
pub fn trust(path: &Path) -> Result<(), Distrusted> {
    let failed = |error| Distrusted::Io { path: path.to_owned(), error };
    let (written, meant) = (std::path::absolute(path).map_err(failed)?, path.canonicalize().map_err(failed)?);
    let me = geteuid().as_raw();
    for place in written.ancestors().chain(meant.ancestors()) {
        let found = fs::metadata(place).map_err(|error| Distrusted::Io { path: place.to_owned(), error })?;
        // In a directory such as /tmp everybody may put something, and nobody may replace what is another's.
        let shared = found.is_dir() && found.mode() & STICKY != 0;
        if ![0, me].contains(&found.uid()) || (found.mode() & 0o022 != 0 && !shared) {
            return Err(Distrusted::Writable(place.to_owned()));
        }
    }
    Ok(())
}

/// Copies files to the deposit, and removes from it what is not one of them. Tells which it could not copy; an earlier
/// copy of such a file stays.
#[must_use]
pub fn copy(deposit: &Deposit, files: &[PathBuf]) -> Vec<Failed> {
    let mut failed = Vec::new();
    let mut names = BTreeSet::new();
    for file in files {
        let name = copy_name(file);
        if let Err(error) = read(file).and_then(|bytes| deposit.put(&name, &bytes)) {
            failed.push(Failed { file: file.clone(), error });
        }
        names.insert(name);
    }
    if let Err(error) = deposit.keep_only(&names) {
        failed.push(Failed { file: PathBuf::from("what is no longer named"), error });
    }
    failed
}

/// Follows links, as certbot's `live` has them; a device or a pipe is nothing to be copied.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// A directory that belongs to the service's user, opened so that it cannot be exchanged any more.
#[derive(Debug)]
pub struct Deposit {
    directory: OwnedFd,
    owner: (u32, u32),
}

impl Deposit {
    /// Opens or makes `place` in `parent`, whose owner is the service's user.
    pub fn open(parent: &Path, place: &Path) -> io::Result<Self> {
        let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty())?;
        let owner = File::from(parent.try_clone()?).metadata()?;
        let made = match mkdirat(&parent, name, DIRECTORY) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) => false,
            Err(error) => return Err(error.into()),
        };
        let directory = openat(&parent, name, flags, Mode::empty())?;
        let owner = (owner.uid(), owner.gid());
        if made {
            fchown(&directory, Some(owner.0), Some(owner.1))?;
        }
        Ok(Self { directory, owner })
    }

    /// Writes a file in place of the one that has this name.
    pub fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.remove(UNFINISHED.as_ref())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.directory, UNFINISHED, flags, Mode::from_raw_mode(FILE))?);
        file.write_all(bytes)?;
        // Last, so that its owner never sees half of it.
        fchown(&file, Some(self.owner.0), Some(self.owner.1))?;
        renameat(&self.directory, UNFINISHED, &self.directory, name)?;
        Ok(())
    }

    fn keep_only(&self, names: &BTreeSet<String>) -> io::Result<()> {
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if !matches!(name, "." | "..") && !names.contains(name) {
                self.remove(OsStr::new(name))?;
            }
        }
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.directory, name, AtFlags::empty()) {
            Err(rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
