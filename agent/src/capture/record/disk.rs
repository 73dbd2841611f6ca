//! The writing thread's end of a recording: a file that ends with a whole record at any time, as
//! far as its disk allows.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};

use super::{LOST, put_record};

/// What the writing thread gets.
#[derive(Debug)]
pub(super) enum Message {
    /// Whole records, and the events among them.
    Records(Vec<u8>, u64),
    /// The capture has ended: the end mark, and the events dropped since the last record that says
    /// so.
    End(Vec<u8>, u64),
}

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Records(bytes, _) | Self::End(bytes, _) => bytes,
        }
    }
}

/// What the writing thread did.
#[derive(Debug)]
pub(super) struct Written {
    /// Bytes of whole records in the file.
    pub(super) bytes: u64,
    /// Events among them.
    pub(super) events: u64,
    /// Events that the disk did not take.
    pub(super) dropped: u64,
    /// The first error.
    pub(super) result: io::Result<()>,
}

/// What a recording is written to.
pub(super) trait Backing: Write {
    /// Cuts it to `len` bytes and goes on from there.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

impl Backing for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Disk<F> {
    file: F,
    written: Written,
}

impl<F: Backing> Disk<F> {
    /// A file with a head of `bytes` bytes.
    pub(super) const fn new(file: F, bytes: u64) -> Self {
        Self {
            file,
            written: Written {
                bytes,
                events: 0,
                dropped: 0,
                result: Ok(()),
            },
        }
    }

    /// Writes a message. The first failure is returned; later messages are only counted.
    pub(super) fn take(&mut self, message: &Message) -> Option<&io::Error> {
        match message {
            Message::Records(bytes, events) => self.records(bytes, *events),
            Message::End(mark, dropped) => self.end(mark, *dropped),
        }
    }

    pub(super) fn written(self) -> Written {
        self.written
    }

    fn records(&mut self, bytes: &[u8], events: u64) -> Option<&io::Error> {
        let written = &mut self.written;
        if written.result.is_err() {
            written.dropped += events;
            return None;
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                written.bytes += bytes.len() as u64;
                written.events += events;
                None
            }
            Err(error) => {
                // Without the part of a record that did find room. Not every file can be cut.
                let _ = self.file.cut(written.bytes);
                written.dropped += events;
                written.result = Err(error);
                written.result.as_ref().err()
            }
        }
    }

    /// The end mark, after a failure too: it finds the room that the part of a record left.
    fn end(&mut self, mark: &[u8], dropped: u64) -> Option<&io::Error> {
        let written = &mut self.written;
        let mut bytes = Vec::new();
        if written.dropped + dropped > 0 {
            put_record(&mut bytes, LOST, 16);
            bytes.extend_from_slice(&(written.dropped + dropped).to_ne_bytes());
            bytes.extend_from_slice(&[0; 8]);
        }
        bytes.extend_from_slice(mark);
        match self.file.write_all(&bytes) {
            Ok(()) => {
                written.bytes += bytes.len() as u64;
                None
            }
            Err(error) => {
                let _ = self.file.cut(written.bytes);
                if written.result.is_err() {
                    return None;
                }
                written.result = Err(error);
                written.result.as_ref().err()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{END, EVENT};
    use super::*;

    /// Takes so many bytes, and of a write what it can.
    struct SmallDisk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room - self.bytes.len();
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(room);
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Backing for SmallDisk {
        fn cut(&mut self, len: u64) -> io::Result<()> {
            self.bytes.truncate(usize::try_from(len).unwrap());
            Ok(())
        }
    }

    fn record(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_record(&mut bytes, kind, content.len());
        bytes.extend_from_slice(content);
        bytes
    }

    /// The kinds of the records in a file, all whole.
    fn kinds(mut bytes: &[u8]) -> Vec<u32> {
        let mut kinds = Vec::new();
        let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap());
        while !bytes.is_empty() {
            kinds.push(number(&bytes[..4]));
            let len = number(&bytes[4..8]) as usize;
            bytes = &bytes[8 + len..];
        }
        kinds
    }

    /// Five messages of two records of 100 bytes, then the end, on a disk with so much room.
    #[track_caller]
    fn check(room: usize, expected: &[u32], dropped: u64) {
        let disk = SmallDisk {
            bytes: Vec::new(),
            room,
        };
        let mut disk = Disk::new(disk, 0);
        let two = [record(EVENT, &[7; 92]), record(EVENT, &[7; 92])].concat();
        let mut errors = 0;
        for _ in 0..5 {
            errors += u64::from(disk.take(&Message::Records(two.clone(), 2)).is_some());
        }
        errors += u64::from(disk.take(&Message::End(record(END, &[0; 8]), 0)).is_some());
        assert_eq!(kinds(&disk.file.bytes), expected);
        let written = disk.written();
        assert_eq!(written.dropped, dropped);
        assert_eq!(written.events + dropped, 10);
        assert_eq!(errors, u64::from(written.result.is_err()));
        assert_eq!(written.result.is_ok(), room >= 1016);
    }

    #[test]
    fn whole_records_on_a_disk_of_any_size() {
        const ALL: [u32; 11] = [
            EVENT, EVENT, EVENT, EVENT, EVENT, EVENT, EVENT, EVENT, EVENT, EVENT, END,
        ];
        check(2000, &ALL, 0);
        check(1016, &ALL, 0);
        check(1010, &ALL[..10], 0);
        check(999, &[&ALL[..8], &[LOST, END]].concat(), 2);
        check(399, &[EVENT, EVENT, LOST, END], 8);
        check(201, &[EVENT, EVENT], 8);
        check(0, &[], 10);
    }
}
