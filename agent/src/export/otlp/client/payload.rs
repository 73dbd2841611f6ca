//! A batch in the form in which it is sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;

use super::super::config::{Compression, Protocol};
use super::super::signal::Signal;
use crate::export::Batch;

/// A batch in the form in which it is sent, made once for all attempts. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub(in super::super) struct Payload {
    parts: VecDeque<Bytes>,
    len: u64,
}

impl Payload {
    /// Gives a batch its final form.
    ///
    /// # Errors
    /// When it cannot be written in JSON, which would be an error of the encoder.
    pub(super) fn new(
        batch: &Batch,
        signal: Signal,
        protocol: Protocol,
        compression: Compression,
    ) -> Result<Self, String> {
        let mut parts: VecDeque<Bytes> = match protocol {
            Protocol::HttpJson => [json(batch, signal)?].into(),
            Protocol::Grpc | Protocol::HttpProtobuf => batch.parts.iter().cloned().collect(),
        };
        if compression == Compression::Gzip {
            parts = [gzip(&parts).map_err(|error| error.to_string())?].into();
        }
        let len: usize = parts.iter().map(Bytes::len).sum();
        if protocol == Protocol::Grpc {
            let mut prefix = vec![u8::from(compression == Compression::Gzip)];
            let len = u32::try_from(len).map_err(|_| "a batch over 4 GiB".to_owned())?;
            prefix.extend_from_slice(&len.to_be_bytes());
            parts.push_front(prefix.into());
        }
        let len = parts.iter().map(|part| part.len() as u64).sum();
        Ok(Self { parts, len })
    }
}

/// By way of the generated types: the JSON mapping of OTLP has its own rules (hexadecimal ids,
/// numbers for enumerations).
fn json(batch: &Batch, signal: Signal) -> Result<Bytes, String> {
    let message = batch.parts.concat();
    match signal {
        Signal::Traces => json_of::<ExportTraceServiceRequest>(&message),
        Signal::Metrics => json_without_nulls(&message),
        Signal::Logs => json_of::<ExportLogsServiceRequest>(&message),
    }
}

fn json_of<R: prost::Message + Default + serde::Serialize>(
    message: &[u8],
) -> Result<Bytes, String> {
    let request = R::decode(message).map_err(|error| error.to_string())?;
    serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// The generated types write `null` for what a point does not have (the least sample); the
/// Collector refuses a whole request for it.
fn json_without_nulls(message: &[u8]) -> Result<Bytes, String> {
    let request = ExportMetricsServiceRequest::decode(message).map_err(|e| e.to_string())?;
    let mut value = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    remove_nulls(&mut value);
    serde_json::to_vec(&value)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn gzip(parts: &VecDeque<Bytes>) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for part in parts {
        encoder.write_all(part)?;
    }
    encoder.finish().map(Bytes::from)
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.pop_front();
        if let Some(part) = &part {
            self.len = self.len.saturating_sub(part.len() as u64);
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{
        Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric,
    };

    use super::*;

    #[test]
    fn a_histogram_in_json_has_no_null() {
        let point = HistogramDataPoint {
            count: 1,
            sum: Some(0.5),
            bucket_counts: vec![1, 0],
            explicit_bounds: vec![1.0],
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        };
        let metric = Metric {
            name: "a".to_owned(),
            data: Some(metric::Data::Histogram(histogram)),
            ..Metric::default()
        };
        let scope = ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![scope],
                ..ResourceMetrics::default()
            }],
        };
        let batch = Batch {
            parts: vec![request.encode_to_vec().into()],
            ..Batch::default()
        };
        let (json, none) = (Protocol::HttpJson, Compression::None);
        let payload = Payload::new(&batch, Signal::Metrics, json, none).unwrap();
        let text = String::from_utf8(payload.parts[0].to_vec()).unwrap();
        assert!(!text.contains("null"), "{text}");
        let read: ExportMetricsServiceRequest = serde_json::from_str(&text).unwrap();
        assert_eq!(read, request);
    }
}
