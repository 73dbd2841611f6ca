//! Packet captures (tcpdump, Wireshark) as a source of events. No privileges: it is a file.
//!
//! ```text
//! file (records) ─► frame (link, tunnels, IP, TCP) ─► flows (a virtual socket each) ─► Segment
//! ```
//!
//! What cannot give a segment is counted under exactly one [`Skip`]; it is never an error. A file
//! that ends inside a record is one, after everything before that has been handed over.

mod checksum;
mod clock;
mod ends;
mod file;
mod flow;
mod flows;
mod frame;
mod held;
mod missing;
mod packet;
mod progress;
mod role;
mod strays;
mod suspects;
mod totals;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

pub use file::{Error, recognizes};
pub use totals::{Skip, Totals, Unread};

use self::clock::Clock;
use self::file::{Reader, Step};
use self::flows::Flows;
use self::frame::Frames;
use super::{Event, Polled, Segment, Source};
use crate::flow::Nanos;

/// Most blocks read in one poll, so that a caller can let time pass and look up in between.
const BATCH: usize = 512;

/// Recorded time that one poll covers at most, but for its last packet: what the engine asks to be
/// reported of time's passing.
const TICK: Nanos = 100_000_000;

/// A capture file.
#[derive(Debug)]
pub struct Capture {
    reader: Reader,
    frames: Frames,
    flows: Flows,
    totals: Totals,
    clock: Clock,
}

impl Capture {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened, or is no capture file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::read(File::open(path)?)?)
    }

    /// Over any reader.
    ///
    /// # Errors
    /// When it is no capture file.
    pub fn read(input: impl Read + Send + 'static) -> Result<Self, Error> {
        Ok(Self {
            reader: Reader::new(input)?,
            frames: Frames::default(),
            flows: Flows::default(),
            totals: Totals::default(),
            clock: Clock::default(),
        })
    }

    /// What was read so far.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }
}

impl Source for Capture {
    fn poll(
        &mut self,
        _timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> io::Result<Polled> {
        let Self {
            reader,
            frames,
            flows,
            totals,
            clock,
        } = self;
        let mut segments = 0;
        let mut emit = |segment: &Segment<'_>| {
            segments += 1;
            handle(&Event::Tcp(*segment));
        };
        let (mut tick_ends, mut polled) = (None, Ok(Polled::More));
        for _ in 0..BATCH {
            let step = reader.step(&mut |record| {
                totals.packets += 1;
                let record = match record {
                    Ok(record) => record,
                    Err(skip) => return totals.skip(skip),
                };
                let was_running = clock.is_running();
                clock.stamp(record.time);
                let now = clock.now();
                if !was_running && clock.is_running() {
                    flows.time_begins(now);
                }
                let mut cut = false;
                let (result, read) = frames.read(&record, now, &mut |packet| {
                    cut |= packet.is_cut();
                    flows.packet(packet, now, &mut emit);
                });
                totals.join(read.joined);
                match result {
                    Ok(()) => totals.packet(cut, record.data.len()),
                    Err(skip) => totals.skip(skip),
                }
            });
            match step {
                Ok(Step::Block) => {}
                Ok(Step::End) => polled = Ok(Polled::End),
                Err(error) => polled = Err(error.into()),
            }
            if !matches!(polled, Ok(Polled::More)) {
                clock.end();
                flows.release_all(&mut emit);
                break;
            }
            if clock.now() > *tick_ends.get_or_insert(clock.now().saturating_add(TICK)) {
                break;
            }
        }
        totals.segments += segments;
        totals.suspects = flows.suspects();
        polled
    }

    fn time(&self) -> Option<Nanos> {
        Some(self.clock.now())
    }
}

#[cfg(test)]
mod tests;
