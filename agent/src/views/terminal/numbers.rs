//! Numbers as a screen shows them.

/// With a space between thousands, which no language takes for a decimal sign (ISO 80000-1).
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// In at most five characters: `0.4`, `12.5`, `1234`, `56k`.
pub(in crate::views) fn rate(rate: f64) -> String {
    if rate < 99.95 {
        return format!("{rate:.1}");
    }
    if rate < 9_999.5 {
        return format!("{rate:.0}");
    }
    format!("{:.0}k", rate / 1_000.0)
}

/// A share in percent, in at most five characters: `0`, `0.1%`, `100%`.
pub(in crate::views) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent == 0.0 => "0".to_owned(),
        _ if percent < 0.1 => "<0.1%".to_owned(),
        _ if percent < 9.95 => format!("{percent:.1}%"),
        // Not all of them is less than all.
        _ if share < 1.0 => format!("{:.0}%", percent.min(99.0)),
        _ => "100%".to_owned(),
    }
}

/// Bars for the last `width` of some counts, the largest as high as a cell.
pub(in crate::views) fn bars(counts: &[u32], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = counts
        .get(counts.len().saturating_sub(width)..)
        .unwrap_or_default();
    let most = u64::from(last.iter().copied().max().unwrap_or(0));
    let bar = |count: &u32| match *count {
        0 => ' ',
        count => {
            let index = (u64::from(count) * 8)
                .div_ceil(most.max(1))
                .saturating_sub(1);
            let index = usize::try_from(index).unwrap_or(0);
            BARS.get(index).copied().unwrap_or('█')
        }
    };
    last.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1 000"),
            (1_234_567, "1 234 567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn rates_and_shares_are_short() {
        for (value, text) in [
            (0.0, "0.0"),
            (99.94, "99.9"),
            (99.95, "100"),
            (1e4, "10k"),
            (5e5, "500k"),
        ] {
            assert_eq!(rate(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.000_1, "<0.1%"),
            (0.012, "1.2%"),
            (0.5, "50%"),
            (0.999_9, "99%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(value), text);
        }
    }

    #[test]
    fn bars_show_the_newest() {
        assert_eq!(bars(&[9, 0, 1, 4, 8], 4), " ▁▄█");
        assert_eq!(bars(&[0, 0], 4), "  ");
        assert_eq!(bars(&[u32::MAX, 1], 2), "█▁");
    }
}
