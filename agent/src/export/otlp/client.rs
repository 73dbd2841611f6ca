//! One request to a collector, over any of the three protocols.
//!
//! A unary gRPC call is an HTTP/2 POST whose body is one length-prefixed message and whose response
//! ends with trailers (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>); with
//! hyper's client it shares everything with the HTTP protocols, and an attempt that broke on the
//! way is never mistaken for a status that the server sent.

mod payload;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub(super) use payload::Payload;

use super::config::{Compression, Protocol};
use super::connect::{Connector, Refusal};
use super::endpoint;
use super::greeting::Expected;
use super::response::{self, End, Outcome, RESPONSE_LIMIT, Reply, one_line};
use super::settings::Settings;
use super::signal::Signal;
use super::worker::Transport;
use crate::export::{Batch, OwnSockets};

/// An HTTP/2 connection whose other end went away is closed after this much silence, and as long
/// again for the response to a ping.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// An idle connection is closed before the other end is likely to.
const IDLE: Duration = Duration::from_secs(50);
/// Longest wait for the text of an error: its status says what is to be done.
const ERROR_TEXT: Duration = Duration::from_secs(1);
/// Shortest header value, and part of one, that is taken for a secret and is not shown in messages.
const SECRET_LEN: usize = 6;

/// Talks to one collector.
#[derive(Debug)]
pub(super) struct Client {
    http: hyper_util::client::legacy::Client<Connector, Payload>,
    template: http::request::Parts,
    signal: Signal,
    protocol: Protocol,
    compression: Compression,
    timeout: Duration,
    refusal: Refusal,
    /// The endpoint as it stands in messages.
    url: String,
}

impl Client {
    pub(super) fn new(settings: &Settings, own: Arc<dyn OwnSockets>) -> Self {
        let grpc = settings.protocol == Protocol::Grpc;
        let refusal = Refusal::default();
        let connector = Connector {
            own,
            tls: settings.tls.clone().map(TlsConnector::from),
            proxy: settings.proxy.clone(),
            expected: if grpc {
                Expected::Http2
            } else {
                Expected::Http1
            },
            refusal: refusal.clone(),
        };
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(settings.concurrency)
            .timer(TokioTimer::new())
            .http2_only(grpc)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .build(connector);
        let (mut template, ()) = Request::post(settings.url.clone())
            .body(())
            .unwrap_or_default()
            .into_parts();
        template.headers = head(settings);
        Self {
            http,
            template,
            signal: settings.signal,
            protocol: settings.protocol,
            compression: settings.compression,
            timeout: settings.timeout,
            refusal,
            url: endpoint::shown(&settings.url, settings.signal, settings.protocol),
        }
    }

    async fn attempt(&self, payload: Payload) -> Outcome {
        let deadline = Instant::now() + self.timeout.min(LONGEST_TIMEOUT);
        let request = Request::from_parts(self.template.clone(), payload);
        let response = match tokio::time::timeout_at(deadline, self.http.request(request)).await {
            Ok(Ok(response)) => {
                self.refusal.take();
                response
            }
            // The connection failed: whether the batch arrived is not known.
            Ok(Err(error)) => {
                return Outcome::Retry {
                    after: None,
                    message: one_line(&self.reason(&error)),
                };
            }
            Err(_) => {
                return Outcome::Retry {
                    after: None,
                    message: format!("no response within {:?}", self.timeout),
                };
            }
        };
        let (head, body) = response.into_parts();
        let deadline = match head.status.is_success() {
            true => deadline,
            false => deadline.min(Instant::now() + ERROR_TEXT),
        };
        let mut reply = Reply {
            status: head.status,
            headers: head.headers,
            trailers: None,
            body: bytes::Bytes::new(),
            end: End::Whole,
        };
        read(body, deadline, &mut reply).await;
        match self.protocol {
            Protocol::Grpc => response::grpc(&reply, SystemTime::now()),
            protocol => response::http(protocol, &reply, SystemTime::now()),
        }
    }

    /// Why a request failed. When the connection was closed before the request was sent, hyper says
    /// only that it was cancelled.
    fn reason(&self, error: &(dyn Error + 'static)) -> String {
        let text = chain(error);
        match self.refusal.take() {
            Some(refusal) if !text.contains(&refusal) => format!("{text}: {refusal}"),
            _ => text,
        }
    }

    /// A message with the endpoint before it, and without the configured headers' values: a server
    /// may repeat them.
    fn complete(&self, message: &str) -> String {
        let mut message = message.to_owned();
        let values = self.template.headers.values().filter(|v| v.is_sensitive());
        for text in values.filter_map(|value| value.to_str().ok()) {
            for part in [text].into_iter().chain(text.split_ascii_whitespace()) {
                if part.len() >= SECRET_LEN {
                    message = message.replace(part, "***");
                }
            }
        }
        format!("{}: {message}", self.url)
    }
}

/// What is longer cannot be added to a clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

impl Transport for Client {
    type Payload = Payload;

    fn prepare(&self, batch: &Batch) -> Result<Payload, String> {
        Payload::new(batch, self.signal, self.protocol, self.compression)
    }

    async fn send(&self, payload: Payload) -> Outcome {
        match self.attempt(payload).await {
            Outcome::Taken { rejected, remark } if remark.is_empty() => {
                Outcome::Taken { rejected, remark }
            }
            Outcome::Taken { rejected, remark } => Outcome::Taken {
                rejected,
                remark: self.complete(&remark),
            },
            Outcome::Retry { after, message } => Outcome::Retry {
                after,
                message: self.complete(&message),
            },
            Outcome::Refused { message } => Outcome::Refused {
                message: self.complete(&message),
            },
        }
    }
}

/// Reads a body to its end, its bound, or the deadline.
async fn read(mut body: Incoming, deadline: Instant, reply: &mut Reply) {
    let mut bytes = BytesMut::new();
    reply.end = loop {
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => break End::Whole,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if bytes.len() + data.len() > RESPONSE_LIMIT => break End::TooLong,
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => reply.trailers = frame.into_trailers().ok(),
            },
            Ok(Some(Err(error))) => break End::Broken(one_line(&chain(&error))),
            Err(_) => break End::Broken("no end within the timeout".to_owned()),
        }
    };
    reply.body = bytes.freeze();
}

fn head(settings: &Settings) -> http::HeaderMap {
    let mut headers = settings.headers.clone();
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
    if settings.compression == Compression::Gzip {
        let name = match settings.protocol {
            Protocol::Grpc => header::HeaderName::from_static("grpc-encoding"),
            Protocol::HttpProtobuf | Protocol::HttpJson => header::CONTENT_ENCODING,
        };
        headers.insert(name, HeaderValue::from_static("gzip"));
    }
    // A proxy that is given the request itself, rather than asked for a connection, reads this.
    let is_plain = settings.url.scheme() == Some(&http::uri::Scheme::HTTP);
    let authorization = settings
        .proxy
        .as_ref()
        .and_then(|p| p.authorization.clone());
    if let Some(value) = authorization.filter(|_| is_plain && settings.protocol != Protocol::Grpc) {
        headers.insert(header::PROXY_AUTHORIZATION, value);
    }
    headers
}

/// An error and its causes: hyper's own texts name only the outermost.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some texts hold their cause's already.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
