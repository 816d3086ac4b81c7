//! The files of the machine, and stdin as `-`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use seatrial_scenarios::Files;

/// Files as they are on disk. What was read is kept, so that the results can hold the very bytes
/// that were played, and stdin can be named twice.
#[derive(Default)]
pub(crate) struct Disk {
    read: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
}

impl Disk {
    /// What was read from a path.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        self.read.borrow().get(path).cloned()
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(content) = self.content(path) {
            return Ok(content);
        }
        let mut content = Vec::new();
        if path == Path::new("-") {
            io::stdin().read_to_end(&mut content)?;
        } else {
            content = std::fs::read(path)?;
        }
        self.read.borrow_mut().insert(path.to_owned(), content.clone());
        Ok(content)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        if path == Path::new("-") || !std::fs::metadata(path)?.is_dir() {
            return Ok(None);
        }
        let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(Some(paths))
    }

    fn identity(&self, path: &Path) -> PathBuf {
        std::fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, content)?;
    std::fs::rename(&beside, path).inspect_err(|_| drop(std::fs::remove_file(&beside)))
}
