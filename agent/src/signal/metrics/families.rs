//! The metrics that a label set has, in the order of Istio's documentation, and their values at one
//! moment.

use std::borrow::Cow;
use std::sync::Arc;

use super::histogram::{BUCKETS, Exemplar, Histogram, Unit};
use super::record::{Http, Tcp};
use crate::flow::Nanos;

/// How the values of a metric are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Read {
    /// A counter of exchanges; some have it not.
    Http(fn(&Http) -> Option<u64>),
    /// A counter of connections.
    Tcp(fn(&Tcp) -> u64),
    /// A histogram of exchanges.
    Histogram(Unit, fn(&Http) -> &Histogram),
}

/// Some of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Families(u16);

impl Families {
    /// All.
    pub const ALL: Self = Self((1 << FAMILIES.len()) - 1);

    /// The metric at this place of [`FAMILIES`].
    pub(super) const fn at(place: usize) -> Self {
        Self(1 << place)
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let place = FAMILIES.iter().position(|family| family.name() == name);
        place.map(Self::at)
    }

    /// All of those are among them.
    #[must_use]
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Each by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        let all = (0..FAMILIES.len()).map(Self::at);
        all.filter(move |family| self.contain(*family))
    }
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name; of counters without `_total`.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// As UCUM has it.
    unit: &'static str,
    pub(super) read: Read,
}

impl Family {
    const fn new(name: &'static str, help: &'static str, unit: &'static str, read: Read) -> Self {
        Self {
            name,
            help,
            unit,
            read,
        }
    }
}

/// All of them.
pub(super) const FAMILIES: [Family; 10] = [
    Family::new(
        "istio_requests",
        "Requests.",
        "",
        Read::Http(|http| Some(http.requests)),
    ),
    Family::new(
        "istio_request_duration_milliseconds",
        "Time from the first byte of a request to the last of its response.",
        "ms",
        Read::Histogram(Unit::Milliseconds, |http| &http.duration),
    ),
    Family::new(
        "istio_request_bytes",
        "Sizes of request bodies.",
        "By",
        Read::Histogram(Unit::Bytes, |http| &http.request_bytes),
    ),
    Family::new(
        "istio_response_bytes",
        "Sizes of response bodies.",
        "By",
        Read::Histogram(Unit::Bytes, |http| &http.response_bytes),
    ),
    Family::new(
        "istio_request_messages",
        "Messages that clients sent in gRPC calls.",
        "",
        Read::Http(|http| http.messages.map(|messages| messages.request)),
    ),
    Family::new(
        "istio_response_messages",
        "Messages that servers sent in gRPC calls.",
        "",
        Read::Http(|http| http.messages.map(|messages| messages.response)),
    ),
    Family::new(
        "istio_tcp_sent_bytes",
        "Bytes that servers sent on TCP connections that have ended.",
        "By",
        Read::Tcp(|tcp| tcp.sent),
    ),
    Family::new(
        "istio_tcp_received_bytes",
        "Bytes that servers received on TCP connections that have ended.",
        "By",
        Read::Tcp(|tcp| tcp.received),
    ),
    Family::new(
        "istio_tcp_connections_opened",
        "TCP connections opened.",
        "",
        Read::Tcp(|tcp| tcp.opened),
    ),
    Family::new(
        "istio_tcp_connections_closed",
        "TCP connections closed.",
        "",
        Read::Tcp(|tcp| tcp.closed),
    ),
];

/// A series at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample<V> {
    pub(super) labels: Arc<str>,
    /// When it was made.
    pub(super) since: Nanos,
    /// The metrics that it is a series of.
    pub(super) families: Families,
    pub(super) value: V,
}

/// The series at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) http: Vec<Sample<Http>>,
    pub(super) tcp: Vec<Sample<Tcp>>,
}

/// A counter's value.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// Its labels as text; [`pairs`] reads them.
    pub labels: &'a Arc<str>,
    /// What it is.
    pub value: u64,
}

/// A histogram's values.
#[derive(Clone, Debug)]
pub struct Distribution<'a> {
    /// Its labels as text; [`pairs`] reads them.
    pub labels: &'a Arc<str>,
    /// When the series was made.
    pub since: Nanos,
    /// Samples in each bucket, not those below.
    pub buckets: [u64; BUCKETS],
    /// Of all samples. [`Family::shown`] gives the unit's value.
    pub sum: u64,
    /// Spans that stand for samples, with these.
    pub exemplars: Vec<(Exemplar, f64)>,
}

