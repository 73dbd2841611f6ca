//! Reads a recording back as a source of events.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::{
    CALLER, Cursor, END, EVENT, HEAD_LEN, LOST, MAX_CONTENT, Meta, Order, PLAINTEXT, PROCESS,
    RECORD_LEN, RecordError, TICK, head,
};
use crate::capture::decode;
use crate::capture::{Event, Polled, Source};
use crate::flow::{Nanos, Process, SocketId};

/// Records handed over per poll, so that a reader can stop in between.
const BATCH: usize = 1024;
/// Read-ahead: large reads, few system calls.
const BUFFER: usize = 256 * 1024;

/// A recording being read.
#[derive(Debug)]
pub struct Reader<R = BufReader<File>> {
    input: R,
    order: Order,
    meta: Meta,
    /// Offset of the next record.
    at: u64,
    content: Vec<u8>,
    time: Nanos,
    ended: bool,
    events: u64,
    lost: u64,
}

impl Reader {
    /// Opens a recording.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a recording that this version reads.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Self::buffered(File::open(path)?)
    }
}

impl<R: Read> Reader<BufReader<R>> {
    /// Reads what is open from where it stands.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn buffered(file: R) -> Result<Self, RecordError> {
        Self::new(BufReader::with_capacity(BUFFER, file))
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    ///
    /// # Errors
    /// When it is not that of a recording that this version reads.
    pub fn new(mut input: R) -> Result<Self, RecordError> {
        let mut bytes = [0; HEAD_LEN];
        let read = fill(&mut input, &mut bytes)?;
        if read < HEAD_LEN && bytes.starts_with(&super::MAGIC) {
            return Err(RecordError::Truncated { at: read as u64 });
        }
        let (meta, order) = head(&bytes)?;
        Ok(Self {
            input,
            order,
            meta,
            at: HEAD_LEN as u64,
            content: Vec::new(),
            time: meta.started,
            ended: false,
            events: 0,
            lost: 0,
        })
    }

    /// What the recording says of itself.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Events read so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Events that the recorder had to drop, as far as was read.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Kind and length of the next record; `None` at the end of the file.
    fn record(&mut self) -> Result<Option<(u32, usize)>, RecordError> {
        let mut bytes = [0; RECORD_LEN];
        match fill(&mut self.input, &mut bytes)? {
            0 => return Ok(None),
            RECORD_LEN => {}
            cut => {
                return Err(RecordError::Truncated {
                    at: self.at + cut as u64,
                });
            }
        }
        let mut cursor = self.cursor(&bytes);
        let (kind, len) = cursor
            .u32()
            .zip(cursor.u32())
            .ok_or_else(|| self.corrupt("a cut record"))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if !(EVENT..=PLAINTEXT).contains(&kind) {
            return Err(self.corrupt("a record of no known kind"));
        }
        if len > MAX_CONTENT {
            return Err(self.corrupt("a record longer than any can be"));
        }
        Ok(Some((kind, len)))
    }

    fn read_content(&mut self, len: usize) -> Result<(), RecordError> {
        self.content.resize(len, 0);
        let read = fill(&mut self.input, &mut self.content)?;
        if read < len {
            return Err(RecordError::Truncated {
                at: self.at + (RECORD_LEN + read) as u64,
            });
        }
        Ok(())
    }

