//! gRPC by hand, over hyper: a server for calls of each kind, and a client of it. What
//! libraries would not send can be sent.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;

use crate::peers::Outgoing;

/// Where servers of gRPC listen.
pub const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_051);
/// Larger than a frame, and than what HPACK's default table takes.
pub const METADATA: usize = 30_000;

/// A message as it is on the wire.
pub fn envelope(flags: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a short message");
    [&[flags][..], &length.to_be_bytes(), message]
        .concat()
        .into()
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )])
}

/// The messages of a body, as they come.
struct Messages {
    body: Incoming,
    bytes: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Messages {
    fn of(body: Incoming) -> Self {
        Self {
            body,
            bytes: BytesMut::new(),
            trailers: None,
        }
    }

    /// The next one; `None` at the end, or when the other end is gone.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some([_, a, b, c, d]) = self.bytes.first_chunk::<5>() {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if self.bytes.len() >= 5 + length {
                    self.bytes.advance(5);
                    return Some(self.bytes.split_to(length).freeze());
                }
            }
            match self.body.frame().await?.ok()?.into_data() {
                Ok(data) => self.bytes.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }
}

/// What the server does.
pub async fn serve(request: Request<Incoming>) -> Response<Outgoing> {
    let (head, body) = request.into_parts();
    let mut response = Response::builder().header("content-type", "application/grpc");
    if let Some(large) = head.headers.get("x-large") {
        response = response.header("x-large", large);
    }
    let kind = head
        .uri
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    if kind == "Fail" {
        // The client stops where it is when it hears of that.
        let _message = Messages::of(body).next().await;
        let response = response
            .header("grpc-status", "5")
            .header("grpc-message", "no%20such%20item");
        return response.body(Outgoing::whole("")).expect("a response");
    }
    let (outgoing, to) = Outgoing::new();
    tokio::spawn(async move {
        let mut messages = Messages::of(body);
        let mut got = Vec::new();
        // A client that is gone takes nothing.
        while let Some(message) = messages.next().await {
            if kind == "Bidi" {
                let _gone = to.send(Frame::data(envelope(0, &message)));
            }
            got.push(message);
        }
        let first = got.first().cloned().unwrap_or_default();
        match kind.as_str() {
            "Unary" | "Large" | "ClientStream" => {
                let _gone = to.send(Frame::data(envelope(0, &first)));
            }
            "ServerStream" => {
                for _ in 0..10 {
                    let _gone = to.send(Frame::data(envelope(0, &first)));
                }
            }
            // Nothing, until the client has enough of it.
            "Slow" | "Cancel" => to.closed().await,
            _ => {}
        }
        let _gone = to.send(Frame::trailers(trailers("0")));
    });
    response.body(outgoing).expect("a response")
}

/// A call, from its first message to its last; what came back.
pub async fn run(
    sender: &SendRequest<Outgoing>,
    (kind, id): (&str, &str),
    messages: &[Bytes],
    with: &[(&'static str, String)],
) -> Vec<Bytes> {
    let (outgoing, to) = Outgoing::new();
    let mut request = Request::post(format!("http://test/test.T/{kind}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-id", id);
    for (name, value) in with {
        request = request.header(*name, value);
    }
    let request = request.body(outgoing).expect("a request");
    let mut sender = sender.clone();
    for message in messages {
        to.send(Frame::data(message.clone())).expect("a connection");
    }
    drop(to);
    let response = sender.send_request(request).await.expect("a response");
    let mut got = Vec::new();
    let mut incoming = Messages::of(response.into_body());
    while let Some(message) = incoming.next().await {
        got.push(message);
    }
    if let Some(trailers) = incoming.trailers {
        assert_eq!(trailers["grpc-status"], "0");
    }
    got
}
