//! What was counted of the streams of one connection.

use crate::session::Stats;

/// Bytes of a connection that are in the totals. They are taken back when the first bytes turn out
/// to be none that TCP took: those that it takes are counted then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streams {
    captured: u64,
    skipped: u64,
    gaps: u64,
    missing: u64,
}

impl Streams {
    /// The totals now.
    #[inline]
    pub(super) const fn of(stats: &Stats) -> Self {
        Self {
            captured: stats.captured_bytes,
            skipped: stats.skipped_bytes,
            gaps: stats.gaps,
            missing: stats.gap_bytes,
        }
    }

    /// Adds what was counted since the totals were `before`.
    #[inline]
    pub(super) const fn add(&mut self, before: Self, stats: &Stats) {
        self.captured += stats.captured_bytes - before.captured;
        self.skipped += stats.skipped_bytes - before.skipped;
        self.gaps += stats.gaps - before.gaps;
        self.missing += stats.gap_bytes - before.missing;
    }

    /// Takes it back.
    pub(super) const fn take_back(self, stats: &mut Stats) {
        stats.captured_bytes -= self.captured;
        stats.skipped_bytes -= self.skipped;
        stats.gaps -= self.gaps;
        stats.gap_bytes -= self.missing;
    }
}
