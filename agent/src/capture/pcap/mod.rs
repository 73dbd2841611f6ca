//! Packet captures (tcpdump, Wireshark) as a source of segments. No privileges: it is a file.
//!
//! ```text
//! file (records) ─► packet (link, IP, TCP) ─► flows (a virtual socket each) ─► Segment
//! ```
//!
//! What cannot give a segment is counted under exactly one [`Skip`]; it is never an error. A file that ends inside a record is one,
//! after everything before that has been handed over.

mod file;
mod flow;
mod flows;
mod half;
mod held;
mod packet;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

pub use file::Fault;

use self::file::{Reader, Step};
use self::flows::Flows;
use self::packet::Packet;
use super::{Polled, Source};
use crate::flow::{Nanos, Segment};

/// Most blocks read in one poll, so that a caller can let time pass and look up in between.
const BATCH: usize = 512;

/// Recorded time that one poll covers at most, but for its last packet: what the engine asks to be told of time's passing.
const TICK: Nanos = 100_000_000;

/// Why a packet of the file gives no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// A link type that is not read here.
    Link,
    /// Not IPv4 or IPv6 (ARP, LLDP, spanning tree …).
    NotIp,
    /// IP, but not TCP.
    NotTcp,
    /// A fragment of a datagram. TCP avoids them; they are not put together.
    Fragment,
    /// Headers that are cut off or contradict themselves.
    Header,
    /// An interface that the file does not describe.
    Interface,
    /// A kind of packet block that no tool writes any more.
    Block,
}

impl Skip {
    /// Every reason, in order.
    pub const ALL: [Self; 7] = [
        Self::Link,
        Self::NotIp,
        Self::NotTcp,
        Self::Fragment,
        Self::Header,
        Self::Interface,
        Self::Block,
    ];

    /// The name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Link => "link_type",
            Self::NotIp => "not_ip",
            Self::NotTcp => "not_tcp",
            Self::Fragment => "fragment",
            Self::Header => "header",
            Self::Interface => "interface",
            Self::Block => "block",
        }
    }
}

/// What a file held: packets = TCP packets + every reason to skip one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets in the file.
    pub packets: u64,
    /// TCP packets among them.
    pub tcp: u64,
    /// Segments handed over: TCP packets with payload, or that end a direction.
    pub segments: u64,
    /// Packets skipped; index by `Skip as usize`.
    pub skipped: [u64; Skip::ALL.len()],
}

/// A capture file.
#[derive(Debug)]
pub struct Capture {
    reader: Reader,
    flows: Flows,
    totals: Totals,
    now: Nanos,
}

/// The bytes begin a pcap or pcapng file.
#[must_use]
pub fn recognizes(head: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 6] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    head.first_chunk::<4>()
        .is_some_and(|magic| MAGICS.contains(magic))
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
    pub fn read(input: impl Read + Send + 'static) -> Result<Self, Fault> {
        Ok(Self {
            reader: Reader::new(input)?,
            flows: Flows::default(),
            totals: Totals::default(),
            now: 0,
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
        handle: &mut dyn FnMut(&Segment<'_>),
    ) -> io::Result<Polled> {
        let Self {
            reader,
            flows,
            totals,
            now,
        } = self;
        let Totals {
            packets,
            tcp,
            segments,
            skipped,
        } = totals;
        let mut tell = |segment: &Segment<'_>| {
            *segments += 1;
            handle(segment);
        };
        let mut tick_ends = None;
        for _ in 0..BATCH {
            let step = reader.step(&mut |record| {
                *packets += 1;
                let packet = record.and_then(|record| {
                    *now = record.time.max(*now);
                    Packet::parse(&record)
                });
                match packet {
                    Ok(packet) => {
                        *tcp += 1;
                        flows.packet(&packet, *now, &mut tell);
                    }
                    Err(skip) => skipped[skip as usize] += 1,
                }
            });
            match step {
                Ok(Step::Block) => {}
                Ok(Step::End) => {
                    flows.release_all(&mut tell);
                    return Ok(Polled::End);
                }
                Err(fault) => {
                    flows.release_all(&mut tell);
                    return Err(fault.into());
                }
            }
            if *now > *tick_ends.get_or_insert(now.saturating_add(TICK)) {
                break;
            }
        }
        Ok(Polled::More)
    }

    fn time(&self) -> Option<Nanos> {
        Some(self.now)
    }
}

#[cfg(test)]
mod tests;
