//! Reads the ring buffers in batches: one for each object of BPF programs.
//!
//! The BPF programs submit records without waking anybody, but when a lot is pending: a wake-up for
//! each would cost more than the record. So the reader sleeps for a tick, then takes all there is.
//! The wake-ups that do come are edges (`EPOLLET`): a level would be ready as soon as one record is
//! pending, and there would be no batch. (`ringbuf_map_poll_user`, kernel/bpf/ringbuf.c.)
//!
//! The tick follows the rate of records. At a high rate a long one makes large batches, which hold
//! the application's processor for long at a time: flat out its 99th percentile is half as long
//! with 1 ms as with 5 ms. At a low rate a short one wakes up for nothing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{Timespec, epoll};

use super::CaptureOptions;
use crate::capture::Polled;

/// Most bytes taken in one go, about 5 000 records and a few milliseconds of the engine's work:
/// while the BPF programs never pause, exchanges are handed on, time passes and a stop is heard
/// this often.
const BATCH: usize = 1024 * 1024;

/// The reader of the ring buffers.
pub(super) struct Reader {
    rings: Vec<RingBuf<MapData>>,
    /// Of the second ring, where records of both are in the order of time.
    held: Option<Held>,
    epoll: OwnedFd,
    has_more: bool,
    pace: Pace,
}

impl Reader {
    /// Where ztunnel is read, records of two rings are in the order of time.
    ///
    /// # Errors
    /// When a ring cannot be waited on.
    pub(super) fn new(rings: Vec<RingBuf<MapData>>, options: &CaptureOptions) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for ring in &rings {
            epoll::add(
                &epoll,
                ring,
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
        }
        Ok(Self {
            rings,
            held: options.tls.rustls.then(Held::default),
            epoll,
            has_more: false,
            pace: Pace::default(),
        })
    }

    /// Waits for a tick, at most `timeout`, or until the kernel says that a lot is pending; then
    /// hands over what is there, a batch of each ring at most: in the order of each, and of both
    /// where that was asked for. No connection is in two rings.
    ///
    /// # Errors
    /// When waiting fails.
    pub(super) fn poll(
        &mut self,
        timeout: Duration,
        mut handle: impl FnMut(&[u8]),
    ) -> io::Result<Polled> {
        if !self.has_more {
            self.wait(timeout)?;
        }
        let mut records = 0;
        self.has_more = false;
        if let ([one, other], Some(held)) = (self.rings.as_mut_slice(), &mut self.held) {
            let (count, taken) = merged(one, (other, held), &mut handle);
            records = count;
            self.has_more = taken >= BATCH;
        } else {
            for ring in &mut self.rings {
                let (count, taken) = each(ring, &mut handle);
                records += count;
                self.has_more |= taken >= BATCH;
            }
        }
        self.pace.took(records);
        Ok(if self.has_more {
            Polled::Pending
        } else {
            Polled::More
        })
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        let wait = Timespec::try_from(self.pace.tick().min(timeout)).map_err(io::Error::other)?;
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 1];
        match epoll::wait(&self.epoll, &mut events, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Takes what is in a ring: how many records, and their bytes.
fn each(ring: &mut RingBuf<MapData>, handle: &mut impl FnMut(&[u8])) -> (u32, usize) {
    let (mut records, mut taken) = (0, 0);
    while taken < BATCH
        && let Some(record) = ring.next()
    {
        handle(&record);
        taken += record.len();
        records += 1;
    }
    (records, taken)
}

/// A record that was taken out of its ring, and waits for its turn.
#[derive(Debug, Default)]
struct Held(Option<Vec<u8>>);

impl Held {
    /// Takes the next record of a ring, if none waits.
    fn fill(&mut self, ring: &mut RingBuf<MapData>) {
        if self.0.is_none() {
            self.0 = ring.next().map(|record| record.to_vec());
        }
    }

    /// Gives the record, if it was made before this time.
    fn before(&mut self, time: u64) -> Option<Vec<u8>> {
        self.0.take_if(|record| self::time(record) < time)
    }
}

/// As [`each`] of two rings, the earlier record first. What caused a record is in its ring before
/// that is: a ring is looked at again once there is a record of the other.
fn merged(
    one: &mut RingBuf<MapData>,
    (other, held): (&mut RingBuf<MapData>, &mut Held),
    handle: &mut impl FnMut(&[u8]),
) -> (u32, usize) {
    let (mut records, mut taken) = (0, 0);
    let mut take = |record: &[u8]| {
        handle(record);
        records += 1;
        taken += record.len();
        taken < BATCH
    };
    loop {
        held.fill(other);
        let Some(record) = one.next() else {
            match held.before(u64::MAX) {
                Some(record) if take(&record) => continue,
                _ => break,
            }
        };
        held.fill(other);
        while let Some(earlier) = held.before(time(&record)) {
            // The batch ends with the record that is out of its ring.
            take(&earlier);
            held.fill(other);
        }
        if !take(&record) {
            break;
        }
    }
    (records, taken)
}

/// When a record was made: its first field ([`meshtap_common::EventHeader`]).
fn time(record: &[u8]) -> u64 {
    record.first_chunk().copied().map_or(0, u64::from_ne_bytes)
}

/// How often the ring is looked at. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pace {
    rate: Rate,
    /// Ticks in a row with fewer records than the rate is for.
    slow: u32,
}

/// How many records come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rate {
    /// None.
    Idle,
    /// Some.
    #[default]
    Low,
    /// More than [`Pace::BUSY`] in a millisecond.
    High,
}

