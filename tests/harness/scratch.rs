//! A folder of a test's own, removed with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::sweep::{PREFIX, own_name};

/// A folder under the machine's temporary one, readable by the unprivileged users that servers
/// switch to.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty folder.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(own_name());
        fs::create_dir(&path).expect("scratch folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("scratch mode");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it, with the folders above it, and gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("scratch subfolder");
        }
        fs::write(&path, content).expect("scratch file");
        path
    }

    /// Makes an empty folder in it that any user may write to.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).expect("scratch subfolder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("scratch mode");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        debug_assert!(self.0.to_string_lossy().contains(PREFIX));
        let _ = fs::remove_dir_all(&self.0);
    }
}
