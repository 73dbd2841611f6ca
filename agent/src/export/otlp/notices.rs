//! What of deliveries is worth a log line. A destination that fails for hours says the same with
//! every batch. Pure: time is an argument.

use std::time::Duration;

/// The same text is repeated this often at most.
const REPEAT: Duration = Duration::from_secs(60);
/// Texts that differ (a request's number in each) come this often at most.
const PACE: Duration = Duration::from_secs(1);

/// Decides which of many notices are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    last: Option<(Duration, String)>,
    /// Not shown since the last that was.
    suppressed: u64,
}

impl Notices {
    /// Whether `text` is to be shown at `now`, and how many were not since the last that was.
    pub(super) fn show(&mut self, text: &str, now: Duration) -> Option<u64> {
        let is_due = match &self.last {
            None => true,
            Some((at, last)) => {
                let since = now.saturating_sub(*at);
                since >= REPEAT || (last != text && since >= PACE)
            }
        };
        if !is_due {
            self.suppressed += 1;
            return None;
        }
        self.last = Some((now, text.to_owned()));
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notices as (milliseconds, text), and the numbers that `show` returns.
    fn check(notices: &[(u64, &str)], expected: &[Option<u64>]) {
        let mut state = Notices::default();
        let found: Vec<_> = notices
            .iter()
            .map(|(at, text)| state.show(text, Duration::from_millis(*at)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_same_once_a_minute_others_once_a_second() {
        check(
            &[
                (0, "a"),
                (10, "a"),
                (1500, "b"),
                (1600, "c"),
                (1700, "a"),
                (2500, "c"),
            ],
            &[Some(0), None, Some(1), None, None, Some(2)],
        );
        check(
            &[(5, "a"), (60_004, "a"), (60_005, "a"), (60_006, "a")],
            &[Some(0), None, Some(1), None],
        );
    }
}
