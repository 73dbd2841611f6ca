//! Reads the ring buffer in batches.
//!
//! The kernel side submits records without waking anybody, but when a lot is pending: a wake-up for each would cost more than the record. So
//! the reader sleeps for a tick, then takes all there is. The wake-ups that do come are edges (`EPOLLET`): a level would be ready as
//! soon as one record is pending, and there would be no batch. (`ringbuf_map_poll_user`, kernel/bpf/ringbuf.c.)

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use rustix::event::{Timespec, epoll};

use crate::capture::Polled;

/// How long records may lie in the ring while traffic flows.
const TICK: Duration = Duration::from_millis(5);

/// The same on a machine where nothing happens: 20 wake-ups a second are free.
const IDLE_TICK: Duration = Duration::from_millis(50);

/// Most bytes taken in one go, about 5 000 records and a few milliseconds of the engine's work: while the kernel side never pauses,
/// exchanges are handed on, time passes and a stop is heard this often.
const BATCH: usize = 1024 * 1024;

/// Empty ticks in a row (a quarter of a second) after which nothing is happening.
const IDLE_AFTER: u32 = 50;

/// The reader of the ring buffer.
pub(super) struct Reader {
    ring: RingBuf<MapData>,
    epoll: OwnedFd,
    has_more: bool,
    empty_ticks: u32,
}

impl Reader {
    /// # Errors
    /// When the ring cannot be waited on.
    pub(super) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &ring,
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Self {
            ring,
            epoll,
            has_more: false,
            empty_ticks: 0,
        })
    }

    /// Waits for a tick, at most `timeout`, or until the kernel says that a lot is pending; then hands over what is there, in order, a batch
    /// at most.
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
        let mut taken = 0;
        self.has_more = false;
        while let Some(record) = self.ring.next() {
            handle(&record);
            taken += record.len();
            if taken >= BATCH {
                self.has_more = true;
                break;
            }
        }
        self.empty_ticks = if taken == 0 {
            self.empty_ticks.saturating_add(1)
        } else {
            0
        };
        Ok(if self.has_more {
            Polled::Pending
        } else {
            Polled::More
        })
    }

    fn wait(&self, timeout: Duration) -> io::Result<()> {
        let tick = if self.empty_ticks < IDLE_AFTER {
            TICK
        } else {
            IDLE_TICK
        };
        let wait = Timespec::try_from(tick.min(timeout)).map_err(io::Error::other)?;
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 1];
        match epoll::wait(&self.epoll, &mut events, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
