//! Where the sessions in memory wait while the gateway restarts: a file that is written when it stops, and read and
//! removed when it starts.
//!
//! The file is a line that names the format and its version, the sessions as a sequence of CBOR items, and the SHA-256
//! of all that. What cannot be trusted to be ours and whole is not read at all.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::item::Item;
use crate::rendezvous::session::{Session, Timestamp};
use crate::rendezvous::{SessionId, Visitor};

const FORMAT: &[u8] = b"synapse-gateway rendezvous sessions, format 1\n";
const NAME: &str = "rendezvous-sessions";
/// The length of a SHA-256.
const DIGEST: usize = 32;
/// The largest file, in bytes. A runtime directory is in memory.
pub const MOST: u64 = 256 << 20;
/// What a package or an operator may have made.
const CUSTOMARY: &str = "/run/synapse-gateway";

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// Any failure of the file system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A link, a directory, or a file of another user, or one that others may read or write.
    #[error("it is not a file of this user's alone")]
    Foreign,
    /// Longer than any that is written.
    #[error("it is too large")]
    Large,
    /// Another format or version.
    #[error("it is of another format or version")]
    Format,
    /// The end is missing, or something has been changed.
    #[error("it is damaged")]
    Damaged,
}

/// A directory that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    directory: PathBuf,
}

/// A session, and what a store knows of it besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its id.
    pub id: SessionId,
    /// Who has opened it.
    pub visitor: Visitor,
    /// The session.
    pub session: Session,
}

/// What became of the sessions that were put on a shelf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// How many were written.
    pub written: usize,
    /// How many were left out, because the file would have become too large.
    pub left_out: usize,
}

impl Shelf {
    /// The directory that was configured, else the first of those that systemd made for the service (`given`, its
    /// `RUNTIME_DIRECTORY`), else the customary one if it is there.
    #[must_use]
    pub fn new(configured: Option<&Path>, given: Option<&OsStr>) -> Option<Self> {
        let given = || std::env::split_paths(given?).find(|path| path.is_absolute());
        let customary = || Some(PathBuf::from(CUSTOMARY)).filter(|path| path.is_dir());
        let directory = configured.map(Path::to_owned).or_else(given).or_else(customary)?;
        Some(Self { directory })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    /// Writes sessions down, in place of what is there.
    pub fn keep(&self, residents: Vec<Resident>) -> io::Result<Kept> {
        let unfinished = self.directory.join(format!("{NAME}.new"));
        remove(&unfinished)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = pack(file, residents);
        if written.is_ok() {
            fs::rename(&unfinished, self.file())?;
        } else {
            remove(&unfinished)?;
        }
        written
    }

    /// Reads and removes what is there, if anything is. Sessions that have expired meanwhile are left out.
    pub fn take(&self, now: Timestamp) -> Result<Vec<Resident>, ShelfError> {
        let bytes = read(&self.file());
        // Whatever is wrong with it will be wrong with it the next time.
        remove(&self.file())?;
        bytes?.map_or(Ok(Vec::new()), |bytes| unpack(&bytes, now))
    }
}

/// Reads what [`pack`] wrote. Sessions that have expired meanwhile are left out.
pub fn unpack(bytes: &[u8], now: Timestamp) -> Result<Vec<Resident>, ShelfError> {
    let body = bytes.strip_prefix(FORMAT).ok_or(ShelfError::Format)?;
    let (mut body, sum) = body.split_at_checked(body.len().wrapping_sub(DIGEST)).ok_or(ShelfError::Damaged)?;
    let signed = bytes.get(..bytes.len() - DIGEST).ok_or(ShelfError::Damaged)?;
    if digest(&SHA256, signed).as_ref() != sum {
        return Err(ShelfError::Damaged);
    }
    let mut residents = Vec::new();
    while !body.is_empty() {
        let item: Item = ciborium::from_reader(&mut body).map_err(|_| ShelfError::Damaged)?;
        let resident = item.open().ok_or(ShelfError::Damaged)?;
        if resident.session.is_visible(resident.session.protocol(), now) {
            residents.push(resident);
        }
    }
    Ok(residents)
}

/// None if there is no file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ShelfError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // The kernel's word for who we are.
    let ours = fs::metadata("/proc/self")?.uid();
    if !found.is_file() || found.uid() != ours || found.mode() & 0o077 != 0 {
        return Err(ShelfError::Foreign);
    }
    if found.len() > MOST {
        return Err(ShelfError::Large);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes sessions down: at most [`MOST`] bytes.
pub fn pack(out: impl Write, residents: Vec<Resident>) -> io::Result<Kept> {
    let mut out = BufWriter::new(out);
    let mut sum = Context::new(&SHA256);
    let mut length = FORMAT.len() + DIGEST;
    let mut kept = Kept::default();
    out.write_all(FORMAT)?;
    sum.update(FORMAT);
    let mut bytes = Vec::new();
    for resident in residents {
        bytes.clear();
        ciborium::into_writer(&Item::of(resident), &mut bytes).map_err(io::Error::other)?;
        length += bytes.len();
        if length as u64 > MOST {
            length -= bytes.len();
            kept.left_out += 1;
            continue;
        }
        out.write_all(&bytes)?;
        sum.update(&bytes);
        kept.written += 1;
    }
    out.write_all(sum.finish().as_ref())?;
    out.flush()?;
    Ok(kept)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
