//! Counts with their nouns, for people.

use std::borrow::Cow;

/// A count with what is counted: `1 span`, `2 spans`. The noun is in the singular.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {}", noun_after(count, noun))
}

/// A noun in the singular, as it stands after a number.
#[must_use]
pub fn noun_after(count: u64, noun: &str) -> Cow<'_, str> {
    if count == 1 {
        return Cow::Borrowed(noun);
    }
    let before_y = noun.strip_suffix('y');
    let before_y = before_y.filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    Cow::Owned(match before_y {
        Some(stem) => format!("{stem}ies"),
        None if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{noun}es"),
        None => format!("{noun}s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let check = |count, noun, expected| assert_eq!(counted(count, noun), expected);
        check(0, "gap", "0 gaps");
        check(1, "gap", "1 gap");
        check(2, "data point", "2 data points");
        check(1, "process", "1 process");
        check(3, "process", "3 processes");
        check(2, "batch", "2 batches");
        check(1, "HAR entry", "1 HAR entry");
        check(u64::MAX, "HAR entry", "18446744073709551615 HAR entries");
        check(2, "day", "2 days");
    }
}
