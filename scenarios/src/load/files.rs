//! The files of a scenario, behind a trait: this crate reads none itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A source of files.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// If there is no such file or it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The entries of a folder, as paths that [`Files::read`] takes; `None` if `path` is no folder.
    ///
    /// # Errors
    /// If there is nothing at `path` or it cannot be listed.
    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>>;

    /// A path that is equal for equal files, so that a file that names itself is noticed.
    fn identity(&self, path: &Path) -> PathBuf {
        path.components().collect()
    }
}

/// Files in memory, by path.
impl Files for BTreeMap<PathBuf, Vec<u8>> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if self.contains_key(path) {
            return Ok(None);
        }
        let inside: Vec<PathBuf> = self.keys().filter(|file| file.parent() == Some(path)).cloned().collect();
        if inside.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(Some(inside)) }
    }
}
