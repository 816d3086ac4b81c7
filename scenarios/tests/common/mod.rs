//! Real files for tests.

use std::io;
use std::path::{Path, PathBuf};

use seatrial_scenarios::Files;

/// The files below a folder, by their path in it.
pub(crate) struct Folder(PathBuf);

#[allow(dead_code, reason = "no test needs all of it")]
impl Folder {
    /// The folder of this crate.
    pub(crate) fn of_crate() -> Folder {
        Folder(PathBuf::from(env!("CARGO_MANIFEST_DIR")))
    }

    /// Where a file is on the disk.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }

    /// The YAML files in a folder, in order.
    #[allow(dead_code, reason = "not every test lists")]
    pub(crate) fn yaml_files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = self.list(Path::new(folder)).expect("a readable folder").expect("a folder");
        let mut files: Vec<PathBuf> = entries
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
            .collect();
        files.sort();
        files
    }
}

impl Files for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(self.0.join(path))
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        let full = self.0.join(path);
        if !std::fs::metadata(&full)?.is_dir() {
            return Ok(None);
        }
        let entries = std::fs::read_dir(full)?;
        entries.map(|entry| Ok(path.join(entry?.file_name()))).collect::<io::Result<_>>().map(Some)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        let full = self.0.join(path);
        full.canonicalize().unwrap_or(full)
    }
}
