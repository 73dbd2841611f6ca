//! The library's way: `SpanData` of `opentelemetry_sdk`, its batch processor, and the
//! `SpanExporter` of `opentelemetry-otlp`, one for each resource.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use meshtap::signal::span::{Kind, Resource, ResourceValue, Span, Status, Value};
use opentelemetry::trace::{SpanContext, SpanKind, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, SpanId, StringValue};
use opentelemetry::{TraceFlags, TraceId};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::runtime::Runtime;

/// Names of attributes, which a program that makes `SpanData` itself would have as constants.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<&'static str>);

impl Names {
    pub(super) fn of(&mut self, span: &Span) -> Vec<&'static str> {
        let names = span
            .attributes
            .iter()
            .map(|(key, _)| match self.0.get(key) {
                Some(name) => name,
                None => {
                    let name: &'static str = key.to_owned().leak();
                    self.0.insert(name);
                    name
                }
            });
        names.collect()
    }
}

/// A span as the library has it: texts are its own.
pub(super) fn data(span: &Span, names: &[&'static str], scope: &InstrumentationScope) -> SpanData {
    let time = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    let attributes = span.attributes.iter().zip(names);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.context.trace.0),
            SpanId::from_bytes(span.context.span.0),
            // The processor takes no others.
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span
            .parent()
            .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.0)),
        parent_span_is_remote: true,
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name().to_owned().into(),
        start_time: time(span.start),
        end_time: time(span.end),
        attributes: attributes
            .map(|((_, value), name)| KeyValue::new(*name, owned(value)))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.status {
            Status::Unset => opentelemetry::trace::Status::Unset,
            Status::Error => opentelemetry::trace::Status::error(""),
        },
        instrumentation_scope: scope.clone(),
    }
}

fn owned(value: Value<'_>) -> opentelemetry::Value {
    match value {
        Value::Str(text) => text.to_owned().into(),
        Value::Int(number) => number.into(),
        Value::Bool(truth) => truth.into(),
        Value::List(list) => {
            let texts = list.iter().map(|text| StringValue::from(text.to_owned()));
            opentelemetry::Value::Array(Array::String(texts.collect()))
        }
    }
}

pub(super) fn scope(span: &Span) -> InstrumentationScope {
    InstrumentationScope::builder(span.scope.name.clone())
        .with_version(span.scope.version.clone())
        .build()
}

pub(super) fn resource(resource: &Resource) -> opentelemetry_sdk::Resource {
    let attributes = resource.attributes.iter().map(|(key, value)| match value {
        ResourceValue::Str(text) => KeyValue::new(key.clone(), text.clone()),
        ResourceValue::Int(number) => KeyValue::new(key.clone(), *number),
    });
    opentelemetry_sdk::Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}

/// An exporter that hands its requests to `client`.
pub(super) fn exporter(client: impl HttpClient + 'static, endpoint: &str) -> SpanExporter {
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_max_request_body_size(usize::MAX)
        .build()
        .unwrap()
}

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// Keeps the last request, and sends nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(Arc<Mutex<Bytes>>);

impl Kept {
    pub(super) fn take(&self) -> Bytes {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl HttpClient for Kept {
    fn send_bytes<'life, 'result>(&'life self, request: Request<Bytes>) -> Sent<'result>
    where
        'life: 'result,
        Self: 'result,
    {
        *self.0.lock().unwrap() = request.into_body();
        Box::pin(std::future::ready(Ok(Response::default())))
    }
}

/// Sends as our exporter does: hyper's client, on a runtime with two threads.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    runtime: Arc<Runtime>,
}

impl Sender {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self {
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http(),
            runtime: Arc::new(runtime),
        }
    }

    /// Waits for what sends with it.
    pub(super) fn wait<T>(&self, sent: impl Future<Output = T>) -> T {
        self.runtime.block_on(sent)
    }
}

impl HttpClient for Sender {
    fn send_bytes<'life, 'result>(&'life self, request: Request<Bytes>) -> Sent<'result>
    where
        'life: 'result,
        Self: 'result,
    {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let response = http.request(request.map(Full::new)).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        });
        Box::pin(async move { sent.await? })
    }
}
