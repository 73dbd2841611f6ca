//! gRPC as Rust's programs speak it: tonic's server and client. A message is its bytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use meshtap_tests::{Tap, live};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::calls::{METADATA, SERVER};
use crate::grpc::check_kinds;
use crate::peers::{MAX_HEADER_LIST, Server, block_on};

type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

async fn unary(kind: String, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    match kind.as_str() {
        "Fail" => return Err(Status::not_found("no such item")),
        // Until the client has enough of it.
        "Slow" | "Cancel" => std::future::pending().await,
        _ => {}
    }
    let large = request.metadata().get("x-large").cloned();
    let mut response = Response::new(request.into_inner());
    if let Some(large) = large {
        response.metadata_mut().insert("x-large", large);
    }
    Ok(response)
}

async fn ten(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let messages = vec![Ok(request.into_inner()); 10];
    Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
}

async fn first(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut messages = request.into_inner();
    let first = messages.message().await?.unwrap_or_default();
    while messages.message().await?.is_some() {}
    Ok(Response::new(first))
}

async fn echo(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    Ok(Response::new(Box::pin(request.into_inner())))
}

async fn respond(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let path = request.uri().path();
    let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut grpc = Grpc::new(Raw);
    Ok(match kind.as_str() {
        "ServerStream" => grpc.server_streaming(service_fn(ten), request).await,
        "ClientStream" => grpc.client_streaming(service_fn(first), request).await,
        "Bidi" => grpc.streaming(service_fn(echo), request).await,
        _ => {
            let service = service_fn(move |request: Request<Bytes>| unary(kind.clone(), request));
            grpc.unary(service, request).await
        }
    })
}

/// A server, until dropped.
pub fn server() -> Server {
    Server::run(|ready| async move {
        let incoming = TcpIncoming::bind(SERVER).expect("bind");
        ready.send(()).expect("a waiting test");
        tonic::transport::Server::builder()
            .http2_max_header_list_size(MAX_HEADER_LIST)
            .serve_with_incoming(service_fn(respond), incoming.with_nodelay(Some(true)))
            .await
            .expect("serve");
    })
}

async fn all(messages: Streaming<Bytes>) -> Vec<Bytes> {
    let messages: Vec<_> = messages.collect().await;
    let messages = messages.into_iter().collect::<Result<_, _>>();
    messages.expect("messages")
}

async fn calls() {
    let channel = Channel::from_shared(format!("http://{SERVER}"))
        .expect("an address")
        .http2_max_header_list_size(MAX_HEADER_LIST)
        .connect()
        .await
        .expect("connect");
    let mut client = Client::new(channel);
    let path = |kind: &str| PathAndQuery::try_from(format!("/test.T/{kind}")).expect("a path");
    let one = || Request::new(Bytes::from("one"));
    let three = || Request::new(tokio_stream::iter(["one", "", "three"].map(Bytes::from)));
    client.ready().await.expect("ready");
    let got = client.unary(one(), path("Unary"), Raw).await;
    assert_eq!(got.expect("a response").into_inner(), "one");
    client.ready().await.expect("ready");
    let got = client.server_streaming(one(), path("ServerStream"), Raw);
    let got = got.await.expect("a response").into_inner();
    assert_eq!(all(got).await, vec!["one"; 10]);
    client.ready().await.expect("ready");
    let got = client.client_streaming(three(), path("ClientStream"), Raw);
    assert_eq!(got.await.expect("a response").into_inner(), "one");
    client.ready().await.expect("ready");
    let got = client.streaming(three(), path("Bidi"), Raw);
    let got = got.await.expect("a response").into_inner();
    assert_eq!(all(got).await, ["one", "", "three"]);
    client.ready().await.expect("ready");
    let got: Result<Response<Bytes>, _> = client.unary(one(), path("Fail"), Raw).await;
    assert_eq!(got.expect_err("a status").code(), Code::NotFound);
    let mut slow = one();
    slow.set_timeout(Duration::from_millis(50));
    client.ready().await.expect("ready");
    let got: Result<Response<Bytes>, _> = client.unary(slow, path("Slow"), Raw).await;
    let code = got.expect_err("a status").code();
    assert!(
        matches!(code, Code::Cancelled | Code::DeadlineExceeded),
        "{code}"
    );
    client.ready().await.expect("ready");
    let call = client.unary(one(), path("Cancel"), Raw);
    let late = tokio::time::timeout(Duration::from_millis(50), call).await;
    assert!(late.is_err(), "nothing comes");
    let mut large = one();
    let value = "m".repeat(METADATA).parse().expect("a value");
    large.metadata_mut().insert("x-large", value);
    client.ready().await.expect("ready");
    let got = client.unary(large, path("Large"), Raw).await;
    let got = got.expect("a response");
    let value = got.metadata().get("x-large").expect("metadata");
    assert_eq!(value.as_encoded_bytes().len(), METADATA);
}

#[test]
fn calls_of_each_kind() {
    live(|bench| {
        let _server = server();
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        block_on(calls());
        let report = tap.finish();
        assert_eq!(report.exchanges.len(), 8, "{:#?}", report.lines);
        check_kinds(&report);
    });
}
