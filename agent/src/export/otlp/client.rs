//! One request to a collector, over any of the three protocols.
//!
//! A unary gRPC call is an HTTP/2 POST whose body is one length-prefixed message and whose answer ends with trailers
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>); with hyper's client it shares everything with the HTTP
//! protocols, and an attempt that broke on the way is never mistaken for a status that the server sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{HeaderValue, Request, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use super::answer::{self, Outcome};
use super::config::{Compression, Protocol};
use super::connect::Connector;
use super::settings::Settings;
use crate::export::{Batch, OwnSockets};

/// Longest answer that is read: a partial success with a message, or an error with its details.
const ANSWER_LIMIT: usize = 64 * 1024;
/// An HTTP/2 connection whose other end went away is given up after this much silence, and as long again for the answer to a ping.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// An idle connection is closed before the other end is likely to.
const IDLE: Duration = Duration::from_secs(50);

/// A batch in the form in which it is sent, made once for all attempts.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    parts: VecDeque<Bytes>,
    len: u64,
}

/// Talks to one collector.
#[derive(Debug)]
pub(super) struct Client {
    http: hyper_util::client::legacy::Client<Connector, Payload>,
    template: http::request::Parts,
    protocol: Protocol,
    compression: Compression,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(settings: &Settings, own: Arc<dyn OwnSockets>) -> Self {
        let grpc = settings.protocol == Protocol::Grpc;
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.concurrency)
            .timer(TokioTimer::new())
            .http2_only(grpc)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .build(Connector::new(own, settings.tls.clone()));
        let (mut template, ()) = Request::post(settings.url.clone())
            .body(())
            .unwrap_or_default()
            .into_parts();
        template.headers = head(settings);
        Self {
            http,
            template,
            protocol: settings.protocol,
            compression: settings.compression,
            timeout: settings.timeout,
        }
    }

    /// Gives a batch its final form.
    ///
    /// # Errors
    /// When it cannot be told in JSON, which would be a fault of the encoder.
    pub(super) fn prepare(&self, batch: &Batch) -> Result<Payload, String> {
        let mut parts: VecDeque<Bytes> = match self.protocol {
            Protocol::HttpJson => [json(batch)?].into(),
            Protocol::Grpc | Protocol::HttpProtobuf => batch.parts.iter().cloned().collect(),
        };
        if self.compression == Compression::Gzip {
            parts = [gzip(&parts).map_err(|error| error.to_string())?].into();
        }
        let len: usize = parts.iter().map(Bytes::len).sum();
        if self.protocol == Protocol::Grpc {
            let mut prefix = vec![u8::from(self.compression == Compression::Gzip)];
            let len = u32::try_from(len).map_err(|_| "a batch over 4 GiB".to_owned())?;
            prefix.extend_from_slice(&len.to_be_bytes());
            parts.push_front(prefix.into());
        }
        let len = parts.iter().map(|part| part.len() as u64).sum();
        Ok(Payload { parts, len })
    }

    /// Makes one attempt, bounded by the timeout.
    pub(super) async fn send(&self, payload: Payload) -> Outcome {
        match tokio::time::timeout(self.timeout, self.attempt(payload)).await {
            Ok(Ok(outcome)) => outcome,
            // The connection failed, or what came was cut off: whether the batch arrived is not known.
            Ok(Err(error)) => Outcome::Retry {
                after: None,
                message: answer::printable(&chain(&*error)),
            },
            Err(_) => Outcome::Retry {
                after: None,
                message: format!("no answer within {:?}", self.timeout),
            },
        }
    }

    async fn attempt(&self, payload: Payload) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        let request = Request::from_parts(self.template.clone(), payload);
        let (head, body) = self.http.request(request).await?.into_parts();
        let read = match Limited::new(body, ANSWER_LIMIT).collect().await {
            Ok(read) => Some(read),
            // Its status says all that is needed; a page of that length is no message.
            Err(error) if self.protocol != Protocol::Grpc && error.is::<LengthLimitError>() => None,
            Err(error) => return Err(error),
        };
        let trailers = read.as_ref().and_then(|read| read.trailers().cloned());
        let body = read.map(Collected::to_bytes).unwrap_or_default();
        Ok(match self.protocol {
            Protocol::Grpc => answer::grpc(head.status, &head.headers, trailers.as_ref(), &body),
            protocol => answer::http(
                protocol,
                head.status,
                &head.headers,
                &body,
                SystemTime::now(),
            ),
        })
    }
}

fn head(settings: &Settings) -> http::HeaderMap {
    let mut headers = settings.headers.clone();
    let gzip = settings.compression == Compression::Gzip;
    let content_type = match settings.protocol {
        Protocol::Grpc => "application/grpc",
        Protocol::HttpProtobuf => "application/x-protobuf",
        Protocol::HttpJson => "application/json",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!(
            "meshtap/",
            env!("CARGO_PKG_VERSION")
        )));
    if settings.protocol == Protocol::Grpc {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if gzip {
        let name = match settings.protocol {
            Protocol::Grpc => header::HeaderName::from_static("grpc-encoding"),
            Protocol::HttpProtobuf | Protocol::HttpJson => header::CONTENT_ENCODING,
        };
        headers.insert(name, HeaderValue::from_static("gzip"));
    }
    headers
}

/// By way of the generated types: the JSON mapping of OTLP has its own rules (hexadecimal ids, numbers for enumerations).
fn json(batch: &Batch) -> Result<Bytes, String> {
    let message = batch.parts.concat();
    let request =
        ExportTraceServiceRequest::decode(&*message).map_err(|error| error.to_string())?;
    serde_json::to_vec(&request)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

fn gzip(parts: &VecDeque<Bytes>) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for part in parts {
        encoder.write_all(part)?;
    }
    encoder.finish().map(Bytes::from)
}

/// An error and its causes: hyper's own texts name only the outermost.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
