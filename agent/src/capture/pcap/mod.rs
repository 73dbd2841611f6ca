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
mod networks;
mod packet;
mod progress;
mod release;
mod role;
mod stamps;
mod strays;
mod suspects;
mod totals;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

pub use file::{Error, is_compressed, recognizes, unpack, unpacked_head};
pub use totals::{Skip, Totals, Unread};

use self::clock::Clock;
use self::file::{Reader, Record, Step};
use self::flows::Flows;
use self::frame::Frames;
use self::stamps::Stamps;
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
    stamps: Stamps,
    packets: Packets,
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
            stamps: Stamps::default(),
            packets: Packets::default(),
        })
    }

    /// What was read so far.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.packets.totals
    }
}

/// From packets to segments.
#[derive(Debug, Default)]
struct Packets {
    frames: Frames,
    flows: Flows,
    totals: Totals,
    clock: Clock,
}

impl Packets {
    fn packet(&mut self, record: &Record<'_>, emit: &mut impl FnMut(&Segment<'_>)) {
        let Self {
            frames,
            flows,
            totals,
            clock,
        } = self;
        let was_running = clock.is_running();
        clock.stamp(record.time);
        let now = clock.now();
        if !was_running && clock.is_running() {
            frames.time_begins(now);
            flows.time_begins(now);
        }
        let mut cut = false;
        let (result, read) = frames.read(record, now, &mut |packet| {
            cut |= packet.is_cut();
            flows.packet(packet, now, emit);
        });
        totals.join(read.joined);
        match result {
            Ok(()) => totals.packet(cut, record.data.len()),
            Err(skip) => totals.skip(skip),
        }
    }

    fn end(&mut self, emit: &mut impl FnMut(&Segment<'_>)) {
        self.clock.end();
        self.flows.release_all(emit);
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
            stamps,
            packets,
        } = self;
        let mut segments = 0;
        let mut emit = |segment: &Segment<'_>| {
            segments += 1;
            handle(&Event::Tcp(*segment));
        };
        let (mut tick_ends, mut polled) = (None, Ok(Polled::More));
        for _ in 0..BATCH {
            let step = reader.step(&mut |record| {
                packets.totals.packets += 1;
                match record {
                    Ok(record) => stamps.stamped(record, &mut |record| {
                        packets.packet(record, &mut emit);
                    }),
                    Err(skip) => packets.totals.skip(skip),
                }
            });
            match step {
                Ok(Step::Block) => {}
                Ok(Step::End) => polled = Ok(Polled::End),
                Err(error) => polled = Err(error.into()),
            }
            if !matches!(polled, Ok(Polled::More)) {
                stamps.end(&mut |record| packets.packet(record, &mut emit));
                packets.end(&mut emit);
                break;
            }
            let now = packets.clock.now();
            if now > *tick_ends.get_or_insert(now.saturating_add(TICK)) {
                break;
            }
        }
        packets.totals.segments += segments;
        packets.totals.suspects = packets.flows.suspects();
        polled
    }

    fn time(&self) -> Option<Nanos> {
        Some(self.packets.clock.now())
    }
}

#[cfg(test)]
mod tests;
