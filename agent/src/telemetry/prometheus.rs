//! The text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::{Display, Write as _};

/// What a metric means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A page of metrics.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// One metric's samples.
#[derive(Debug)]
pub(super) struct Metric<'a> {
    page: &'a mut String,
    name: &'a str,
}

impl Page {
    /// Begins a metric.
    pub(super) fn metric<'a>(&'a mut self, kind: Kind, name: &'a str, help: &str) -> Metric<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.head(name, help, kind);
        Metric {
            page: &mut self.0,
            name,
        }
    }

    /// A metric with one sample and no labels.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.metric(kind, name, help).sample(&[], value);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Begins a histogram; its samples are added with [`Self::buckets`].
    pub(super) fn histogram(&mut self, name: &str, help: &str) {
        self.head(name, help, "histogram");
    }

    /// Samples of one histogram: upper bounds in seconds with the counts within each bucket, the last count without a bound.
    pub(super) fn buckets(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = f64>,
        counts: &[u64],
        sum: f64,
    ) {
        let mut total = 0;
        let bounds = bounds.map(|bound| bound.to_string());
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(counts) {
            total += count;
            let mut all = labels.to_vec();
            all.push(("le", &bound));
            self.line(&format!("{name}_bucket"), &all, total);
        }
        self.line(&format!("{name}_sum"), labels, sum);
        self.line(&format!("{name}_count"), labels, total);
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        Metric {
            page: &mut self.0,
            name,
        }
        .sample(labels, value);
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Metric<'_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.page.push_str(self.name);
        for (n, (key, text)) in labels.iter().enumerate() {
            let separator = if n == 0 { '{' } else { ',' };
            let _ = write!(self.page, "{separator}{key}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.page.push_str("\\\\"),
                    '"' => self.page.push_str("\\\""),
                    '\n' => self.page.push_str("\\n"),
                    c => self.page.push(c),
                }
            }
            self.page.push('"');
        }
        if !labels.is_empty() {
            self.page.push('}');
        }
        let _ = writeln!(self.page, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(make: impl FnOnce(&mut Page), expected: &str) {
        let mut page = Page::default();
        make(&mut page);
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn samples() {
        check(
            |page| page.single(Kind::Gauge, "a", "Help.", 1),
            "# HELP a Help.\n# TYPE a gauge\na 1\n",
        );
        check(
            |page| {
                let mut metric = page.metric(Kind::Counter, "a_total", "Help.");
                metric.sample(&[("x", "1"), ("y", "q\"\\\n")], 2.5);
                metric.sample(&[("x", "2")], 0);
            },
            "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"\\\\\\n\"} 2.5\na_total{x=\"2\"} 0\n",
        );
    }

    #[test]
    fn histograms_are_cumulative() {
        check(
            |page| {
                page.histogram("t", "Help.");
                page.buckets("t", &[("e", "o")], [0.1, 1.0].into_iter(), &[1, 2, 3], 9.5);
            },
            "# HELP t Help.\n# TYPE t histogram\nt_bucket{e=\"o\",le=\"0.1\"} 1\nt_bucket{e=\"o\",le=\"1\"} 3\n\
             t_bucket{e=\"o\",le=\"+Inf\"} 6\nt_sum{e=\"o\"} 9.5\nt_count{e=\"o\"} 6\n",
        );
    }
}
