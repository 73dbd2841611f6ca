//! A HAR file beside what is printed.

use std::io;
use std::path::{Path, PathBuf};

use crate::har;
use crate::redact::Sanitized;

/// A HAR file that the shown exchanges go to.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) writer: har::Writer<har::OutputPlace>,
}

impl Archive {
    /// Names the file in an error.
    fn named(path: &Path, written: io::Result<()>) -> io::Result<()> {
        let path = path.display();
        written.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }

    pub(super) fn write(&mut self, sanitized: &Sanitized) -> io::Result<()> {
        Self::named(&self.path, self.writer.write(sanitized))
    }

    pub(super) fn settle(&mut self) -> io::Result<()> {
        Self::named(&self.path, self.writer.settle())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        Self::named(&self.path, self.writer.finish())
    }
}
