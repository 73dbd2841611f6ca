//! The page of `/stats/prometheus`, made line by line while it is sent: a page of a thousand label
//! sets is 64 MB, and is never in memory as a whole.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::histogram::{Exemplars, Histogram, Unit, bounds};
use super::record::{Http, Tcp};

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

/// The series at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(super) http: Vec<(Arc<str>, Http)>,
    pub(super) tcp: Vec<(Arc<str>, Tcp)>,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
enum Metric {
    HttpCounter(&'static str, &'static str, fn(&Http) -> u64),
    Histogram(&'static str, &'static str, Unit, fn(&Http) -> &Histogram),
    TcpCounter(&'static str, &'static str, fn(&Tcp) -> u64),
}

/// In the order of Istio's documentation. Names of counters are without `_total`.
const METRICS: [Metric; 8] = [
    Metric::HttpCounter("istio_requests", "Requests.", |http| http.requests),
    Metric::Histogram(
        "istio_request_duration_milliseconds",
        "Time from the first byte of a request to the last of its response.",
        Unit::Milliseconds,
        |http| &http.duration,
    ),
    Metric::Histogram(
        "istio_request_bytes",
        "Sizes of request bodies.",
        Unit::Bytes,
        |http| &http.request_bytes,
    ),
    Metric::Histogram(
        "istio_response_bytes",
        "Sizes of response bodies.",
        Unit::Bytes,
        |http| &http.response_bytes,
    ),
    Metric::TcpCounter(
        "istio_tcp_sent_bytes",
        "Bytes that servers sent on TCP connections that have ended.",
        |tcp| tcp.sent,
    ),
    Metric::TcpCounter(
        "istio_tcp_received_bytes",
        "Bytes that servers received on TCP connections that have ended.",
        |tcp| tcp.received,
    ),
    Metric::TcpCounter(
        "istio_tcp_connections_opened",
        "TCP connections opened.",
        |tcp| tcp.opened,
    ),
    Metric::TcpCounter(
        "istio_tcp_connections_closed",
        "TCP connections closed.",
        |tcp| tcp.closed,
    ),
];

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    snapshot: Snapshot,
    format: Format,
    metric: usize,
    series: usize,
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
            ended: false,
        }
    }

    /// Whole, for tests and small pages.
    #[must_use]
    pub fn text(self) -> String {
        self.collect()
    }

    fn line(&mut self, out: &mut String) -> Option<fmt::Result> {
        let metric = METRICS.get(self.metric)?;
        let is_open = self.format == Format::OpenMetrics;
        let written = match metric {
            Metric::HttpCounter(name, help, value) => {
                let sample = self.snapshot.http.get(self.series);
                let sample = sample.map(|(labels, http)| (labels, value(http)));
                counter(out, is_open, (name, help), self.series, sample)
            }
            Metric::TcpCounter(name, help, value) => {
                let sample = self.snapshot.tcp.get(self.series);
                let sample = sample.map(|(labels, tcp)| (labels, value(tcp)));
                counter(out, is_open, (name, help), self.series, sample)
            }
            Metric::Histogram(name, help, unit, value) => {
                match self.snapshot.http.get(self.series) {
                    None => Ok(false),
                    Some((labels, http)) => {
                        let is_duration = *unit == Unit::Milliseconds;
                        let exemplars = http.exemplars.as_deref();
                        let exemplars = exemplars.filter(|_| is_open && is_duration);
                        let written = match self.series {
                            0 => family(out, name, "histogram", help),
                            _ => Ok(()),
                        };
                        let sample = (&**labels, value(http), *unit);
                        written
                            .and_then(|()| histogram(out, name, sample, is_open, exemplars))
                            .map(|()| true)
                    }
                }
            }
        };
        match written {
            Ok(true) => self.series += 1,
            Ok(false) | Err(_) => {
                self.metric += 1;
                self.series = 0;
            }
        }
        Some(written.map(drop))
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

fn family(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Writes one sample, if there is one; whether there was.
fn counter(
    out: &mut String,
    is_open: bool,
    (name, help): (&str, &str),
    number: usize,
    sample: Option<(&Arc<str>, u64)>,
) -> Result<bool, fmt::Error> {
    let Some((labels, value)) = sample else {
        return Ok(false);
    };
    if number == 0 {
        // OpenMetrics names the family without the suffix of its samples.
        match is_open {
            true => family(out, name, "counter", help)?,
            false => family(out, &format!("{name}_total"), "counter", help)?,
        }
    }
    writeln!(out, "{name}_total{{{labels}}} {value}")?;
    Ok(true)
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
