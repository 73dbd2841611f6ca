//! A collector that replies as a script says, over HTTP/1.1 and over gRPC, and keeps what it was
//! sent.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What to do with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Takes it.
    Take,
    /// Takes it but for so many spans.
    Reject(i64),
    /// An HTTP status, with `Retry-After` if given.
    Http(u16, Option<&'static str>),
    /// A gRPC status, with `RetryInfo` if given.
    Grpc(i32, Option<Duration>),
    /// Never replies.
    Hang,
    /// Closes the connection with the request read in part.
    CloseEarly,
    /// Closes the connection once the request is read, without an reply.
    CloseLate,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    /// The message alone: gRPC's prefix and the compression taken off.
    pub(crate) payload: Vec<u8>,
    pub(crate) request: ExportTraceServiceRequest,
    pub(crate) taken: bool,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    otherwise: Option<Reply>,
    received: Vec<Received>,
    /// Requests started, read or not.
    started: usize,
}

/// The collector. Ends when dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
    runtime: Option<Runtime>,
}

impl Fake {
    /// Follows `script`, then gives `otherwise` for ever.
    pub(crate) fn start(script: Vec<Reply>, otherwise: Reply) -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), script, otherwise)
    }

    pub(crate) fn listen(address: SocketAddr, script: Vec<Reply>, otherwise: Reply) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((
            Mutex::new(State {
                script: script.into(),
                otherwise: Some(otherwise),
                ..State::default()
            }),
            Condvar::new(),
        ));
        runtime.spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Gives another reply from now on.
    pub(crate) fn reply(&self, reply: Reply) {
        self.shared.0.lock().unwrap().otherwise = Some(reply);
    }

    /// Waits until `enough` of what came so far.
    pub(crate) fn wait_until(&self, enough: impl Fn(usize, &[Received]) -> bool) {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        let (_state, wait) = changed
            .wait_timeout_while(state, Duration::from_secs(120), |state| {
                !enough(state.started, &state.received)
            })
            .unwrap();
        assert!(!wait.timed_out(), "what was expected did not come");
    }

    /// What came so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.0.lock().unwrap().received.clone()
    }

    /// A text attribute of the span of this target, among those that were taken.
    pub(crate) fn text(&self, target: &str, key: &str) -> Option<String> {
        let received = self.received();
        let resources = received.iter().flat_map(|r| &r.request.resource_spans);
        let spans = resources.flat_map(|r| r.scope_spans.iter().flat_map(|scope| &scope.spans));
        let text = |span: &Span, key: &str| {
            let pair = span.attributes.iter().find(|pair| pair.key == key)?;
            match pair.value.as_ref()?.value.as_ref()? {
                Value::StringValue(text) => Some(text.clone()),
                _ => None,
            }
        };
        let mut spans = spans.filter(|span| text(span, "http.target").as_deref() == Some(target));
        text(spans.next().expect("the span"), key)
    }

    /// How often each span was taken, by its request's target.
    pub(crate) fn taken(&self) -> HashMap<String, usize> {
        let mut names = HashMap::new();
        for received in self.received().iter().filter(|received| received.taken) {
            for name in names_of(&received.request) {
                *names.entry(name).or_default() += 1;
            }
        }
        names
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The port is free when this returns: somebody may listen there again.
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

/// The target of each span's request.
pub(crate) fn names_of(request: &ExportTraceServiceRequest) -> Vec<String> {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    let spans = scopes.flat_map(|scope| &scope.spans);
    let attributes = spans.map(|span| span.attributes.iter());
    let target = attributes.map(|mut all| all.find(|a| a.key == "http.target").unwrap());
    target
        .map(
            |pair| match pair.value.as_ref().and_then(|v| v.value.as_ref()) {
                Some(Value::StringValue(text)) => text.clone(),
                other => panic!("{other:?}"),
            },
        )
        .collect()
}

async fn accept(listener: TcpListener, shared: Arc<(Mutex<State>, Condvar)>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            let (io, cut) = Cut::new(stream);
            let service = service_fn(|request| serve(request, shared.clone(), cut.clone()));
            // Connections break here on purpose.
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(io), service)
                .await;
        });
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn serve(
    request: Request<Incoming>,
    shared: Arc<(Mutex<State>, Condvar)>,
    cut: Arc<Mutex<bool>>,
) -> Result<Response<Body>, io::Error> {
    let (state, changed) = &*shared;
    let reply = {
        let mut state = state.lock().unwrap();
        state.started += 1;
        changed.notify_all();
        let next = state.script.pop_front();
        next.or_else(|| state.otherwise.clone()).unwrap()
    };
    let broken = || io::Error::new(io::ErrorKind::ConnectionAborted, "on purpose");
    if matches!(reply, Reply::CloseEarly) {
        *cut.lock().unwrap() = true;
        return Err(broken());
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let kind = head.headers[header::CONTENT_TYPE]
        .to_str()
        .unwrap()
        .to_owned();
    let payload = plain(&kind, &head.headers, &body);
    let request = decode(&kind, &payload);
    let taken = matches!(reply, Reply::Take | Reply::Reject(_));
    state.lock().unwrap().received.push(Received {
        at: Instant::now(),
        headers: head.headers,
        payload,
        request,
        taken,
    });
    changed.notify_all();
    match reply {
        Reply::Take => Ok(success(&kind, 0)),
        Reply::Reject(spans) => Ok(success(&kind, spans)),
        Reply::Http(status, after) => {
            let mut response = respond(Vec::new(), None);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if let Some(after) = after {
                let value = after.parse().unwrap();
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            Ok(response)
        }
        Reply::Grpc(code, retry) => Ok(respond(Vec::new(), Some(trailers(code, retry)))),
        Reply::Hang => std::future::pending().await,
        Reply::CloseEarly | Reply::CloseLate => {
            *cut.lock().unwrap() = true;
            Err(broken())
        }
    }
}

fn plain(kind: &str, headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let gunzip = |data: &[u8]| {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(data)
            .read_to_end(&mut plain)
            .unwrap();
        plain
    };
    let (compressed, data) = match kind {
        "application/grpc" => {
            let len = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
            assert_eq!(body.len(), 5 + len, "length prefix");
            assert_eq!(headers[header::TE], "trailers");
            if body[0] == 1 {
                assert_eq!(headers["grpc-encoding"], "gzip");
            }
            (body[0] == 1, &body[5..])
        }
        _ => (headers.get(header::CONTENT_ENCODING).is_some(), &body[..]),
    };
    if compressed {
        gunzip(data)
    } else {
        data.to_vec()
    }
}

fn decode(kind: &str, payload: &[u8]) -> ExportTraceServiceRequest {
    match kind {
        "application/json" => serde_json::from_slice(payload).unwrap(),
        "application/grpc" | "application/x-protobuf" => {
            ExportTraceServiceRequest::decode(payload).unwrap()
        }
        other => panic!("content type {other}"),
    }
}

fn success(kind: &str, rejected: i64) -> Response<Body> {
    // ExportTraceServiceResponse { partial_success { rejected_spans, error_message } }
    let mut message = Vec::new();
    if rejected > 0 {
        message = vec![0x0a, 6, 0x08, rejected as u8, 0x12, 2, b'n', b'o'];
    }
    match kind {
        "application/json" if rejected > 0 => {
            let text = format!("{{\"partialSuccess\":{{\"rejectedSpans\":\"{rejected}\"}}}}");
            respond(text.into_bytes(), None)
        }
        "application/json" => respond(b"{}".to_vec(), None),
        "application/grpc" => {
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(message.len() as u32);
            framed.put_slice(&message);
            respond(framed.to_vec(), Some(trailers(0, None)))
        }
        _ => respond(message, None),
    }
}

fn trailers(code: i32, retry: Option<Duration>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    if let Some(delay) = retry {
        // Status { details: [Any { type_url, value: RetryInfo { retry_delay: seconds } }] }, all
        // lengths below 128.
        let url = b"type.googleapis.com/google.rpc.RetryInfo";
        let mut any = vec![0x0a, url.len() as u8];
        any.extend_from_slice(url);
        any.extend_from_slice(&[0x12, 4, 0x0a, 2, 0x08, delay.as_secs() as u8]);
        let mut status = vec![0x1a, any.len() as u8];
        status.extend(any);
        let text = base64(&status);
        trailers.insert("grpc-status-details-bin", text.parse().unwrap());
    }
    trailers
}

/// RFC 4648 §4, without padding, as gRPC writes binary metadata.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let value = (0..3).fold(0_u32, |v, i| {
            (v << 8) | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(value >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

fn respond(body: Vec<u8>, trailers: Option<HeaderMap>) -> Response<Body> {
    let grpc = trailers.is_some();
    let frames = std::iter::once(Frame::data(Bytes::from(body)))
        .chain(trailers.map(Frame::trailers))
        .map(Ok::<_, Infallible>)
        .collect::<Vec<_>>();
    let mut response = Response::new(StreamBody::new(Frames(frames.into())).boxed());
    if grpc {
        let value = "application/grpc".parse().unwrap();
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

struct Frames(VecDeque<Result<Frame<Bytes>, Infallible>>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop_front())
    }
}

/// A connection that can be cut off under the server's feet.
struct Cut {
    stream: TcpStream,
    cut: Arc<Mutex<bool>>,
}

impl Cut {
    fn new(stream: TcpStream) -> (Self, Arc<Mutex<bool>>) {
        let cut = Arc::new(Mutex::new(false));
        let this = Self {
            stream,
            cut: cut.clone(),
        };
        (this, cut)
    }

    fn check(&self) -> io::Result<()> {
        if *self.cut.lock().unwrap() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
