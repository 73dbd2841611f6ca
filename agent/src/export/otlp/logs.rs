//! Records of the access log: worker → logger → batch processor → exporter → the queue of a
//! destination.
//!
//! A logger provider has one resource, and a node has one for each pod. So the scope of a logger
//! carries the resource as its attributes, and the exporter turns them into one again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::{InstrumentationScope, Key, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{
    BatchConfigBuilder, BatchLogProcessor, LogBatch, LogExporter, SdkLogRecord, SdkLogger,
    SdkLoggerProvider,
};
use tokio::sync::Mutex;

use super::settings::Settings;
use super::written::Written;
use crate::export::Batch;
use crate::export::handle::{Channel, Encode, Input};
use crate::redact::Sanitized;
use crate::signal::access_log::{Body, Lines, Record, Rules, Severity, Value};
use crate::signal::span::{Resource, ResourceValue};

/// Most records that wait for the batch processor. With a line of 1 KiB and a few attributes each:
/// 16 MiB.
const WAITING: usize = 8192;
/// Most resources that are remembered; a node has 110 pods by default (kubelet's `maxPods`).
const RESOURCES: usize = 512;
/// The instrumentation.
const SCOPE: &str = "meshtap";

/// The provider of one destination, whose batches go into its channel.
pub(super) fn provider(settings: &Settings, channel: &Arc<Channel>) -> SdkLoggerProvider {
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(WAITING)
        .with_max_export_batch_size(records(settings))
        .with_scheduled_delay(settings.batch.age.0)
        .build();
    let exporter = Exporter {
        channel: channel.clone(),
        written: Written::default(),
        made: Mutex::default(),
        max_bytes: settings.batch.bytes.bytes(),
    };
    let processor = BatchLogProcessor::builder(exporter)
        .with_batch_config(config)
        .build();
    SdkLoggerProvider::builder()
        .with_log_processor(processor)
        .build()
}

/// Records of a batch: at most an eighth of what may wait.
fn records(settings: &Settings) -> usize {
    let wanted = usize::try_from(settings.batch.spans).unwrap_or(usize::MAX);
    wanted.clamp(1, WAITING / 8)
}

/// A worker's end.
pub(super) struct Encoder {
    lines: Lines,
    provider: SdkLoggerProvider,
    channel: Arc<Channel>,
    /// By the address of the resource, which is kept.
    loggers: HashMap<usize, (Arc<Resource>, SdkLogger)>,
}

impl Encoder {
    pub(super) fn new(
        rules: &Arc<Rules>,
        provider: &SdkLoggerProvider,
        channel: &Arc<Channel>,
    ) -> Self {
        Self {
            lines: Lines::new(rules.clone()),
            provider: provider.clone(),
            channel: channel.clone(),
            loggers: HashMap::new(),
        }
    }

    fn logger(&mut self, resource: &Arc<Resource>) -> &SdkLogger {
        if self.loggers.len() >= RESOURCES {
            self.loggers.clear();
        }
        let provider = &self.provider;
        let make = || {
            (
                resource.clone(),
                provider.logger_with_scope(scope(resource)),
            )
        };
        let address = Arc::as_ptr(resource) as usize;
        &self.loggers.entry(address).or_insert_with(make).1
    }
}

impl Encode for Encoder {
    fn add(&mut self, input: Input<'_>) -> Option<Batch> {
        let Input::Exchange(sanitized, resource) = input else {
            return None;
        };
        let Some(record) = self.lines.record(sanitized) else {
            self.channel.omit(1);
            return None;
        };
        // The item itself is among those that are being filled. The processor's own queue never
        // overflows: what it drops is known to nobody.
        if self.channel.filling() > WAITING as u64 {
            self.channel.overflow(1);
            return None;
        }
        let logger = self.logger(resource);
        let mut filled = logger.create_log_record();
        fill(&mut filled, record, sanitized);
        logger.emit(filled);
        None
    }

    /// The processor closes its batches by size and age.
    fn close(&mut self) -> Option<Batch> {
        None
    }
}

