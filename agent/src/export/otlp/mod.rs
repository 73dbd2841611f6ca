//! The OTLP exporters: batches of spans, metrics and logs to a collector over gRPC, HTTP/protobuf
//! or HTTP/JSON.
//!
//! What the OpenTelemetry crates are used for, and what not. Metrics ([`metrics`]) and logs
//! ([`logs`]) are collected by `opentelemetry_sdk` and written by the exporters of
//! `opentelemetry-otlp`; an HTTP client of ours ([`written`]) takes what they write. Spans are
//! written straight into protobuf as they are made ([`batch`]): the library's `SpanExporter` (0.33)
//! takes one resource per exporter where a node has one per pod, and copies every batch for each
//! attempt (`SpanData` owns its strings). All three are delivered in one way, under the rules of
//! the OTLP specification ([`response`], [`retry`], [`worker`]), with hyper ([`client`]): the
//! library's clients log a partial success but do not return it, and the BPF programs cannot hear
//! of their connections, and would capture them. `opentelemetry-proto` gives the generated
//! messages, with which responses are read, JSON is written, and the tests decode what this module
//! encodes.

mod batch;
mod client;
mod config;
mod connect;
mod encode;
mod endpoint;
pub mod environment;
mod greet;
mod greeting;
mod histograms;
mod logs;
mod metrics;
mod notices;
mod points;
mod proxy;
mod response;
mod retry;
mod settings;
mod signal;
mod tls;
mod tunnel;
mod wire;
mod worker;
mod written;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handle::{Channel, Encode, Input};
use super::{Batch, OwnSockets};
use crate::signal::access_log::Rules;
use crate::signal::span::{Resource, ResourceValue, Scope, Span, Value};

pub use config::{
    BatchConfig, Compression, Concurrency, MetricsConfig, OtlpConfig, Protocol, QueueConfig,
    RetryConfig, Temporality, TlsConfig,
};
pub use greet::greet;
pub use metrics::MetricSource;
pub use proxy::Proxy;
pub use settings::Settings;
pub use signal::{Signal, Signals};

/// What collects a signal, on threads of its own.
#[derive(Debug)]
pub(super) enum Provider {
    Metrics(opentelemetry_sdk::metrics::SdkMeterProvider),
    Logs(opentelemetry_sdk::logs::SdkLoggerProvider),
}

impl Provider {
    /// Exports metrics to a destination. `None`: it cannot, and that is logged.
    pub(super) fn metrics(
        settings: &Settings,
        source: &MetricSource,
        channel: &Arc<Channel>,
    ) -> Option<Self> {
        metrics::provider(settings, source, channel).map(Self::Metrics)
    }

    /// Exports logs to a destination, and what makes a worker's end of it.
    pub(super) fn logs(
        settings: &Settings,
        rules: Arc<Rules>,
        channel: &Arc<Channel>,
    ) -> (Self, impl Fn() -> Box<dyn Encode> + Send + Sync + use<>) {
        let provider = logs::provider(settings, channel);
        let (channel, emitting) = (channel.clone(), provider.clone());
        let encoder = move || -> Box<dyn Encode> {
            Box::new(logs::Encoder::new(&rules, &emitting, &channel))
        };
        (Self::Logs(provider), encoder)
    }

    /// Hands on what it has, and ends.
    pub(super) fn end(&self, timeout: std::time::Duration) {
        let result = match self {
            Self::Metrics(provider) => provider.shutdown_with_timeout(timeout),
            Self::Logs(provider) => provider.shutdown_with_timeout(timeout),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "metrics or logs were not all handed on");
        }
    }
}

/// Starts the tasks that deliver a channel's batches. Must be called within the runtime.
pub(super) fn spawn(
    settings: &Settings,
    own: Arc<dyn OwnSockets>,
    channel: &Arc<Channel>,
    stop: &watch::Sender<Option<Instant>>,
    tasks: &mut JoinSet<()>,
) {
    let destination = Arc::new(worker::Destination::new(
        client::Client::new(settings, own),
        settings.retry.clone(),
        channel.clone(),
    ));
    for _ in 0..settings.concurrency {
        tasks.spawn(destination.clone().run(stop.subscribe()));
    }
}