impl Pace {
    /// Records in a millisecond from which on the rate is high: some 500 exchanges a second.
    const BUSY: u32 = 2;

    /// Slow ticks in a row after which the rate is lower: a pause between two requests is none.
    const TIMEOUT: u32 = 50;

    /// On a machine where nothing happens, wake-ups are what the agent costs: some 50 µs each.
    /// Where much does, fewer of them leave a server more throughput, and more of them make its
    /// slowest responses faster: 1, 2, 3 and 5 ms were tried.
    const fn tick(self) -> Duration {
        Duration::from_millis(match self.rate {
            Rate::Idle => 100,
            Rate::Low => 5,
            Rate::High => 2,
        })
    }

    /// So many records came in a tick, or in less.
    fn took(&mut self, records: u32) {
        let busy = |pace: Self| {
            let tick = u32::try_from(pace.tick().as_millis()).unwrap_or(u32::MAX);
            Self::BUSY.saturating_mul(tick)
        };
        let is_slow = match self.rate {
            _ if records >= busy(Self::default()) => {
                *self = Self {
                    rate: Rate::High,
                    slow: 0,
                };
                return;
            }
            Rate::Idle if records > 0 => {
                *self = Self::default();
                return;
            }
            Rate::Idle => false,
            Rate::Low => records == 0,
            Rate::High => records < busy(*self),
        };
        self.slow = if is_slow { self.slow + 1 } else { 0 };
        if self.slow >= Self::TIMEOUT {
            self.slow = 0;
            self.rate = match self.rate {
                Rate::High => Rate::Low,
                Rate::Low | Rate::Idle => Rate::Idle,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each step: records of a tick, and for how many ticks. Then the tick in milliseconds.
    fn check(steps: &[(u32, u32)], expected: u64) {
        let mut pace = Pace::default();
        for &(records, ticks) in steps {
            (0..ticks).for_each(|_| pace.took(records));
        }
        assert_eq!(pace.tick(), Duration::from_millis(expected), "{steps:?}");
    }

    #[test]
    fn the_tick_follows_the_rate() {
        check(&[], 5);
        check(&[(0, 49)], 5);
        check(&[(0, 50)], 100);
        check(&[(0, 500), (1, 1)], 5);
        check(&[(9, 1000)], 5);
        check(&[(10, 1)], 2);
        check(&[(0, 500), (10, 1)], 2);
        check(&[(10, 1), (4, 1000)], 2);
        check(&[(10, 1), (0, 49), (4, 1), (0, 49)], 2);
        check(&[(10, 1), (3, 50)], 5);
        check(&[(10, 1), (0, 100)], 100);
    }
}
