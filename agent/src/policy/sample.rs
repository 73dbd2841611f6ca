//! Sampling by trace id, so that a trace is kept or dropped whole.

use super::trace::TraceId;

/// A trace is kept when the upper 63 bits of its id's last eight bytes are below this, as
/// OpenTelemetry's `TraceIdRatioBased` has it: agents and applications with one ratio keep the same
/// traces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threshold(u64);

impl Threshold {
    /// Above every 63-bit number.
    pub(super) const ALL: Self = Self(1 << 63);

    /// For a ratio of 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a ratio of 0 to 1 times 2^63 is in range; the last bits do not matter"
    )]
    pub(super) fn of(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * Self::ALL.0 as f64) as u64)
    }

    /// The trace is among those kept.
    pub(super) const fn keeps(self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(low: u64) -> TraceId {
        let mut id = [0xff; 16];
        id[8..].copy_from_slice(&low.to_be_bytes());
        TraceId(id)
    }

    fn check(ratio: f64, low: u64, expected: bool) {
        assert_eq!(
            Threshold::of(ratio).keeps(id(low)),
            expected,
            "{ratio} {low}"
        );
    }

    #[test]
    fn a_trace_is_sampled_whole() {
        check(1.0, u64::MAX, true);
        check(0.0, 0, false);
        check(0.5, u64::MAX / 2 - 1, true);
        check(0.5, u64::MAX / 2 + 1, false);
    }

    #[test]
    fn a_smaller_ratio_keeps_a_subset() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let id = id(rng.u64(..));
            assert!(!Threshold::of(0.1).keeps(id) || Threshold::of(0.2).keeps(id));
        }
    }
}
