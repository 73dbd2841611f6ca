//! Exchanges for tests, from plain text.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::exchange::{Exchange, Interim, Peers, Request, Response};
use crate::flow::{CgroupId, ConnectionId, Side, SocketId};
use crate::http::{
    Anomalies, Body, Fields, FieldsBuilder, Framing, Reason, RequestHead, ResponseHead, Slice,
    Unknown, Version,
};

/// An exchange of an HTTP/1 request and its response, whose bodies are all that follows their
/// heads.
pub(crate) fn exchange(request: impl AsRef<[u8]>, response: impl AsRef<[u8]>) -> Exchange {
    let client: SocketAddr = "10.0.0.9:40000".parse().unwrap();
    let server: SocketAddr = "10.0.0.1:8080".parse().unwrap();
    Exchange {
        peers: Arc::new(Peers {
            connection: ConnectionId::socket(SocketId(1)),
            socket: SocketId(1),
            cgroup: CgroupId(1),
            side: Side::Server,
            client: client.into(),
            server: server.into(),
            claimed_client: None,
            claimed_port: None,
            proxied_client: None,
            outer: None,
            secured: None,
            claims: crate::flow::TunnelClaims::default(),
        }),
        request: self::request(request.as_ref()),
        response: Some(self::response(response.as_ref())),
        stream: None,
        offset: crate::flow::Offset::ORIGIN,
        interim: Interim::default(),
        reset: None,
        ended: 0,
        upgrade: false,
        partial: None,
    }
}

fn request(text: &[u8]) -> Request {
    let mut fields = vec![httparse::EMPTY_HEADER; 300];
    let mut parsed = httparse::Request::new(&mut fields);
    let len = parsed.parse(text).unwrap().unwrap();
    let buffer = Bytes::copy_from_slice(&text[..len]);
    let place = |part: &[u8]| place(text, part);
    let target = parsed.path.unwrap();
    let absolute = target
        .split_once("://")
        .filter(|_| !target.starts_with('/'));
    let head = RequestHead {
        method: place(parsed.method.unwrap().as_bytes()),
        target: place(target.as_bytes()),
        authority: absolute
            .map(|(_, rest)| place(rest.split(['/', '?']).next().unwrap().as_bytes())),
        scheme: absolute.map(|(scheme, _)| place(scheme.as_bytes())),
        version: version(parsed.version),
        unknown: Unknown::default(),
        fields: self::fields(text, &buffer, parsed.headers),
    };
    Request {
        began: 1_000,
        ended: 2_000,
        body: body(&text[len..]),
        head,
        anomalies: Anomalies::default(),
    }
}

fn response(text: &[u8]) -> Response {
    let mut fields = vec![httparse::EMPTY_HEADER; 300];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = parsed.parse(text).unwrap().unwrap();
    let buffer = Bytes::copy_from_slice(&text[..len]);
    Response {
        began: 3_000,
        ended: 5_000,
        head: ResponseHead {
            status: parsed.code.unwrap(),
            version: version(parsed.version),
            reason: Reason::default(),
            unknown: Unknown::default(),
            fields: self::fields(text, &buffer, parsed.headers),
        },
        body: body(&text[len..]),
        anomalies: Anomalies::default(),
    }
}

fn fields(text: &[u8], buffer: &Bytes, headers: &[httparse::Header<'_>]) -> Fields {
    let mut builder = FieldsBuilder::new(buffer.clone(), headers.len());
    for header in headers {
        builder.push(
            place(text, header.name.as_bytes()),
            place(text, header.value),
        );
    }
    builder.build()
}

fn place(text: &[u8], part: &[u8]) -> Slice {
    Slice {
        start: u16::try_from(part.as_ptr() as usize - text.as_ptr() as usize).unwrap(),
        len: u16::try_from(part.len()).unwrap(),
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    }
}

/// A whole body.
pub(crate) fn body(bytes: &[u8]) -> Body {
    Body {
        bytes: Bytes::copy_from_slice(bytes),
        size: bytes.len() as u64,
        size_exact: true,
        framing: Framing::Length,
        ..Body::default()
    }
}
