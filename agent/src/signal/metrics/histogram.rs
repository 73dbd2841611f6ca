//! Histograms with Istio's buckets, which are Envoy's
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/metrics/v3/stats.proto>,
//! `histogram_bucket_settings`).

use crate::policy::{SpanId, TraceId};

/// Upper bounds, doubled so that all are whole: milliseconds or bytes.
const DOUBLED: [u64; 19] = [
    1, 2, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 600_000,
    1_200_000, 3_600_000, 7_200_000,
];
/// Number of buckets: one more than there are bounds, for the last has none.
pub const BUCKETS: usize = DOUBLED.len() + 1;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Samples are nanoseconds, and shown in milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A sample as it is shown.
    pub(super) fn shown(self, sample: u64) -> f64 {
        match self {
            Self::Milliseconds => sample as f64 / 1e6,
            Self::Bytes => sample as f64,
        }
    }

    fn bucket(self, sample: u64) -> usize {
        match self {
            Self::Milliseconds => DOUBLED.partition_point(|bound| bound * 500_000 < sample),
            Self::Bytes => DOUBLED.partition_point(|bound| *bound < sample.saturating_mul(2)),
        }
    }
}

/// The upper bounds, as they are shown; the last bucket has none.
pub fn bounds() -> impl Iterator<Item = f64> {
    DOUBLED.iter().map(|bound| *bound as f64 / 2.0)
}

/// Samples by bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Samples in each, not those below.
    pub(super) buckets: [u64; BUCKETS],
    /// Of all samples.
    pub(super) sum: u64,
}

impl Histogram {
    /// Adds a sample; its bucket.
    pub(super) fn add(&mut self, unit: Unit, sample: u64) -> usize {
        let bucket = unit.bucket(sample);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(sample);
        bucket
    }

    /// Samples up to each bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }
}

/// A span that stands for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// When it ended: nanoseconds since 1970.
    pub unix_nanos: u64,
}

/// The last exemplar of each bucket, with its sample.
pub(super) type Exemplars = [Option<(Exemplar, u64)>; BUCKETS];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unit: Unit, sample: u64, bound: Option<f64>) {
        let mut histogram = Histogram::default();
        let bucket = histogram.add(unit, sample);
        assert_eq!(bounds().nth(bucket), bound, "{sample}");
        assert_eq!(histogram.buckets.iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_bound_is_within_its_bucket() {
        check(Unit::Bytes, 0, Some(0.5));
        check(Unit::Bytes, 1, Some(1.0));
        check(Unit::Bytes, 2, Some(5.0));
        check(Unit::Bytes, 3_600_000, Some(3_600_000.0));
        check(Unit::Bytes, 3_600_001, None);
        check(Unit::Bytes, u64::MAX, None);
        check(Unit::Milliseconds, 500_000, Some(0.5));
        check(Unit::Milliseconds, 500_001, Some(1.0));
        check(Unit::Milliseconds, 24_999_999, Some(25.0));
        check(Unit::Milliseconds, 3_600_000_000_001, None);
    }

    #[test]
    fn the_bounds_of_envoy() {
        let shown: Vec<String> = bounds().map(|bound| bound.to_string()).collect();
        assert_eq!(
            shown.join(" "),
            "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000"
        );
    }
}
