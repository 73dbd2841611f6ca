//! The moment between two packets at which one agent ends and the next begins. Pure.

use crate::flow::Nanos;

/// No packet within this of the moment. The two programs on a packet's way run within a microsecond
/// or two of each other; an interrupt between them takes some more.
const QUIET: Nanos = 50_000;
/// How long such a pause is looked for. At 10 000 packets a second there is one within a
/// millisecond; where there is none, the moment lies between two packets anyhow.
const TIMEOUT: Nanos = 100_000_000;

/// The search.
#[derive(Debug, Default)]
pub(super) struct Cut {
    first: Option<Nanos>,
    latest: Nanos,
    moment: Option<Nanos>,
}

impl Cut {
    /// A packet is about to be handled.
    pub(super) fn packet(&mut self, time: Nanos) {
        self.step(time);
        if self.moment.is_none() && self.first.is_some_and(|first| time > first + TIMEOUT) {
            // All handled packets were before.
            self.moment = Some(self.latest + 1);
        }
        self.latest = self.latest.max(time);
    }

    /// There are no packets up to `now` that were not handled.
    pub(super) fn caught_up(&mut self, now: Nanos) {
        self.step(now);
    }

    fn step(&mut self, time: Nanos) {
        if self.moment.is_some() {
            return;
        }
        if self.first.is_none() {
            // What came before is not known.
            self.first = Some(time);
            self.latest = time;
        } else if time >= self.latest + 2 * QUIET {
            self.moment = Some(self.latest + (time - self.latest) / 2);
        }
    }

    /// The moment, once it is found.
    pub(super) const fn moment(&self) -> Option<Nanos> {
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Nanos = 1000;

    /// Packets at these microseconds; the moment in microseconds.
    #[track_caller]
    fn check(packets: &[Nanos], caught_up: Option<Nanos>, expected: Option<Nanos>) {
        let mut cut = Cut::default();
        for time in packets {
            cut.packet(time * US);
        }
        if let Some(now) = caught_up {
            cut.caught_up(now * US);
        }
        assert_eq!(cut.moment().map(|at| at / US), expected, "{packets:?}");
    }

    #[test]
    fn a_pause_between_packets() {
        check(&[], None, None);
        check(&[1000], None, None);
        check(&[1000, 1050, 1090], None, None);
        check(&[1000, 1050, 1150], None, Some(1100));
        check(&[1000, 1050, 1150, 9000], None, Some(1100));
        // One that comes late from another core fills no pause.
        check(&[1000, 990, 1080], None, None);
    }

    #[test]
    fn a_pause_at_the_end() {
        check(&[1000], Some(1090), None);
        check(&[1000], Some(1200), Some(1100));
        check(&[], Some(1200), None);
        let mut idle = Cut::default();
        idle.caught_up(1000 * US);
        idle.caught_up(51_000 * US);
        assert_eq!(idle.moment(), Some(26_000 * US));
    }

    #[test]
    fn without_a_pause_it_lies_between_two_packets() {
        let packets: Vec<_> = (0..5000).map(|n| 1000 + n * 25).collect();
        let mut cut = Cut::default();
        for time in &packets {
            let before = cut.moment();
            cut.packet(time * US);
            if before.is_none() && cut.moment().is_some() {
                assert_eq!(cut.moment(), Some((time - 25) * US + 1));
            }
        }
        assert!(cut.moment().is_some());
    }
}
