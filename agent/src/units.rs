//! Quantities as people write them, the same on the command line, in variables and in files:
//! `64MiB`, `5s`, `1.5`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: a plain number, or one with a unit, in upper or lower case. `KB`, `MB`, `GB`
/// are powers of 1000 (SI); `KiB`, `MiB`, `GiB` are powers of 1024 (IEC 80000-13), and so are the
/// letters alone (`K`, `M`, `G`), as in GNU's tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// As a size in memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const UNITS: [(&str, u64); 10] = [
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1000),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("b", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let wrong = || {
            format!(
                "`{text}` is not a size; write a number of bytes, or `64KiB` (1024 each), `10MB` (1000 each)"
            )
        };
        let (number, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
            .unwrap_or((&lower, 1));
        let number = number.trim();
        // `parse` would take a sign.
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let number = number.parse::<u64>().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A length of time: `250ms`, `5s`, `1m 30s`; a plain number is seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(pub Duration);

impl Interval {
    /// `n` seconds.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// `n` milliseconds.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<f64>()
            && let Ok(duration) = Duration::try_from_secs_f64(seconds)
        {
            return Ok(Self(duration));
        }
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("`{text}` is not a duration; write `250ms`, `5s` or `1m`"))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// Reads a quantity from a string or from a number.
struct Quantity<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Quantity<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a string with a unit")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! quantity {
    ($type:ident, $pattern:literal, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Quantity(std::marker::PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "number"],
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}

quantity!(
    ByteSize,
    "^ *[0-9]+ *([kKmMgG]([iI]?[bB])?|[bB])? *$",
    "A number of bytes, or a string such as `64KiB` (powers of 1024) or `10MB` (powers of 1000)."
);
quantity!(
    Interval,
    // `humantime` decides; every one has a number.
    "^ *[.0-9]",
    "A number of seconds, or a string such as `250ms`, `5s` or `1m`."
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr + fmt::Display>(text: &str, expected: Option<&str>) {
        let shown = text.parse::<T>().ok().map(|value| value.to_string());
        assert_eq!(shown.as_deref(), expected, "{text}");
    }

    #[test]
    fn sizes() {
        check::<ByteSize>("10", Some("10"));
        check::<ByteSize>("64KiB", Some("64KiB"));
        check::<ByteSize>("64 kib", Some("64KiB"));
        check::<ByteSize>("1000kb", Some("1000000"));
        check::<ByteSize>("2048MiB", Some("2GiB"));
        check::<ByteSize>("2kb", Some("2000"));
        check::<ByteSize>("2KB", Some("2000"));
        check::<ByteSize>("2k", Some("2KiB"));
        check::<ByteSize>("16M", Some("16MiB"));
        check::<ByteSize>("16MB", Some("15625KiB"));
        check::<ByteSize>("1g", Some("1GiB"));
        check::<ByteSize>("3b", Some("3"));
        check::<ByteSize>("-1", None);
        check::<ByteSize>("+1", None);
        check::<ByteSize>("k", None);
        check::<ByteSize>("1.5M", None);
        check::<ByteSize>("1x", None);
        check::<ByteSize>("20000000000GiB", None);
        check::<ByteSize>("", None);
    }

    #[test]
    fn durations() {
        check::<Interval>("5", Some("5s"));
        check::<Interval>("0.25", Some("250ms"));
        check::<Interval>("250ms", Some("250ms"));
        check::<Interval>("90s", Some("1m 30s"));
        check::<Interval>("-1", None);
        check::<Interval>("soon", None);
    }
}
