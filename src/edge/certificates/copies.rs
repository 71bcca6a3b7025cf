//! Copies of files that this user may not read, made for it by [`crate::edge::import`].

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use crate::edge::runtime;

/// No certificate chain comes near it, and a wrong path may lead to anything.
pub const MAX_FILE: u64 = 1 << 20;
/// Bytes of a digest that make a name: enough for no two paths to have the same.
const NAME: usize = 16;

/// The name of the copy of the file at this path, as the configuration has it.
#[must_use]
pub fn copy_name(file: &Path) -> String {
    let digest = digest(&SHA256, file.as_os_str().as_bytes());
    let mut name = String::with_capacity(2 * NAME + 4);
    for byte in digest.as_ref().iter().take(NAME) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".pem"
}

/// The copy of a file, if there is one.
fn copy_of(file: &Path) -> Option<PathBuf> {
    Some(runtime::tls(&runtime::customary()?).join(copy_name(file))).filter(|copy| copy.exists())
}

/// What is read for a file: the file itself, or its copy where this user may not read it.
pub(super) fn place(file: &Path) -> PathBuf {
    match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => copy_of(file),
        Ok(_) | Err(_) => None,
    }
    .unwrap_or_else(|| file.to_owned())
}

/// Reads a file, or its copy.
pub(super) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(place(file))?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Says of a file that has a copy which of the two is read; None if it has no copy.
#[must_use]
pub fn told(file: &Path) -> Option<String> {
    let copy = copy_of(file)?;
    let (own, copied) = (fs::read(file), fs::read(&copy));
    let (file, copy) = (file.display(), copy.display());
    Some(match (own, copied) {
        (Err(_), _) => format!("{file} is read from its copy {copy}"),
        (Ok(own), Ok(copied)) if own == copied => format!("{file} has the copy {copy} for the service's user"),
        (Ok(_), _) => {
            format!("{file} is not what its copy {copy} is; `systemctl reload synapse-gateway` copies it again")
        }
    })
}