    /// Reads one record; whether the caller should look at the time.
    fn step(&mut self, handle: &mut dyn FnMut(&Event<'_>)) -> Result<bool, RecordError> {
        let Some((kind, len)) = self.record()? else {
            return Err(RecordError::Truncated { at: self.at });
        };
        self.read_content(len)?;
        let mut cursor = self.cursor(&self.content);
        let pause = match kind {
            EVENT | PLAINTEXT => {
                let header = cursor.event();
                let plain = match kind {
                    PLAINTEXT => Some(cursor.plaintext()),
                    _ => None,
                };
                let (Some(header), None | Some(Some(_))) = (header, plain) else {
                    return Err(self.corrupt("an event shorter than its header"));
                };
                let payload = cursor.rest;
                let captured = usize::try_from(header.captured_len);
                if captured != Ok(payload.len()) || header.captured_len > header.wire_len {
                    return Err(self.corrupt("an event whose lengths contradict each other"));
                }
                let event = match plain.flatten() {
                    Some(plain) => decode::plaintext(&header, &plain, payload),
                    None => decode::decode(&header, payload),
                };
                if let Some(event) = event {
                    handle(&event);
                }
                self.events += 1;
                false
            }
            TICK | END => {
                let time = cursor
                    .u64()
                    .filter(|time| *time >= self.time)
                    .ok_or_else(|| self.corrupt("time that runs backwards"))?;
                self.time = time;
                self.ended = kind == END;
                true
            }
            LOST => {
                let events = cursor.u64().ok_or_else(|| self.corrupt("a cut record"))?;
                self.lost = self.lost.saturating_add(events);
                false
            }
            _ => false,
        };
        self.at += (RECORD_LEN + len) as u64;
        if self.ended && fill(&mut self.input, &mut [0])? > 0 {
            return Err(self.corrupt("bytes after the end of the recording"));
        }
        Ok(pause)
    }

    const fn cursor<'a>(&self, rest: &'a [u8]) -> Cursor<'a> {
        Cursor {
            rest,
            order: self.order,
        }
    }

    const fn corrupt(&self, what: &'static str) -> RecordError {
        RecordError::Corrupt { at: self.at, what }
    }
}

impl<R: Read> Source for Reader<R> {
    /// Hands over events up to the next point at which the recorded engine let time pass.
    fn poll(
        &mut self,
        _timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        for _ in 0..BATCH {
            if self.ended {
                return Ok(Polled::End);
            }
            if self.step(handle).map_err(io::Error::other)? {
                break;
            }
        }
        Ok(if self.ended {
            Polled::End
        } else {
            Polled::More
        })
    }

    fn time(&self) -> Option<Nanos> {
        Some(self.time)
    }
}

/// Fills as much of `buffer` as there is.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Who had a socket from when on.
type Owned = (u64, Arc<Process>);

/// Which process had a socket, and which had its other end, as the recording capture knew it.
#[derive(Debug, Default)]
pub struct Owners {
    /// By the kind of the record.
    known: HashMap<(u32, SocketId), Vec<Owned>>,
}

impl Owners {
    /// Gathers them from a recording in a pass of its own, which skips payload. Stops at the first
    /// error without a word: reading the recording for its events meets it again.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Self::read(File::open(path)?)
    }

    /// As [`Self::open`], from an open file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(file: File) -> Result<Self, RecordError> {
        let mut reader = Reader::buffered(file)?;
        let mut owners = Self::default();
        let _ = owners.gather(&mut reader);
        Ok(owners)
    }

    fn gather<R: Read + Seek>(
        &mut self,
        reader: &mut Reader<BufReader<R>>,
    ) -> Result<(), RecordError> {
        while let Some((kind, len)) = reader.record()? {
            if !matches!(kind, PROCESS | CALLER) {
                reader
                    .input
                    .seek_relative(i64::try_from(len).unwrap_or(i64::MAX))?;
                continue;
            }
            reader.read_content(len)?;
            let mut cursor = reader.cursor(&reader.content);
            let ids = cursor.u64().zip(cursor.u64()).zip(cursor.u32());
            let Some(((index, cookie), pid)) = ids else {
                break;
            };
            let process = Process {
                pid,
                name: String::from_utf8_lossy(cursor.rest).into(),
            };
            self.known
                .entry((kind, SocketId(cookie)))
                .or_default()
                .push((index, Arc::new(process)));
        }
        Ok(())
    }

    /// The process of a socket when the exchange with this index was emitted. One whose first known
    /// process came later had that all the time: exchanges are not always numbered as the capture
    /// numbered them, for it may have shown both ends of a connection, or another one.
    #[must_use]
    pub fn get(&self, index: u64, socket: SocketId) -> Option<&Arc<Process>> {
        self.at(PROCESS, index, socket)
    }

    /// The process at the other end of a socket when that exchange was emitted.
    #[must_use]
    pub fn caller(&self, index: u64, socket: SocketId) -> Option<&Arc<Process>> {
        self.at(CALLER, index, socket)
    }

    fn at(&self, kind: u32, index: u64, socket: SocketId) -> Option<&Arc<Process>> {
        let known = self.known.get(&(kind, socket))?;
        let found = known.iter().rev().find(|(from, _)| *from <= index);
        found.or(known.first()).map(|(_, process)| process)
    }
}
