//! Totals of one key, or of several that were merged.

use hdrhistogram::Histogram;

use crate::views::shown::Shown;

/// Seconds that a sparkline looks back.
pub const SECONDS: usize = 60;
/// Seconds over which a rate is.
pub const RATE_SECONDS: usize = 10;
/// Significant digits of durations: 1 %, of what is measured in microseconds.
const DIGITS: u8 = 2;
/// Longer durations count as this, an hour: it bounds the histogram.
const MAX_MICROS: u64 = 3_600_000_000;

/// What a rate is of.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The present second, since 1970.
    pub(super) now: u64,
    /// The first second whose exchanges count, those before `now`; `None`: all of them do.
    pub(super) from: Option<u64>,
    /// How long it is.
    pub(super) seconds: f64,
}

/// Totals.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) count: u64,
    pub(super) failed: u64,
    pub(super) tls: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// `None` only if [`DIGITS`] were a precision that there is not.
    micros: Option<Histogram<u32>>,
    /// Exchanges that ended in each of the last seconds; the second modulo [`SECONDS`] is the
    /// index.
    seconds: [u32; SECONDS],
    latest: u64,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            count: 0,
            failed: 0,
            tls: 0,
            sent: 0,
            received: 0,
            micros: Histogram::new(DIGITS).ok(),
            seconds: [0; SECONDS],
            latest: 0,
        }
    }
}

/// The place of a second.
#[expect(clippy::cast_possible_truncation, reason = "less than SECONDS")]
const fn slot(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

impl Cell {
    pub(super) fn add(&mut self, shown: &Shown, second: u64) {
        let exchange = shown.exchange();
        self.count += 1;
        self.failed += u64::from(shown.failed());
        self.tls += u64::from(exchange.peers.connection.is_tls());
        self.sent += exchange.request.body.size;
        self.received += exchange
            .response
            .as_ref()
            .map_or(0, |response| response.body.size);
        if let Some(micros) = &mut self.micros {
            let value = (exchange.duration() / 1_000).clamp(1, MAX_MICROS);
            // It grows by itself, so every value has a place.
            let _ = micros.record(value);
        }
        self.forward(second);
        self.count_second(second, 1);
    }

    /// Empties the seconds between the latest one and this.
    fn forward(&mut self, second: u64) {
        if second <= self.latest {
            return;
        }
        let first = (self.latest + 1).max(second.saturating_sub(SECONDS as u64 - 1));
        for passed in first..=second {
            if let Some(count) = self.seconds.get_mut(slot(passed)) {
                *count = 0;
            }
        }
        self.latest = second;
    }

    fn count_second(&mut self, second: u64, count: u32) {
        if self.latest - second.min(self.latest) < SECONDS as u64
            && let Some(sum) = self.seconds.get_mut(slot(second))
        {
            *sum = sum.saturating_add(count);
        }
    }

    /// Exchanges that ended in a second, as far as it is remembered.
    fn in_second(&self, second: u64) -> u32 {
        match second <= self.latest && self.latest - second < SECONDS as u64 {
            true => self.seconds.get(slot(second)).copied().unwrap_or(0),
            false => 0,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.failed += other.failed;
        self.tls += other.tls;
        self.sent += other.sent;
        self.received += other.received;
        if let Some((micros, more)) = self.micros.as_mut().zip(other.micros.as_ref()) {
            let _ = micros.add(more);
        }
        self.forward(other.latest);
        let first = other.latest.saturating_sub(SECONDS as u64 - 1);
        for second in first..=other.latest {
            self.count_second(second, other.in_second(second));
        }
    }

    /// Nanoseconds that this part (0 to 1) of the exchanges took at most.
    pub(super) fn quantile(&self, part: f64) -> u64 {
        let micros = self
            .micros
            .as_ref()
            .map(|micros| micros.value_at_quantile(part));
        micros.unwrap_or(0) * 1_000
    }

    /// Exchanges per second.
    pub(super) fn rate(&self, Span { now, from, seconds }: Span) -> f64 {
        let sum = match from {
            Some(from) => (from..now)
                .map(|second| u64::from(self.in_second(second)))
                .sum(),
            None => self.count,
        };
        #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
        let rate = sum as f64 / seconds;
        rate
    }

    /// Exchanges of each of the last seconds, the present one last.
    pub(super) fn spark(&self, now: u64) -> Vec<u32> {
        (0..SECONDS as u64)
            .rev()
            .map(|ago| now.checked_sub(ago).map_or(0, |then| self.in_second(then)))
            .collect()
    }
}