/// Encodes spans into requests (`ExportTraceServiceRequest`).
#[derive(Debug)]
pub struct Requests {
    builder: batch::Builder,
    /// Longest span that is sent with its bodies.
    longest: usize,
    /// Kept while their addresses identify the groups of the open batch.
    origins: Vec<(Arc<Resource>, Arc<Scope>)>,
}

impl Requests {
    /// Batches as configured.
    #[must_use]
    pub fn new(config: &BatchConfig) -> Self {
        Self {
            builder: batch::Builder::new(config.bytes.bytes(), config.spans.max(1)),
            longest: longest_span(config, usize::MAX),
            origins: Vec::new(),
        }
    }

    /// For a queue that holds `bytes`: a span that does not fit is sent without its bodies.
    #[must_use]
    pub fn for_queue(mut self, config: &BatchConfig, bytes: usize) -> Self {
        self.longest = longest_span(config, bytes);
        self
    }

    /// Adds a span. Returns the batch that had to be closed to make room, if any.
    pub fn add(&mut self, span: &Span) -> Option<Batch> {
        let len = view(span).len();
        if len > self.longest {
            let light = span.without_bodies();
            let len = view(&light).len();
            return self.push(&light, len);
        }
        self.push(span, len)
    }

    fn push(&mut self, span: &Span, len: usize) -> Option<Batch> {
        let view = view(span);
        let mut unseen = false;
        let origin = || {
            unseen = true;
            batch::Origin {
                resource: encode::resource(resource_pairs(&span.resource)),
                scope: encode::scope(&span.scope.name, &span.scope.version),
            }
        };
        let resource = Arc::as_ptr(&span.resource) as usize;
        let key = (resource, Arc::as_ptr(&span.scope) as usize);
        let closed = self.builder.add(key, origin, len, |out| view.write(out));
        if closed.is_some() {
            self.origins.clear();
        }
        if unseen {
            self.origins
                .push((span.resource.clone(), span.scope.clone()));
        }
        closed
    }

    /// Ends the open batch, if it holds anything.
    pub fn close(&mut self) -> Option<Batch> {
        self.origins.clear();
        self.builder.close()
    }
}

/// What a collector takes at a time by default: the limit of gRPC servers.
const RECEIVER_LIMIT: usize = 4 * 1024 * 1024;
/// Room for what a request holds besides a span: its resource and scope.
const ORIGIN_ROOM: usize = 64 * 1024;

/// A collector takes [`RECEIVER_LIMIT`], or more if batches are configured to be larger; the queue
/// must have room, too.
fn longest_span(config: &BatchConfig, queue: usize) -> usize {
    let most = RECEIVER_LIMIT.max(config.bytes.bytes()).min(queue);
    most - ORIGIN_ROOM.min(most / 2)
}

impl Encode for Requests {
    fn add(&mut self, input: Input<'_>) -> Option<Batch> {
        match input {
            Input::Span(span) => self.add(span),
            Input::Exchange(..) => None,
        }
    }

    fn close(&mut self) -> Option<Batch> {
        self.close()
    }
}

fn resource_pairs(resource: &Resource) -> impl Iterator<Item = (&str, Value<'_>)> {
    resource.attributes.iter().map(|(key, value)| {
        let value = match value {
            ResourceValue::Str(text) => Value::Str(text),
            ResourceValue::Int(number) => Value::Int(*number),
        };
        (key.as_str(), value)
    })
}

fn view(span: &Span) -> encode::View<'_, impl Iterator<Item = (&str, Value<'_>)> + Clone> {
    encode::View {
        trace_id: span.context.trace.0,
        span_id: span.context.span.0,
        parent: span.parent().map(|parent| parent.0),
        trace_state: "",
        flags: u32::from(span.context.flags),
        name: span.name(),
        kind: u64::from(span.kind as u8),
        start: span.start,
        end: span.end,
        status: u64::from(span.status as u8),
        attributes: span.attributes.iter(),
    }
}
