//! The requests that the exporters of `opentelemetry-otlp` write, kept instead of sent. They are
//! delivered like those of spans: one queue, one client with its TLS, headers and proxies, and
//! totals that know what a destination rejected, which those exporters only log.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{LogExporter, MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics;
use tracing::error;

use super::config::Temporality;

/// Bodies of requests, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Arc<Mutex<Vec<Bytes>>>);

/// An exporter wants a place to send to; nothing is sent there.
const NOWHERE: &str = "http://localhost";

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Written {
    fn send_bytes<'life, 'result>(&'life self, request: Request<Bytes>) -> Sent<'result>
    where
        'life: 'result,
        Self: 'result,
    {
        let mut bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.push(request.into_body());
        Box::pin(std::future::ready(Ok(Response::default())))
    }
}

impl Written {
    /// What was written since.
    pub(super) fn take(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An exporter of metrics that writes here. `None`: it cannot be made, and that is logged.
    pub(super) fn metrics(&self, temporality: Temporality) -> Option<MetricExporter> {
        let exporter = MetricExporter::builder()
            .with_temporality(match temporality {
                Temporality::Cumulative => metrics::Temporality::Cumulative,
                Temporality::Delta => metrics::Temporality::Delta,
            })
            .with_http();
        let complain = |error| error!(%error, "the exporter of metrics cannot be made");
        self.instead_of_http(exporter)
            .build()
            .map_err(complain)
            .ok()
    }

    /// An exporter of logs, likewise.
    pub(super) fn logs(&self) -> Option<LogExporter> {
        let exporter = LogExporter::builder().with_http();
        let complain = |error| error!(%error, "the exporter of logs cannot be made");
        self.instead_of_http(exporter)
            .build()
            .map_err(complain)
            .ok()
    }

    fn instead_of_http<B: WithExportConfig + WithHttpConfig>(&self, builder: B) -> B {
        builder
            .with_http_client(self.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(NOWHERE)
            .with_max_request_body_size(usize::MAX)
    }
}
