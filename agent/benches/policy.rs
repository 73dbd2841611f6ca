//! Time that policy and span take per exchange: `cargo bench -p meshtap --bench policy`.
//!
//! Exchanges are made before the clock runs; the best of many rounds is shown, since other work on
//! the machine only adds to it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench is no service"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::flow::{CgroupId, Direction, SocketId};
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{self, Gate, Mode};
use meshtap::signal::span::{self, Origin, Profile, SpanBuilder};

const ROUND: usize = 500;
const ROUNDS: usize = 60;

const REQUEST: &str = "POST /api/v2/orders/1042/items?page=2&sort=price HTTP/1.1\r\nhost: shop.example.com\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\naccept: application/json, text/plain, */*\r\naccept-encoding: gzip, deflate, br\r\naccept-language: en-GB,en;q=0.5\r\ncontent-type: application/json\r\nx-request-id: 6d0f1c9a-3b1e-4c77-9d0e-5b1f1d2c3e4f\r\nx-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: https\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
const SECRETS: &str = "authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U\r\ncookie: sid=31d4d96e407aad42; theme=dark; locale=en\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 07:00:00 GMT\r\nserver: nginx\r\ncontent-type: application/json; charset=utf-8\r\ncache-control: no-store\r\netag: \"5f3e-1a2b3c\"\r\nvary: accept-encoding\r\nx-envoy-upstream-service-time: 12\r\n";

fn json(len: usize) -> String {
    let mut text = String::from("{\"items\":[");
    let mut id = 0;
    while text.len() + 100 < len {
        let _ = write!(
            text,
            "{{\"id\":{id},\"name\":\"article {id}\",\"price\":12.5,\"currency\":\"EUR\",\"in_stock\":true}},"
        );
        id += 1;
    }
    while text.len() + 3 < len {
        text.push(' ');
    }
    text + "{}]}"
}

fn exchange(request: &[u8], response: &[u8]) -> Exchange {
    let mut engine = Engine::new(Limits::default());
    let mut output = Output::default();
    let segment = |direction, seq, ack, payload: &'static [u8]| Segment {
        time: 1,
        cgroup: CgroupId(1),
        seq,
        ack,
        expected: seq,
        start: true,
        ..Segment::new(
            SocketId(1),
            direction,
            (
                "10.1.0.1:8080".parse::<SocketAddr>().unwrap().into(),
                "10.1.0.7:40000".parse::<SocketAddr>().unwrap().into(),
            ),
            payload,
        )
    };
    let (request, response) = (request.to_vec().leak(), response.to_vec().leak());
    let next = 1 + u32::try_from(request.len()).unwrap();
    engine.event(
        &Event::Tcp(segment(Direction::Ingress, 1, 1, request)),
        &mut output,
    );
    engine.event(
        &Event::Tcp(segment(Direction::Egress, 1, next, response)),
        &mut output,
    );
    engine.finish(2, &mut output);
    output.exchanges.pop().unwrap()
}

fn sample(body: usize, secrets: bool) -> Exchange {
    let json = json(body);
    let more = if secrets { SECRETS } else { "" };
    exchange(
        format!("{REQUEST}{more}content-length: {body}\r\n\r\n{json}").as_bytes(),
        format!("{RESPONSE}content-length: {body}\r\n\r\n{json}").as_bytes(),
    )
}

/// Best time of a round, per exchange.
fn best(mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / ROUND as f64
}

fn measure(name: &str, profile: Profile, mode: Mode, exchange: &Exchange) {
    let redaction = redact::Config {
        mode,
        ..redact::Config::default()
    };
    let mut gate = Gate::new(&policy::Config::default(), &redaction).unwrap();
    let builder = SpanBuilder::new(span::Settings {
        profile,
        ..span::Settings::default()
    });
    let clock = WallClock { offset: 0 };
    let mut kept = Vec::with_capacity(ROUND);
    let decide = best(|| {
        let exchanges = vec![exchange.clone(); ROUND];
        kept.clear();
        let start = Instant::now();
        for exchange in exchanges {
            let passed = gate.pass(exchange, &PolicyContext::default(), &clock);
            kept.push(passed.unwrap());
        }
        start.elapsed()
    });
    let build = best(|| {
        let start = Instant::now();
        for sanitized in &kept {
            black_box(builder.build(sanitized, &Origin::default()));
        }
        start.elapsed()
    });
    println!(
        "{name:40} policy {decide:6.0} ns   span {build:6.0} ns   together {:6.0} ns",
        decide + build
    );
}

fn main() {
    for body in [512, 1024, 4096] {
        for secrets in [false, true] {
            let exchange = sample(body, secrets);
            let with = if secrets { ", credentials" } else { "" };
            measure(
                &format!("mesh, 2 x {body} B{with}"),
                Profile::Mesh,
                Mode::On,
                &exchange,
            );
        }
    }
    let exchange = sample(512, true);
    measure(
        "mesh, 2 x 512 B, no redaction",
        Profile::Mesh,
        Mode::Off,
        &exchange,
    );
    measure(
        "semconv, 2 x 512 B, credentials",
        Profile::Semconv,
        Mode::On,
        &exchange,
    );
}
