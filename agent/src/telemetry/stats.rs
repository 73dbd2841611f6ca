//! `/stats/prometheus`: Istio's metrics, under Istio's own path. The page is made while it is sent.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::families::{Families, Format};
use crate::clock::monotonic;
use crate::signal::metrics::{self, Metrics, Page, Totals};

/// The body of a response.
#[derive(Debug)]
pub(super) enum Body {
    /// A page that was made before.
    Whole(Option<Bytes>),
    /// One that is made while it is sent.
    Page(Page),
}

impl Body {
    /// The page of all series now.
    pub(super) fn of(metrics: &Metrics, format: Format) -> Self {
        let format = match format {
            Format::Prometheus => metrics::Format::Prometheus,
            Format::OpenMetrics => metrics::Format::OpenMetrics,
        };
        Self::Page(Page::new(metrics.snapshot(monotonic()), format))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut *self {
            Self::Whole(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()),
            Self::Page(page) => page.next().map(Bytes::from),
        };
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Page(_) => SizeHint::default(),
        }
    }
}

/// What the metrics themselves use.
pub(super) fn metrics(page: &mut Families<'_>, totals: &Totals) -> fmt::Result {
    let Totals {
        http,
        tcp,
        http_overflow,
        tcp_overflow,
        hosts,
        host_overflow,
    } = *totals;
    page.gauges(
        "meshtap_metric_series",
        "Label sets of Istio's metrics, by group.",
        [
            ([("group", "http")], http as u64),
            ([("group", "tcp")], tcp as u64),
        ],
    )?;
    page.counters(
        "meshtap_metric_overflow",
        "Exchanges and events of connections that went into an overflow series, by group.",
        [
            ([("group", "http")], http_overflow),
            ([("group", "tcp")], tcp_overflow),
        ],
    )?;
    page.gauge(
        "meshtap_metric_hosts",
        "Hosts of requests that are a destination service.",
        hosts as u64,
    )?;
    page.counter(
        "meshtap_metric_host_overflow",
        "Exchanges whose host found no room, and that have the canonical service instead.",
        host_overflow,
    )
}
