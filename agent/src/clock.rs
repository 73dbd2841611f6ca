//! From the monotonic clock of segments to wall-clock time.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::flow::Nanos;

/// A length of time; 584 years at most.
#[must_use]
pub fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Adds the offset between CLOCK_REALTIME and CLOCK_MONOTONIC; a replay carries the offset of its
/// recording.
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

/// Nanoseconds of the machine's CLOCK_MONOTONIC, by which the BPF programs stamp segments: without
/// what a time namespace adds to this process's view (time_namespaces(7)).
#[must_use]
pub fn monotonic() -> Nanos {
    static NAMESPACE: OnceLock<i64> = OnceLock::new();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seen = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    let added = NAMESPACE.get_or_init(added_by_namespace);
    u64::try_from(seen - i128::from(*added)).unwrap_or(0)
}

/// Nanoseconds that this process's time namespace adds to CLOCK_MONOTONIC. The file speaks of the
/// namespace of children to come, which is this process's own unless it has just made another.
fn added_by_namespace() -> i64 {
    let link = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    if link("time").is_none() || link("time") != link("time_for_children") {
        return 0;
    }
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    offset_of_monotonic(&offsets).unwrap_or(0)
}

/// From lines of `clock seconds nanoseconds`.
fn offset_of_monotonic(text: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.starts_with("monotonic"))?;
    let mut numbers = line.split_ascii_whitespace().skip(1).map(str::parse::<i64>);
    let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Wall-clock time while the clock is set: what happened before has the time of the clock as it was
/// then.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// From when on, and the clock since; the latest last.
    known: VecDeque<(Nanos, WallClock)>,
}

/// A correction below this is NTP's slewing, 500 ppm at most: it needs no memory. One above is a
/// step.
const STEP: u64 = 10_000_000;
/// Steps remembered: more than a machine makes while an exchange lasts.
const STEPS: usize = 16;

impl Clocks {
    /// With the running machine's clock.
    #[must_use]
    pub fn now() -> Self {
        Self::starting_with(WallClock::now())
    }

    fn starting_with(clock: WallClock) -> Self {
        Self {
            known: VecDeque::from([(0, clock)]),
        }
    }

    /// Reads the clock again.
    pub fn refresh(&mut self) {
        self.learn(monotonic(), WallClock::now());
    }

    fn learn(&mut self, now: Nanos, clock: WallClock) {
        let Some((_, last)) = self.known.back_mut() else {
            return;
        };
        if last.offset.abs_diff(clock.offset) < STEP {
            *last = clock;
            return;
        }
        if self.known.len() >= STEPS {
            self.known.pop_front();
        }
        self.known.push_back((now, clock));
    }

    /// The clock at a time.
    #[must_use]
    pub fn at(&self, time: Nanos) -> WallClock {
        let mut known = self.known.iter().rev();
        let at = known.find(|(since, _)| *since <= time);
        at.or(self.known.front())
            .map_or(WallClock { offset: 0 }, |(_, clock)| *clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_a_time_namespace() {
        let check = |text: &str, expected| assert_eq!(offset_of_monotonic(text), expected);
        check(
            "monotonic           0         0\nboottime            0         0\n",
            Some(0),
        );
        check(
            "monotonic       86400        250\nboottime            7         0\n",
            Some(86_400_000_000_250),
        );
        check("monotonic -3 0", Some(-3_000_000_000));
        check("", None);
        check("monotonic x", None);
    }

    #[test]
    fn a_step_does_not_move_what_was_before() {
        let hour = 3_600_000_000_000;
        let mut clocks = Clocks::starting_with(WallClock { offset: 1000 });
        clocks.learn(5, WallClock { offset: 1500 });
        assert_eq!(clocks.at(0).offset, 1500, "slewing");
        clocks.learn(100, WallClock { offset: hour });
        let at = |clocks: &Clocks, time| clocks.at(time).offset;
        assert_eq!((at(&clocks, 99), at(&clocks, 100)), (1500, hour));
        for n in 0..100 {
            clocks.learn(
                200 + n,
                WallClock {
                    offset: hour * n.cast_signed(),
                },
            );
        }
        assert_eq!(clocks.known.len(), STEPS);
        assert_eq!(at(&clocks, 299), 99 * hour);
        assert_eq!(at(&clocks, 290), 90 * hour);
        // Older than what is remembered.
        assert_eq!(at(&clocks, 0), at(&clocks, clocks.known[0].0));
    }
}
