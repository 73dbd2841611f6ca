//! What the policy did, by reason. The enum indexes an array and is the label of the metric.

/// Why an exchange is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// Its trace is not among those sampled.
    Sampling,
    /// Its trace is not among those sampled while the agent is over its budget.
    Overload,
    /// Another agent of this node emits it: they hand over.
    HandedOver,
    /// Its workload is out of scope.
    Workload,
    /// A kubelet probe.
    Probe,
    /// An export of this agent's own, as the collector receives it.
    Own,
    /// A rule on its path.
    Path,
    /// A rule on its host.
    Host,
    /// A rule on its method.
    Method,
    /// A rule on its status.
    Status,
}

impl Skip {
    /// Every reason, in order.
    pub const ALL: [Self; 10] = [
        Self::Sampling,
        Self::Overload,
        Self::HandedOver,
        Self::Workload,
        Self::Probe,
        Self::Own,
        Self::Path,
        Self::Host,
        Self::Method,
        Self::Status,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::Overload => "overload",
            Self::HandedOver => "handed_over",
            Self::Workload => "workload",
            Self::Probe => "probe",
            Self::Own => "own",
            Self::Path => "path",
            Self::Host => "host",
            Self::Method => "method",
            Self::Status => "status",
        }
    }
}

/// Totals of a policy. Exchanges handed in = kept + each reason to skip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges in scope, before sampling.
    pub admitted: u64,
    /// Exchanges in scope and sampled.
    pub kept: u64,
    /// Exchanges not kept; index by `Skip as usize`.
    pub skipped: [u64; Skip::ALL.len()],
}

impl Counts {
    pub(super) fn skip(&mut self, reason: Skip) {
        self.skipped[reason as usize] += 1;
    }

    /// Adds those of another worker.
    pub fn add(&mut self, other: &Self) {
        self.admitted += other.admitted;
        self.kept += other.kept;
        for (sum, n) in self.skipped.iter_mut().zip(other.skipped) {
            *sum += n;
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Skip::ALL.len() {
        assert!(Skip::ALL[i] as usize == i);
        i += 1;
    }
};
