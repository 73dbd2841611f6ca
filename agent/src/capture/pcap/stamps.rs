//! Packets without a time: a stamp of zero is one that nobody set. They get that of the packet
//! before them; the first ones of a file, that of the first packet that has one.

use super::file::Record;
use crate::flow::Nanos;

/// Packets held at the beginning of a file until one has a time. A file that has none at all is
/// read as it is.
const HELD: usize = 32;

/// Gives a time to packets that have none.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    last: Nanos,
    /// The first packets of the file, all without one.
    held: Vec<Held>,
    /// No more are held.
    has_started: bool,
}

#[derive(Debug)]
struct Held {
    link: u32,
    data: Vec<u8>,
    orig_len: usize,
}

impl Stamps {
    /// Hands a packet on with its time, now or later.
    pub(super) fn stamped(&mut self, record: Record<'_>, handle: &mut impl FnMut(&Record<'_>)) {
        if record.time == 0 && !self.has_started && self.held.len() < HELD {
            return self.held.push(Held {
                link: record.link,
                data: record.data.to_vec(),
                orig_len: record.orig_len,
            });
        }
        if record.time != 0 {
            self.last = record.time;
        }
        self.end(handle);
        let time = self.last;
        handle(&Record { time, ..record });
    }

    /// Hands on what is held.
    pub(super) fn end(&mut self, handle: &mut impl FnMut(&Record<'_>)) {
        self.has_started = true;
        for held in std::mem::take(&mut self.held) {
            handle(&Record {
                time: self.last,
                link: held.link,
                data: &held.data,
                orig_len: held.orig_len,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: &[Nanos], expected: &[Nanos]) {
        let mut stamps = Stamps::default();
        let mut found = Vec::new();
        let mut take = |record: &Record<'_>| found.push((record.data[0], record.time));
        for (n, time) in (0..).zip(times) {
            let record = Record {
                time: *time,
                link: 1,
                data: &[n],
                orig_len: 1,
            };
            stamps.stamped(record, &mut take);
        }
        stamps.end(&mut take);
        let expected: Vec<_> = (0..).zip(expected.iter().copied()).collect();
        assert_eq!(found, expected, "{times:?}");
    }

    #[test]
    fn packets_without_a_time() {
        check(&[5, 6, 7], &[5, 6, 7]);
        check(&[5, 0, 7, 0, 0], &[5, 5, 7, 7, 7]);
        check(&[0, 0, 7, 0], &[7, 7, 7, 7]);
        check(&[0, 0], &[0, 0]);
        check(&[0; 40], &[0; 40]);
        check(&[], &[]);
    }
}
