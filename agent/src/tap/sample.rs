//! An exchange for unit tests of the formats.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::View;
use crate::clock::WallClock;
use crate::exchange::{Exchange, Interim, Peers, Request, Response};
use crate::flow::{CgroupId, ConnectionId, Endpoint, Side, SocketId};
use crate::http::{
    Anomalies, Body, Fields, FieldsBuilder, Framing, Reason, RequestHead, ResponseHead, Slice,
    Unknown, Version,
};
use crate::process::Process;
use crate::redact::fixture::sanitize_at;
use crate::redact::{Config, Sanitized};

/// A buffer under construction, and slices of it.
struct Text(Vec<u8>);

impl Text {
    fn add(&mut self, bytes: &[u8]) -> Slice {
        let start = u16::try_from(self.0.len()).expect("short");
        self.0.extend_from_slice(bytes);
        let len = u16::try_from(bytes.len()).expect("short");
        Slice { start, len }
    }
}

fn fields(mut text: Text, pairs: &[(&[u8], &[u8])]) -> Fields {
    let slices: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (text.add(name), text.add(value)))
        .collect();
    let mut builder = FieldsBuilder::new(Bytes::from(text.0), slices.len());
    for (name, value) in slices {
        builder.push(name, value);
    }
    builder.build()
}

pub(crate) fn request_head(method: &[u8], target: &[u8], pairs: &[(&[u8], &[u8])]) -> RequestHead {
    let mut text = Text(Vec::new());
    let method = text.add(method);
    let target = text.add(target);
    RequestHead {
        method,
        target,
        authority: None,
        scheme: None,
        version: Version::Http11,
        unknown: Unknown::default(),
        fields: fields(text, pairs),
    }
}

pub(crate) fn response_head(status: u16, pairs: &[(&[u8], &[u8])]) -> ResponseHead {
    ResponseHead {
        status,
        version: Version::Http11,
        reason: Reason::default(),
        unknown: Unknown::default(),
        fields: fields(Text(Vec::new()), pairs),
    }
}

pub(crate) fn body(bytes: &[u8]) -> Body {
    Body {
        bytes: Bytes::copy_from_slice(bytes),
        size: bytes.len() as u64,
        size_exact: true,
        framing: Framing::Length,
        ..Body::default()
    }
}

/// `POST /cart?id=7` at `shop.example`, with a `201` after 1.5 ms, seen at the server's socket.
pub(crate) fn exchange() -> Exchange {
    let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().expect("an address"));
    Exchange {
        peers: Arc::new(Peers {
            connection: ConnectionId::socket(SocketId(77)),
            socket: SocketId(77),
            cgroup: CgroupId(1),
            side: Side::Server,
            client: end("10.0.0.1:40000"),
            server: end("10.0.0.2:8080"),
            claimed_client: None,
            claimed_port: None,
            proxied_client: None,
            outer: None,
            secured: None,
            claims: crate::flow::TunnelClaims::default(),
        }),
        request: Request {
            began: 1_000_000_000,
            ended: 1_000_400_000,
            head: request_head(
                b"POST",
                b"/cart?id=7",
                &[
                    (b"Host", b"shop.example"),
                    (b"Content-Type", b"application/json"),
                    (b"X-Bytes", b"a\xffb"),
                ],
            ),
            body: body(b"{\"item\":\"t\xc3\xa9\"}"),
            anomalies: Anomalies::default(),
        },
        response: Some(Response {
            began: 1_001_000_000,
            ended: 1_001_500_000,
            head: response_head(
                201,
                &[(b"content-type", b"image/png"), (b"Set-Cookie", b"a=1")],
            ),
            body: body(b"\x89PNG\r\n\x1a\n\0\xff"),
            anomalies: Anomalies::default(),
        }),
        stream: None,
        offset: crate::flow::Offset::ORIGIN,
        interim: Interim::default(),
        reset: None,
        ended: 0,
        upgrade: false,
        partial: None,
    }
}

/// A view of it at 2024-02-29T12:34:56.000000789Z by process `shop` (pid 4321).
pub(crate) fn view(sanitized: &Sanitized) -> View<'_> {
    View {
        sanitized,
        process: Some(Arc::new(Process {
            pid: 4321,
            name: "shop".into(),
        })),
        caller: None,
        clock: CLOCK,
    }
}

const CLOCK: WallClock = WallClock {
    offset: 1_709_210_095_000_000_789,
};

/// As a policy that keeps and hides nothing lets it pass.
pub(crate) fn sanitized(exchange: &Exchange) -> Sanitized {
    let mut config = Config::everything();
    config.switch_off();
    sanitized_by(&config, exchange)
}

pub(crate) fn sanitized_by(config: &Config, exchange: &Exchange) -> Sanitized {
    sanitize_at(config, exchange.clone(), CLOCK.offset)
}