impl Family {
    /// All metrics.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &FAMILIES
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self.is_histogram() {
            true => self.name.to_owned(),
            false => format!("{}_total", self.name),
        }
    }

    /// What it means.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        self.help
    }

    /// Its unit, as UCUM has it.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// A histogram; else a counter.
    #[must_use]
    pub const fn is_histogram(&self) -> bool {
        matches!(self.read, Read::Histogram(..))
    }

    /// A sum of samples as it is shown.
    #[must_use]
    pub fn shown(&self, sum: u64) -> f64 {
        match self.read {
            Read::Histogram(unit, _) => unit.shown(sum),
            Read::Http(_) | Read::Tcp(_) => sum as f64,
        }
    }

    fn own(&self) -> Families {
        let is_own = |family: &Self| std::ptr::eq(family.name, self.name);
        let place = FAMILIES.iter().position(is_own);
        place.map_or(Families(0), Families::at)
    }

    /// The values of a counter.
    pub fn counts<'a>(&self, snapshot: &'a Snapshot) -> Vec<Count<'a>> {
        let own = self.own();
        match self.read {
            Read::Http(read) => {
                let series = snapshot.http.iter();
                let series = series.filter(|sample| sample.families.contain(own));
                let counts = series.filter_map(|sample| {
                    Some(Count {
                        labels: &sample.labels,
                        value: read(&sample.value)?,
                    })
                });
                counts.collect()
            }
            Read::Tcp(read) => {
                let series = snapshot.tcp.iter();
                let series = series.filter(|sample| sample.families.contain(own));
                let counts = series.map(|sample| Count {
                    labels: &sample.labels,
                    value: read(&sample.value),
                });
                counts.collect()
            }
            Read::Histogram(..) => Vec::new(),
        }
    }

    /// The values of a histogram.
    pub fn distributions<'a>(&self, snapshot: &'a Snapshot) -> Vec<Distribution<'a>> {
        let Read::Histogram(unit, read) = self.read else {
            return Vec::new();
        };
        let own = self.own();
        let series = snapshot.http.iter();
        let series = series.filter(|sample| sample.families.contain(own));
        let series = series.map(|sample| {
            let histogram = read(&sample.value);
            let exemplars = sample.value.exemplars.iter();
            let exemplars = exemplars
                .flat_map(|all| all.iter().flatten())
                .filter(|_| unit == Unit::Milliseconds)
                .map(|(exemplar, sample)| (*exemplar, unit.shown(*sample)));
            Distribution {
                labels: &sample.labels,
                since: sample.since,
                buckets: histogram.buckets,
                sum: histogram.sum,
                exemplars: exemplars.collect(),
            }
        });
        series.collect()
    }
}

/// Labels of a text, as `Text` has written them: `name="value",…`.
#[must_use]
pub fn pairs(labels: &str) -> Vec<(&str, Cow<'_, str>)> {
    let mut found = Vec::new();
    let mut rest = labels;
    while let Some((name, after)) = rest.split_once("=\"") {
        let end = end_of_value(after);
        found.push((name, unescaped(after.get(..end).unwrap_or_default())));
        let after = after.get(end + 1..).unwrap_or_default();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    found
}

/// Where the quote is that ends a value.
fn end_of_value(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(char) => out.push(char),
                None => {}
            },
            char => out.push(char),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::super::text::Text;
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        #[track_caller]
        fn check(expected: &[(&str, &str)]) {
            let mut text = Text::default();
            for (name, value) in expected {
                text.add(name, value);
            }
            let text = text.finish();
            let found = pairs(&text);
            let found: Vec<_> = found
                .iter()
                .map(|(name, value)| (*name, &**value))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
        check(&[]);
        check(&[("a", "")]);
        check(&[("a", "b"), ("c", "d e")]);
        check(&[("a", "\"b\",c=\"\\"), ("d", "\\\\\n"), ("e", "ü\\n")]);
    }

    #[test]
    fn names_are_unique_and_those_of_counters_end_alike() {
        let mut names: Vec<_> = Family::all().iter().map(Family::name).collect();
        for (name, family) in names.iter().zip(Family::all()) {
            assert_eq!(name.ends_with("_total"), !family.is_histogram(), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Family::all().len());
    }
}
