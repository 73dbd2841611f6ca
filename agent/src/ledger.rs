//! The account of every exchange: begun = told complete + told partial + each reason it was not told + still open.
//!
//! Reasons are enums that index arrays, and the same enums are the labels of the metrics.

use crate::exchange::Partial;

/// Why an exchange that had begun is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// An answer whose request was never seen (joined late, or the request fell into a gap).
    ResponseOnly,
    /// Which answer belongs to the request cannot be known any more after missing bytes.
    PairingLost,
    /// Missing bytes inside a head.
    GapInHead,
    /// A head over the size or field limit.
    HeadTooLarge,
    /// Bytes that are not HTTP where a message should be.
    Malformed,
    /// The connection ended inside the request's head.
    HeadCut,
    /// The connection table or the memory bound was full.
    Evicted,
    /// The other end of the same local connection tells it.
    Mirrored,
}

impl Loss {
    /// Every reason, in order.
    pub const ALL: [Self; 8] = [
        Self::ResponseOnly,
        Self::PairingLost,
        Self::GapInHead,
        Self::HeadTooLarge,
        Self::Malformed,
        Self::HeadCut,
        Self::Evicted,
        Self::Mirrored,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ResponseOnly => "response_only",
            Self::PairingLost => "pairing_lost",
            Self::GapInHead => "gap_in_head",
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed => "malformed",
            Self::HeadCut => "head_cut",
            Self::Evicted => "evicted",
            Self::Mirrored => "mirrored",
        }
    }
}

/// Counts of exchanges. An exchange begins with the first byte of its request (or of an answer without one).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Exchanges begun.
    pub begun: u64,
    /// Told, with nothing missing.
    pub complete: u64,
    /// Told with a reason; index by `Partial as usize`.
    pub partial: [u64; Partial::ALL.len()],
    /// Not told; index by `Loss as usize`.
    pub lost: [u64; Loss::ALL.len()],
    /// Begun and not ended yet.
    pub open: u64,
}

impl Ledger {
    /// An exchange begins.
    pub fn begin(&mut self) {
        self.begun += 1;
        self.open += 1;
    }

    /// A begun exchange is told.
    pub fn tell(&mut self, partial: Option<Partial>) {
        self.open = self.open.saturating_sub(1);
        match partial {
            None => self.complete += 1,
            Some(reason) => self.partial[reason as usize] += 1,
        }
    }

    /// A begun exchange is given up.
    pub fn lose(&mut self, reason: Loss) {
        self.open = self.open.saturating_sub(1);
        self.lost[reason as usize] += 1;
    }

    /// Exchanges told.
    #[must_use]
    pub fn told(&self) -> u64 {
        self.complete + self.partial.iter().sum::<u64>()
    }

    /// begun − (told + lost + open): zero, or there is a bug.
    #[must_use]
    pub fn imbalance(&self) -> i64 {
        let accounted = self.told() + self.lost.iter().sum::<u64>() + self.open;
        self.begun
            .cast_signed()
            .wrapping_sub(accounted.cast_signed())
    }
}
