//! From the monotonic clock of segments to wall-clock time.

use std::time::{Duration, SystemTime};

use crate::flow::Nanos;

/// A length of time; 584 years at most.
#[must_use]
pub fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds the offset between CLOCK_REALTIME and CLOCK_MONOTONIC; a replay carries the offset of its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Nanoseconds since 1970-01-01T00:00:00Z at monotonic zero.
    pub offset: i64,
}

impl WallClock {
    /// The running machine's offset.
    #[must_use]
    pub fn now() -> Self {
        let real = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let offset = i128::try_from(real.as_nanos()).unwrap_or(i128::MAX) - i128::from(monotonic());
        Self {
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
        }
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_nanos(&self, time: Nanos) -> u64 {
        u64::try_from(i128::from(time) + i128::from(self.offset)).unwrap_or(0)
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
#[must_use]
pub fn monotonic() -> Nanos {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
