//! Sizes and durations as a person reads them.

use std::fmt::Write as _;

/// Bytes in at most five characters (`612`, `1.2K`, `5.0M`): powers of 1024.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    scaled(bytes, &["", "K", "M", "G", "T", "P", "E"])
}

/// Bytes with a unit, for sentences: `612 B`, `1.2 KiB`.
pub(crate) fn size_words(bytes: u64) -> String {
    scaled(
        bytes,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"],
    )
}

fn scaled(bytes: u64, units: &[&str; 7]) -> String {
    let mut unit = 0;
    // Tenths, so that rounding is exact and decides the unit too.
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_235 && unit + 1 < units.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    let suffix = units.get(unit).copied().unwrap_or_default();
    let mut text = String::new();
    let _ = if unit == 0 || tenths >= 100 {
        write!(text, "{}{suffix}", (tenths + 5) / 10)
    } else {
        write!(text, "{}.{}{suffix}", tenths / 10, tenths % 10)
    };
    text
}

/// Nanoseconds in at most six characters: `45µs`, `1.2ms`, `12ms`, `1.23s`, `5m03s`.
pub(crate) fn duration_text(nanos: u64) -> String {
    let micros = nanos.saturating_add(500) / 1_000;
    match micros {
        0..1_000 => format!("{micros}µs"),
        1_000..10_000 => format!("{}.{:02}ms", micros / 1_000, micros / 10 % 100),
        10_000..100_000 => format!("{}.{}ms", micros / 1_000, micros / 100 % 10),
        100_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000..10_000_000 => {
            format!("{}.{:02}s", micros / 1_000_000, micros / 10_000 % 100)
        }
        10_000_000..60_000_000 => {
            format!("{}.{}s", micros / 1_000_000, micros / 100_000 % 10)
        }
        _ => {
            let seconds = micros / 1_000_000;
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |bytes, expected: &str| assert_eq!(size_text(bytes), expected, "{bytes}");
        check(0, "0");
        check(1023, "1023");
        check(1024, "1.0K");
        check(1229, "1.2K");
        check(10_239, "10K");
        check(102_400, "100K");
        check(1_048_575, "1.0M");
        check(5_242_880, "5.0M");
        check(u64::MAX, "16E");
        assert_eq!(size_words(1536), "1.5 KiB");
        assert_eq!(size_words(7), "7 B");
    }

    #[test]
    fn sizes_are_short() {
        for shift in 0..64 {
            for near in [-1_i64, 0, 1] {
                let bytes = (1_u64 << shift).wrapping_add_signed(near);
                assert!(size_text(bytes).len() <= 5, "{bytes}: {}", size_text(bytes));
            }
        }
    }

    #[test]
    fn durations() {
        let check = |nanos, expected: &str| assert_eq!(duration_text(nanos), expected, "{nanos}");
        check(0, "0µs");
        check(45_400, "45µs");
        check(999_499, "999µs");
        check(999_500, "1.00ms");
        check(1_234_567, "1.23ms");
        check(12_345_678, "12.3ms");
        check(123_456_789, "123ms");
        check(1_234_567_890, "1.23s");
        check(59_900_000_000, "59.9s");
        check(303_000_000_000, "5m03s");
        check(u64::MAX, "307445734m33s");
    }
}
