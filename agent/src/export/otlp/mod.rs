//! The OTLP exporter: batches of spans to a collector over gRPC, HTTP/protobuf or HTTP/JSON.
//!
//! What the OpenTelemetry crates are used for, and what not. `opentelemetry-proto` gives the
//! generated messages, with which responses are read, JSON is written, and the tests decode what
//! this module encodes; `opentelemetry-otlp` the names and defaults of the standard variables. Its
//! `SpanExporter` (0.33) does not fit exact totals of what a node sent: it logs a partial success
//! but does not return it, it takes one resource per exporter where a node has one per pod, it
//! copies every batch for each attempt (`SpanData` owns its strings), and the BPF programs cannot
//! hear of its connections, and would capture them. So spans are written straight into protobuf as
//! they are made ([`batch`]), and requests are made with hyper ([`client`]), under the rules of the
//! OTLP specification ([`response`], [`retry`], [`worker`]).

mod batch;
mod client;
mod config;
mod connect;
mod encode;
mod endpoint;
pub mod environment;
mod greet;
mod greeting;
mod notices;
mod proxy;
mod response;
mod retry;
mod settings;
mod tls;
mod tunnel;
mod wire;
mod worker;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handle::{Channel, Encode, Input};
use super::{Batch, OwnSockets};
use crate::signal::span::{Resource, ResourceValue, Scope, Span, Value};

pub use config::{
    BatchConfig, Compression, Concurrency, OtlpConfig, Protocol, QueueConfig, RetryConfig,
    TlsConfig,
};
pub use greet::greet;
pub use proxy::Proxy;
pub use settings::Settings;

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
            Input::Exchange(_) => None,
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
