//! Which files make up a configuration. The one place in `config` that opens any.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Source;
use crate::problem::{Problem, Severity};
use crate::yaml::MAX_FILE_SIZE;

/// Why the configuration's files could not be read. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be opened or read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// `conf.d` is there and cannot be listed.
    #[error("cannot list {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let remedy = match &error {
            ReadError::File { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "create it or name another with `-c`"
            }
            ReadError::File { error, .. } | ReadError::Directory { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                "let the user that runs the gateway read it"
            }
            ReadError::File { .. } => "name a readable file with `-c`",
            ReadError::Directory { .. } => "make it a readable directory or remove it",
        };
        let (path, message) = (String::new(), error.to_string());
        Self { severity: Severity::Error, location: None, path, message, remedy: remedy.to_owned() }
    }
}

/// Reads a configuration file and then, in the order of their names, the `*.yaml` files in `conf.d` next to it.
/// Hidden files are passed over, as editors leave them behind.
pub fn read(path: &Path) -> Result<Vec<Source>, ReadError> {
    let mut sources = vec![source(path)?];
    let directory = path.with_file_name("conf.d");
    let list_error = |error| ReadError::Directory { path: directory.clone(), error };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sources),
        Err(error) => return Err(list_error(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(list_error)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && file.extension().is_some_and(|extension| extension == "yaml") {
            files.push(file);
        }
    }
    files.sort();
    for file in &files {
        sources.push(source(file)?);
    }
    Ok(sources)
}

fn source(path: &Path) -> Result<Source, ReadError> {
    let error = |error| ReadError::File { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    // One byte more than a file may have, so that the loader sees one that has more.
    fs::File::open(path).map_err(error)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(error)?;
    Ok(Source { name: path.display().to_string(), bytes })
}
