//! The page of `/stats/prometheus`, made line by line while it is sent: a page of a thousand label
//! sets is 64 MB, and is never in memory as a whole.

use std::fmt::{self, Write as _};

use super::families::{FAMILIES, Families, Family, Read, Snapshot};
use super::histogram::{Exemplars, Histogram, Unit, bounds};

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    Prometheus,
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>), with exemplars.
    OpenMetrics,
}

/// Bytes of a chunk, about.
const CHUNK: usize = 64 * 1024;

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    snapshot: Snapshot,
    format: Format,
    metric: usize,
    series: usize,
    /// Something of the metric is written.
    is_named: bool,
    ended: bool,
}

impl Page {
    /// Of the series at one moment.
    #[must_use]
    pub const fn new(snapshot: Snapshot, format: Format) -> Self {
        Self {
            snapshot,
            format,
            metric: 0,
            series: 0,
            is_named: false,
            ended: false,
        }
    }

    /// Whole, for tests and small pages.
    #[must_use]
    pub fn text(self) -> String {
        self.collect()
    }

    /// Writes a series of a metric. `None`: that was all.
    fn line(&mut self, out: &mut String) -> Option<fmt::Result> {
        let family = FAMILIES.get(self.metric)?;
        match self.series(family, out) {
            Some(written) => {
                self.series += 1;
                Some(written)
            }
            None => {
                self.metric += 1;
                self.series = 0;
                self.is_named = false;
                Some(Ok(()))
            }
        }
    }

    /// `None`: the metric has no more series.
    fn series(&mut self, family: &Family, out: &mut String) -> Option<fmt::Result> {
        let is_open = self.format == Format::OpenMetrics;
        let is_named = self.is_named;
        let snapshot = &self.snapshot;
        let own = Families::at(self.metric);
        let (labels, value) = match family.read {
            Read::Http(read) => {
                let sample = snapshot.http.get(self.series)?;
                let value = sample.families.contain(own).then_some(&sample.value);
                (&sample.labels, value.and_then(read))
            }
            Read::Tcp(read) => {
                let sample = snapshot.tcp.get(self.series)?;
                let value = sample.families.contain(own).then_some(&sample.value);
                (&sample.labels, value.map(read))
            }
            Read::Histogram(unit, read) => {
                let sample = snapshot.http.get(self.series)?;
                if !sample.families.contain(own) {
                    return Some(Ok(()));
                }
                let exemplars = sample.value.exemplars.as_deref();
                let exemplars = exemplars.filter(|_| is_open && unit == Unit::Milliseconds);
                let named = match is_named {
                    true => Ok(()),
                    false => head(out, family.name, "histogram", family.help),
                };
                let value = (&*sample.labels, read(&sample.value), unit);
                let written =
                    named.and_then(|()| histogram(out, family.name, value, is_open, exemplars));
                self.is_named = true;
                return Some(written);
            }
        };
        let Some(value) = value else {
            return Some(Ok(()));
        };
        let written = counter(out, is_open, family, is_named, (labels, value));
        self.is_named = true;
        Some(written)
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let mut out = String::with_capacity(CHUNK + CHUNK / 4);
        while out.len() < CHUNK {
            // Writing to memory does not fail.
            if self.line(&mut out).is_none() {
                self.ended = true;
                if self.format == Format::OpenMetrics {
                    out.push_str("# EOF\n");
                }
                break;
            }
        }
        Some(out)
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

fn counter(
    out: &mut String,
    is_open: bool,
    family: &Family,
    is_named: bool,
    (labels, value): (&str, u64),
) -> fmt::Result {
    let Family { name, help, .. } = *family;
    if !is_named {
        // OpenMetrics names the family without the suffix of its samples.
        match is_open {
            true => head(out, name, "counter", help)?,
            false => head(out, &format!("{name}_total"), "counter", help)?,
        }
    }
    writeln!(out, "{name}_total{{{labels}}} {value}")
}

fn histogram(
    out: &mut String,
    name: &str,
    (labels, histogram, unit): (&str, &Histogram, Unit),
    is_open: bool,
    exemplars: Option<&Exemplars>,
) -> fmt::Result {
    let bounds = bounds().map(Some).chain([None]);
    let mut count = 0;
    for (index, (bound, upto)) in bounds.zip(histogram.cumulative()).enumerate() {
        write!(out, "{name}_bucket{{{labels},le=\"")?;
        match bound {
            None => out.push_str("+Inf"),
            // A canonical number of OpenMetrics has a point.
            Some(bound) if is_open => write!(out, "{bound:?}")?,
            Some(bound) => write!(out, "{bound}")?,
        }
        write!(out, "\"}} {upto}")?;
        if let Some(Some((exemplar, sample))) = exemplars.and_then(|all| all.get(index)) {
            let seconds = exemplar.unix_nanos as f64 / 1e9;
            write!(
                out,
                " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {seconds:.3}",
                exemplar.trace,
                exemplar.span,
                unit.shown(*sample),
            )?;
        }
        out.push('\n');
        count = upto;
    }
    let sum = unit.shown(histogram.sum);
    writeln!(out, "{name}_sum{{{labels}}} {sum}")?;
    writeln!(out, "{name}_count{{{labels}}} {count}")
}