fn fill(out: &mut SdkLogRecord, record: Record, sanitized: &Sanitized) {
    let time = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
    out.set_timestamp(time(sanitized.started()));
    out.set_observed_timestamp(time(sanitized.ended()));
    let (severity, text) = match record.severity {
        Severity::Info => (opentelemetry::logs::Severity::Info, "INFO"),
        Severity::Warn => (opentelemetry::logs::Severity::Warn, "WARN"),
        Severity::Error => (opentelemetry::logs::Severity::Error, "ERROR"),
    };
    out.set_severity_number(severity);
    out.set_severity_text(text);
    let trace = sanitized.trace();
    out.set_trace_context(
        TraceId::from_bytes(trace.trace.0),
        SpanId::from_bytes(trace.span.0),
        Some(TraceFlags::new(trace.flags)),
    );
    out.set_body(match record.body {
        Body::Text(line) => line.into(),
        Body::Members(members) => {
            let members = members.into_iter().map(|(name, value)| {
                let value = match value {
                    Value::Text(text) => AnyValue::from(text),
                    Value::Number(number) => AnyValue::from(number),
                };
                (Key::from(name), value)
            });
            AnyValue::Map(Box::new(members.collect()))
        }
    });
    out.add_attribute("http.request.method", record.method);
    out.add_attribute("url.path", record.path);
    if let Some(status) = record.status {
        out.add_attribute("http.response.status_code", i64::from(status));
    }
}

/// A scope that carries a resource. Its texts are shared: every record has a copy of it.
fn scope(resource: &Resource) -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_attributes(attributes(resource))
        .build()
}

/// The attributes of a resource, in the SDK's terms.
pub(super) fn attributes(resource: &Resource) -> impl Iterator<Item = KeyValue> {
    resource.attributes.iter().map(|(key, value)| {
        let key = Key::from(Arc::<str>::from(&**key));
        match value {
            ResourceValue::Str(text) => KeyValue::new(key, Arc::<str>::from(&**text)),
            ResourceValue::Int(number) => KeyValue::new(key, *number),
        }
    })
}

/// The exporter of one resource, and the scope as it is exported.
type Made = (Arc<opentelemetry_otlp::LogExporter>, InstrumentationScope);

/// Writes batches with the exporters of `opentelemetry-otlp`, one for each resource.
#[derive(Debug)]
struct Exporter {
    channel: Arc<Channel>,
    written: Written,
    made: Mutex<HashMap<InstrumentationScope, Made>>,
    max_bytes: usize,
}

impl LogExporter for Exporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let mut made = self.made.lock().await;
        if made.len() >= RESOURCES {
            made.clear();
        }
        let mut groups: HashMap<&InstrumentationScope, Vec<&SdkLogRecord>> = HashMap::new();
        for (record, scope) in batch.iter() {
            groups.entry(scope).or_default().push(record);
        }
        let mut open = Open::default();
        let mut result = Ok(());
        for (carrier, records) in groups {
            let items = records.len() as u64;
            let written = match self.exporter(&mut made, carrier) {
                Some((exporter, scope)) => {
                    let records: Vec<_> = records.into_iter().map(|r| (r, &scope)).collect();
                    exporter.export(LogBatch::new(&records)).await
                }
                None => Err(OTelSdkError::InternalFailure("no exporter".to_owned())),
            };
            match written {
                Ok(()) => open.add(self, self.written.take(), items),
                Err(error) => {
                    self.channel.delivery.fail(&error.to_string());
                    self.channel.overflow(items);
                    result = Err(error);
                }
            }
        }
        open.close(self);
        result
    }
}

impl Exporter {
    fn exporter(
        &self,
        made: &mut HashMap<InstrumentationScope, Made>,
        carrier: &InstrumentationScope,
    ) -> Option<Made> {
        if let Some(made) = made.get(carrier) {
            return Some(made.clone());
        }
        let mut exporter = self.written.logs()?;
        let resource = opentelemetry_sdk::Resource::builder_empty()
            .with_attributes(carrier.attributes().cloned())
            .build();
        exporter.set_resource(&resource);
        let scope = InstrumentationScope::builder(SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let new = (Arc::new(exporter), scope);
        made.insert(carrier.clone(), new.clone());
        Some(new)
    }
}

/// Requests of several resources: one after the other they are one, for a repeated field is written
/// so.
#[derive(Default)]
struct Open(Batch);

impl Open {
    fn add(&mut self, exporter: &Exporter, bodies: Vec<Bytes>, items: u64) {
        let bytes: usize = bodies.iter().map(Bytes::len).sum();
        if self.0.bytes + bytes > exporter.max_bytes {
            self.close(exporter);
        }
        self.0.parts.extend(bodies);
        self.0.bytes += bytes;
        self.0.items += items;
    }

    fn close(&mut self, exporter: &Exporter) {
        let batch = std::mem::take(&mut self.0);
        if batch.items > 0 {
            exporter.channel.push(batch);
        }
    }
}

#[cfg(test)]
mod tests;
