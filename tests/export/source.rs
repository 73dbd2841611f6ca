//! Spans to export, made the way all spans are: segments → engine → policy → span.

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{self, Gate};
use meshtap::signal::span::{Origin, Profile, Span, SpanBuilder};

/// One connection on which requests are responseed one after the other.
pub(crate) struct Source {
    engine: Engine,
    gate: Gate,
    builder: SpanBuilder,
    output: Output,
    time: u64,
    request_seq: u32,
    response_seq: u32,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::new(Limits::default()),
            gate: Gate::new(&policy::Config::default(), &redact::Config::default()).unwrap(),
            builder: SpanBuilder::new(meshtap::signal::span::Settings::default()),
            output: Output::default(),
            time: 1,
            request_seq: 1,
            response_seq: 1,
        }
    }

    /// Spans with bodies up to this size, which nobody searches.
    pub(crate) fn with_bodies(size: usize) -> Self {
        let config = redact::Config {
            mode: redact::Mode::Off,
            ..redact::Config::default()
        };
        Self {
            gate: Gate::new(&policy::Config::default(), &config).unwrap(),
            engine: Engine::new(Limits {
                body: size,
                ..Limits::default()
            }),
            ..Self::new()
        }
    }

    /// Spans of this profile.
    pub(crate) fn of(profile: Profile) -> Self {
        Self {
            builder: SpanBuilder::new(meshtap::signal::span::Settings {
                profile,
                sensor_id: "11111111-aaaa-bbbb-cccc-222222222222".into(),
                ..meshtap::signal::span::Settings::default()
            }),
            ..Self::new()
        }
    }

    /// The span of a request for this target, whose response has a body of 1000 bytes.
    pub(crate) fn span(&mut self, target: &str) -> Span {
        let request = format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n");
        let body = "x".repeat(1000);
        let response = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n{body}"
        );
        self.exchange(request.as_bytes(), response.as_bytes())
    }

    /// The span of this request and this response.
    pub(crate) fn exchange(&mut self, request: &[u8], response: &[u8]) -> Span {
        self.segment(Direction::Ingress, request);
        for part in response.chunks(16 * 1024) {
            self.segment(Direction::Egress, part);
        }
        self.time += 1_000_000_000;
        self.engine.expire(self.time, &mut self.output);
        self.take()
    }

    /// The span of this request and of as much of an response as there is when the connection ends.
    pub(crate) fn exchange_to_the_end(mut self, request: &[u8], response: &[u8]) -> Span {
        self.segment(Direction::Ingress, request);
        for part in response.chunks(16 * 1024) {
            self.segment(Direction::Egress, part);
        }
        self.engine.finish(self.time, &mut self.output);
        self.take()
    }

    fn take(&mut self) -> Span {
        let exchange = self.output.exchanges.pop().expect("an exchange");
        assert!(self.output.exchanges.is_empty());
        let clock = WallClock { offset: 0 };
        let passed = self.gate.pass(exchange, &PolicyContext::default(), &clock);
        self.builder.build(
            &passed.expect("nothing is skipped here"),
            &Origin::default(),
        )
    }

    fn segment(&mut self, direction: Direction, payload: &[u8]) {
        let (seq, ack) = match direction {
            Direction::Ingress => (self.request_seq, self.response_seq),
            Direction::Egress => (self.response_seq, self.request_seq),
        };
        self.time += 1000;
        let segment = Segment {
            time: self.time,
            cgroup: CgroupId(1),
            seq,
            ack,
            expected: seq,
            wire_len: payload.len() as u32,
            start: seq == 1,
            ..Segment::new(
                SocketId(1),
                direction,
                (
                    Endpoint::from(std::net::SocketAddr::from(([10, 0, 0, 1], 80))),
                    Endpoint::from(std::net::SocketAddr::from(([10, 0, 0, 2], 40_000))),
                ),
                payload,
            )
        };
        self.engine.event(&Event::Tcp(segment), &mut self.output);
        match direction {
            Direction::Ingress => self.request_seq += payload.len() as u32,
            Direction::Egress => self.response_seq += payload.len() as u32,
        }
    }
}
