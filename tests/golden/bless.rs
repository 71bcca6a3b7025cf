//! Comparing with a file, or rewriting it.

use std::fs;
use std::path::{Path, PathBuf};

/// A path inside the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files in a directory of the project with that extension, in order; there must be some.
pub(crate) fn cases(directory: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(project(directory)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    files.sort();
    assert!(!files.is_empty(), "{directory} has no *.{extension}");
    files
}

/// Collects the files that are not as expected, so that one run tells them all.
#[derive(Default)]
pub(crate) struct Differences(Vec<String>);

impl Differences {
    /// Compares a file with what it should hold, or writes that into it under `BLESS=1`.
    pub(crate) fn compare(&mut self, path: &Path, actual: &str) {
        let expected = fs::read_to_string(path).unwrap_or_default();
        if expected == actual {
            return;
        }
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
            fs::write(path, actual).unwrap();
            return;
        }
        self.0.push(format!("--- {}\n{expected}\n+++ actual\n{actual}", path.display()));
    }

    /// Fails if any file was not as expected.
    pub(crate) fn finish(self) {
        assert!(self.0.is_empty(), "{}\nBLESS=1 rewrites the files, if the change is meant", self.0.join("\n"));
    }
}
