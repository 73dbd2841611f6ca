//! Families of metrics, and the formats of a page.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
    prometheus_text,
};
use prometheus_client::metrics::MetricType;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
    Prometheus,
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
}

impl Format {
    /// What a scraper accepts (RFC 9110 §12.5.1): OpenMetrics where it is named and liked no less
    /// than plain text.
    pub(super) fn accepted(accept: &str) -> Self {
        let weight = |media: &str| {
            accept
                .split(',')
                .filter_map(|range| {
                    let mut parts = range.split(';').map(str::trim);
                    let is_it = parts.next()?.eq_ignore_ascii_case(media);
                    let quality = parts.find_map(|part| part.strip_prefix("q="));
                    is_it.then_some(quality.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
                })
                .fold(None, |best: Option<f64>, q| {
                    Some(best.map_or(q, |b| b.max(q)))
                })
        };
        let open = weight("application/openmetrics-text").unwrap_or(0.0);
        match open > 0.0 && open >= weight("text/plain").unwrap_or(0.0) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The media type of a page.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Adds families of metrics. Names of counters are without `_total`, which the formats add.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// A counter without labels.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A counter with a sample for each label set.
    pub(super) fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            let mut sample = family.encode_family(&labels)?;
            sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// A gauge without labels.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    /// A gauge with a sample for each label set.
    pub(super) fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// Histograms: label set, sum, and per bucket its upper bound with the samples within it, the
    /// last without a bound.
    pub(super) fn histograms<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, f64, Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let mut family = (self.0).encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, sum, buckets) in samples {
            let count = buckets.iter().map(|(_, count)| count).sum();
            let mut sample = family.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// One label, by the names of an enum.
pub(super) fn by<T: Copy>(
    label: &'static str,
    all: &'static [T],
    name: fn(T) -> &'static str,
    counts: &[u64],
) -> impl Iterator<Item = ([(&'static str, &'static str); 1], u64)> {
    let names = all.iter().map(move |value| [(label, name(*value))]);
    names.zip(counts.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scraper_accepts() {
        let check = |accept, expected| assert_eq!(Format::accepted(accept), expected, "{accept}");
        check("", Format::Prometheus);
        check("*/*", Format::Prometheus);
        check("text/plain", Format::Prometheus);
        check("application/openmetrics-text", Format::OpenMetrics);
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Format::OpenMetrics,
        );
        check(
            "text/plain;q=0.9, application/openmetrics-text; version=1.0.0; q=0.8",
            Format::Prometheus,
        );
        check("application/openmetrics-text;q=0", Format::Prometheus);
        check("application/openmetrics-text;q=x", Format::Prometheus);
    }
}
