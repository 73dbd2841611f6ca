//! HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>): exchanges in a file that browser
//! developer tools open.
//!
//! A file is a whole document after every write: entries and the document's end go out in one, over
//! the end that was there before. So it is whole whatever stops the agent, a kill or a full disk
//! included.

mod cookies;
mod entry;
mod heads;
mod messages;
mod pairs;
mod read;
mod text;

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

pub(crate) use entry::write as push_entry;
pub use read::{Entries, ReadError, read};

use crate::files::{Kind, Output};
use crate::redact::Sanitized;

/// Everything before the first entry.
pub(crate) const HEAD: &str = concat!(
    "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"meshtap\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"},\"pages\":[],\"entries\":["
);

/// Everything after the last.
pub(crate) const TAIL: &[u8] = b"\n]}}\n";

/// Entries are gathered up to this size before they are written: a few of them with bodies.
const BUFFER: usize = 256 * 1024;

/// Where a document goes.
pub trait Place {
    /// Begins it.
    ///
    /// # Errors
    /// When it cannot be written; likewise below.
    fn start(&mut self) -> io::Result<()>;
    /// Adds entries, with the separator before them.
    ///
    /// # Errors
    /// As above.
    fn add(&mut self, entries: &[u8]) -> io::Result<()>;
    /// Ends it.
    ///
    /// # Errors
    /// As above.
    fn finish(&mut self) -> io::Result<()>;
    /// After an error it is as it was before, and takes entries again.
    fn recovers(&self) -> bool {
        false
    }
}

/// A pipe, a terminal: whole once it is finished.
#[derive(Debug)]
pub struct Stream<W>(W);

impl<W: Write> Place for Stream<W> {
    fn start(&mut self) -> io::Result<()> {
        self.0.write_all(HEAD.as_bytes())
    }

    fn add(&mut self, entries: &[u8]) -> io::Result<()> {
        self.0.write_all(entries)?;
        self.0.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.write_all(TAIL)?;
        self.0.flush()
    }
}

/// What can be written at any place.
pub trait Disk {
    /// Writes all of `bytes` at offset `at`.
    ///
    /// # Errors
    /// When some of it cannot be written.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes it so long.
    ///
    /// # Errors
    /// When it cannot be.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Disk for File {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// A file: whole after every write.
#[derive(Debug)]
pub struct Document<D> {
    disk: D,
    /// Offset of the end mark.
    end: u64,
}

impl<D: Disk> Document<D> {
    /// Writes `bytes` and the end mark over the one that is there. On failure the document is as it
    /// was before.
    fn commit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut text = Vec::with_capacity(bytes.len() + TAIL.len());
        text.extend_from_slice(bytes);
        text.extend_from_slice(TAIL);
        let written = self.disk.write_at(&text, self.end);
        if written.is_ok() {
            self.end += bytes.len() as u64;
        } else if self.end > 0 {
            // The end mark had its room there, so this needs none.
            self.disk.write_at(TAIL, self.end)?;
            self.disk.cut(self.end + TAIL.len() as u64)?;
        }
        written
    }
}

impl<D: Disk> Place for Document<D> {
    fn start(&mut self) -> io::Result<()> {
        self.commit(HEAD.as_bytes())
    }

    fn add(&mut self, entries: &[u8]) -> io::Result<()> {
        self.commit(entries)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Once there is room on the disk again.
    fn recovers(&self) -> bool {
        true
    }
}

/// What a file, a pipe or a device is to a [`Writer`].
pub type OutputPlace = Box<dyn Place + Send>;

/// Writes exchanges to a file, or to anything else that takes bytes.
#[derive(Debug)]
pub struct Writer<P: Place> {
    place: P,
    /// Entries that are not written yet, with their separators.
    gathered: Vec<u8>,
    entry: Vec<u8>,
    /// No entry was written so far.
    is_empty: bool,
    is_finished: bool,
    has_failed: bool,
}

impl Writer<OutputPlace> {
    /// Begins a document in an output.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(output: Output) -> io::Result<Self> {
        let kind = output.kind();
        let file = output.start()?;
        Self::begin(match kind {
            Kind::File => Box::new(Document { disk: file, end: 0 }),
            Kind::Stream | Kind::Inherited => Box::new(Stream(file)),
        })
    }
}

impl<W: Write> Writer<Stream<W>> {
    /// Begins a document in a stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        Self::begin(Stream(out))
    }
}

impl<P: Place> Writer<P> {
    /// Begins a document in any place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut place: P) -> io::Result<Self> {
        place.start()?;
        Ok(Self {
            place,
            gathered: Vec::new(),
            entry: Vec::new(),
            is_empty: true,
            is_finished: false,
            has_failed: false,
        })
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// When it cannot be written. These entries are dropped then; a stream takes no more, a file
    /// does once there is room again.
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
        let is_first = self.is_empty && self.gathered.is_empty();
        let separator: &[u8] = if is_first { b"\n" } else { b",\n" };
        self.gathered.extend_from_slice(separator);
        self.gathered.extend_from_slice(entries);
        if self.gathered.len() < BUFFER {
            return Ok(());
        }
        self.settle()
    }

    /// Writes out what is gathered. A reader of a file finds a whole document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        if self.gathered.is_empty() {
            return Ok(());
        }
        let written = self.place.add(&self.gathered);
        self.gathered.clear();
        match &written {
            Ok(()) => self.is_empty = false,
            Err(_) => self.has_failed = !self.place.recovers(),
        }
        written
    }

    /// Ends the document.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_finished, true) {
            return Ok(());
        }
        self.settle()?;
        self.place.finish()
    }
}

impl<P: Place> Drop for Writer<P> {
    fn drop(&mut self) {
        // Nobody is left to hear of it; `finish` reports it.
        let _ = self.end();
    }
}

impl Place for OutputPlace {
    fn start(&mut self) -> io::Result<()> {
        (**self).start()
    }

    fn add(&mut self, entries: &[u8]) -> io::Result<()> {
        (**self).add(entries)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }

    fn recovers(&self) -> bool {
        (**self).recovers()
    }
}

#[cfg(test)]
mod tests;
