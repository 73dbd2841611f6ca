//! Istio's metrics: meter provider → periodic reader → exporter → the queue of a destination.
//!
//! The series are those of `/stats/prometheus`, read at the moment of an export: nothing is counted
//! twice. Counters are observable instruments. The SDK has no instrument for a histogram that
//! exists already, and no exemplars (0.33); so the exporter adds histograms to the request that is
//! written, as a metric producer would (OpenTelemetry's specification of the metrics SDK,
//! "MetricProducer").

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::metrics::{AsyncInstrument, MeterProvider as _};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use prost::Message as _;

use super::histograms::Histograms;
use super::logs::attributes;
use super::points::Packer;
use super::settings::Settings;
use super::written::Written;
use crate::clock::{WallClock, monotonic};
use crate::export::handle::Channel;
use crate::flow::Nanos;
use crate::signal::metrics::{Family, Metrics, Snapshot, pairs};
use crate::signal::span::Resource;

/// The instrumentation.
const SCOPE: &str = "meshtap";

/// Metrics that are to be exported.
#[derive(Clone, Debug)]
pub struct MetricSource {
    /// The series.
    pub metrics: Arc<Metrics>,
    /// What exports them: this agent.
    pub resource: Arc<Resource>,
}

/// All series at the moment of an export.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) snapshot: Snapshot,
    pub(super) now: Nanos,
    pub(super) clock: WallClock,
}

/// What the instruments of one provider read.
#[derive(Debug)]
struct Series {
    metrics: Arc<Metrics>,
    /// That of the export under way.
    moment: Mutex<Option<Arc<Moment>>>,
}

impl Series {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Moment>>> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moment of the export under way. The first instrument begins it; that of a collection
    /// that found nothing was never taken.
    fn moment(&self, is_first: bool) -> Arc<Moment> {
        let read = || {
            let now = monotonic();
            Arc::new(Moment {
                snapshot: self.metrics.snapshot(now),
                now,
                clock: WallClock::now(),
            })
        };
        let mut moment = self.lock();
        if is_first {
            *moment = None;
        }
        moment.get_or_insert_with(read).clone()
    }

    fn observe(&self, place: usize, family: &Family, instrument: &dyn AsyncInstrument<u64>) {
        let moment = self.moment(place == 0);
        for count in family.counts(&moment.snapshot) {
            let labels = pairs(count.labels)
                .into_iter()
                .map(|(name, value)| KeyValue::new(Key::from(name.to_owned()), value.into_owned()));
            instrument.observe(count.value, &labels.collect::<Vec<_>>());
        }
    }
}

/// Starts to export to a destination, whose batches go into its channel. `None`: it cannot, and
/// that is logged.
pub(super) fn provider(
    settings: &Settings,
    source: &MetricSource,
    channel: &Arc<Channel>,
) -> Option<SdkMeterProvider> {
    let series = Arc::new(Series {
        metrics: source.metrics.clone(),
        moment: Mutex::default(),
    });
    let written = Written::default();
    let exporter = Exporter {
        inner: written.metrics(settings.temporality)?,
        written,
        series: series.clone(),
        histograms: Mutex::new(Histograms::new(settings.temporality)),
        channel: channel.clone(),
        max_bytes: settings.batch.bytes.bytes(),
        max_points: settings.batch.spans.max(1),
    };
    let reader = PeriodicReader::builder(exporter)
        .with_interval(settings.interval)
        .build();
    let resource = opentelemetry_sdk::Resource::builder_empty()
        .with_attributes(attributes(&source.resource))
        .build();
    // Series are bounded where they are counted.
    let unbounded = |_: &Instrument| {
        Stream::builder()
            .with_cardinality_limit(usize::MAX)
            .build()
            .ok()
    };
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_view(unbounded)
        .with_reader(reader)
        .build();
    let scope = InstrumentationScope::builder(SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .build();
    let meter = provider.meter_with_scope(scope);
    let counters = Family::all().iter().filter(|family| !family.is_histogram());
    // The SDK asks instruments in the order in which they were made.
    for (place, family) in counters.enumerate() {
        let series = series.clone();
        meter
            .u64_observable_counter(family.name())
            .with_description(family.help())
            .with_unit(family.unit())
            .with_callback(move |instrument| series.observe(place, family, instrument))
            .build();
    }
    Some(provider)
}

/// Writes requests with the exporter of `opentelemetry-otlp`, adds histograms, and hands them on.
struct Exporter {
    inner: opentelemetry_otlp::MetricExporter,
    written: Written,
    series: Arc<Series>,
    histograms: Mutex<Histograms>,
    channel: Arc<Channel>,
    max_bytes: usize,
    max_points: u64,
}

impl PushMetricExporter for Exporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        let moment = self.series.lock().take();
        let result = result.and_then(|()| {
            let mut bodies = self.written.take().into_iter();
            bodies.try_for_each(|body| self.hand_on(&body, moment.as_deref()))
        });
        if let Err(error) = &result {
            self.channel.delivery.fail(&error.to_string());
        }
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> opentelemetry_sdk::metrics::Temporality {
        self.inner.temporality()
    }
}

impl Exporter {
    fn hand_on(&self, body: &[u8], moment: Option<&Moment>) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::decode(body)
            .map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?;
        let mut histograms = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for resource in request.resource_metrics {
            for scope in resource.scope_metrics {
                let mut packer = Packer::new(
                    (resource.resource.clone(), scope.scope),
                    (self.max_bytes, self.max_points),
                );
                for metric in scope.metrics {
                    packer.add(metric);
                }
                for metric in moment.map(|m| histograms.read(m)).unwrap_or_default() {
                    packer.add(metric);
                }
                for batch in packer.finish() {
                    self.channel.accept(batch.items);
                    self.channel.push(batch);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
