//! HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>): exchanges in a file that browser developer tools open.
//!
//! The document is written as it goes. Its end (`]}}`) is written when the writer is finished or dropped, so whatever stops the
//! agent short of a kill leaves a whole document.

mod entry;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::Path;

pub(crate) use entry::write as push_entry;

use crate::redact::Sanitized;

/// Everything before the first entry.
const HEAD: &str = concat!(
    "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"meshtap\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"},\"pages\":[],\"entries\":["
);

/// Everything after the last.
const TAIL: &[u8] = b"\n]}}\n";

/// Entries are gathered up to this size before they are written: a few of them with bodies.
const BUFFER: usize = 256 * 1024;

/// Writes exchanges to a file, or to anything else that takes bytes.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: BufWriter<W>,
    entry: Vec<u8>,
    /// Times that entries were added.
    blocks: u64,
    /// `blocks` when the document was last made whole.
    settled: Option<u64>,
    finished: bool,
    failed: bool,
}

impl Writer<File> {
    /// Begins a file that only its owner can read.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // The mode above is for a new file only. What was in an old one goes once nobody else can read it.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
        }
        Self::new(file)
    }

    /// Writes out what is gathered, and the end after it, so that a reader finds a whole document. The next entry takes the end's
    /// place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.failed || self.settled == Some(self.blocks) {
            return Ok(());
        }
        self.settled = Some(self.blocks);
        self.guarded(|writer| {
            writer.out.flush()?;
            let file = writer.out.get_mut();
            if !file.metadata()?.is_file() {
                return Ok(());
            }
            file.write_all(TAIL)?;
            let back = i64::try_from(TAIL.len()).unwrap_or_default();
            file.seek(SeekFrom::Current(-back)).map(drop)
        })
    }
}

impl<W: Write> Writer<W> {
    /// Begins a document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        out.write_all(HEAD.as_bytes())?;
        Ok(Self {
            out,
            entry: Vec::new(),
            blocks: 0,
            settled: None,
            finished: false,
            failed: false,
        })
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// When it cannot be written. The document takes no more entries then.
    pub fn write(&mut self, sanitized: &Sanitized) -> io::Result<()> {
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        push_entry(&mut entry, sanitized);
        let written = self.append(&entry);
        self.entry = entry;
        written
    }

    /// Adds entries that are written out already, with commas between them.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        let separator: &[u8] = if self.blocks == 0 { b"\n" } else { b",\n" };
        self.guarded(|writer| {
            writer.out.write_all(separator)?;
            writer.out.write_all(entries)
        })?;
        self.blocks += 1;
        Ok(())
    }

    /// Ends the document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        self.guarded(|writer| {
            writer.out.write_all(TAIL)?;
            writer.out.flush()
        })
    }

    /// After a failed write the place in the document is not known any more: nothing more is written.
    fn guarded(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let result = write(self);
        self.failed = result.is_err();
        result
    }
}

impl<W: Write> Drop for Writer<W> {
    fn drop(&mut self) {
        // Nobody is left to tell; `finish` tells.
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests;
