//! What was made to be slow, in every place where a peer can put it: bodies of every media type,
//! targets, and header fields. Prints the dearest of each place, and how its cost grows.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::flow::{CgroupId, Direction, SocketId};
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{Config, Gate};

use super::shapes::{FORMS, INSIDE, MEDIA_TYPES, OPENED, UNITS};
use super::{text, thread_time};

/// Fields whose values are looked at in different ways.
const FIELDS: [&str; 11] = [
    "x-any",
    "user-agent",
    "accept",
    "referer",
    "host",
    "cookie",
    "authorization",
    "forwarded",
    "sec-websocket-protocol",
    "set-cookie",
    "www-authenticate",
];

/// A text, and twice as much.
const SIZES: [usize; 2] = [16 * 1024, 32 * 1024];

/// A text as long as targets and fields of clients are at most.
const SHORT: usize = 1024;

/// Shapes that are shown of each place.
const SHOWN: usize = 3;

/// Where a text stands.
#[derive(Clone, Copy)]
enum Place {
    Body(&'static str),
    Target,
    Field(&'static str),
}

/// What one shape costs: at [`SHORT`] and at [`SIZES`].
struct Cost {
    shape: String,
    short: f64,
    once: f64,
    growth: f64,
}

impl Cost {
    fn most(&self) -> f64 {
        self.short.max(self.once)
    }
}

/// Every place; with a `filter`, those whose name holds it.
pub(super) fn print(filter: Option<&str>) {
    println!(
        "µs per KB                           {:>7} {:>7} {:>7}",
        "1 KB", "16 KB", "growth"
    );
    let bodies = MEDIA_TYPES.map(Place::Body).into_iter();
    let fields = FIELDS.map(Place::Field).into_iter();
    for place in bodies.chain([Place::Target]).chain(fields) {
        let name = match place {
            Place::Body(media_type) => media_type.to_owned(),
            Place::Target => "target".to_owned(),
            Place::Field(name) => format!("field {name}"),
        };
        if filter.is_some_and(|part| !name.contains(part)) {
            continue;
        }
        let mut costs = costs(place);
        println!("{name}");
        costs.sort_by(|one, other| other.most().total_cmp(&one.most()));
        let mut grown: Vec<&Cost> = costs.iter().skip(SHOWN).collect();
        grown.sort_by(|one, other| other.growth.total_cmp(&one.growth));
        for cost in costs.iter().take(SHOWN).chain(grown.into_iter().take(1)) {
            println!(
                "    {:32}{:>7.1} {:>7.1} {:>7.2}",
                cost.shape, cost.short, cost.once, cost.growth
            );
        }
    }
}

fn costs(place: Place) -> Vec<Cost> {
    let alone = UNITS.iter().chain(&FORMS).map(|unit| ("", *unit));
    let opened = OPENED
        .iter()
        .flat_map(|first| INSIDE.iter().map(|unit| (*first, *unit)));
    let config = match place {
        Place::Body(_) | Place::Target => Config::default(),
        Place::Field(_) => Config::everything(),
    };
    let mut gate = Gate::new(&policy::Config::default(), &config).unwrap();
    let mut cost = |(first, unit): (&str, &str)| {
        let [short, once, twice] = [SHORT, SIZES[0], SIZES[1]]
            .map(|len| time(&mut gate, place, &text(first, unit, len)).as_secs_f64() * 1e6);
        Cost {
            shape: format!("{first:?} {unit:?}"),
            short: short / (SHORT as f64 / 1024.0),
            once: once / (SIZES[0] as f64 / 1024.0),
            growth: twice / once,
        }
    };
    alone.chain(opened).map(&mut cost).collect()
}

/// Best time of one look.
fn time(gate: &mut Gate, place: Place, text: &[u8]) -> Duration {
    /// Longest measurement.
    const TIME: Duration = Duration::from_micros(1500);
    const LEAST: usize = 5;
    let exchange = match place {
        Place::Body(_) => None,
        Place::Target => Some(exchange(&target(text), "x: y")),
        Place::Field(name) => Some(exchange("/", &format!("{name}: {}", value(text)))),
    };
    let clock = WallClock { offset: 0 };
    let (mut best, mut spent, mut rounds) = (Duration::MAX, Duration::ZERO, 0);
    while spent < TIME || rounds < LEAST {
        let exchange = exchange.clone();
        let start = thread_time();
        match (place, exchange) {
            (Place::Body(media_type), _) => {
                let found = gate.redactor.redact_text(media_type.as_bytes(), text);
                let _ = black_box(found);
            }
            (_, Some(exchange)) => {
                let passed = gate.pass(exchange, &PolicyContext::default(), &clock);
                let _ = black_box(passed);
            }
            (_, None) => {}
        }
        let took = thread_time() - start;
        best = best.min(took);
        spent += took;
        rounds += 1;
    }
    best
}

/// A target has no white space.
fn target(text: &[u8]) -> String {
    let text: String = text.iter().copied().map(char::from).collect();
    format!("/{}", text.replace(|c: char| c.is_ascii_whitespace(), "+"))
}

/// A field's value is one line.
fn value(text: &[u8]) -> String {
    let text: String = text.iter().copied().map(char::from).collect();
    text.replace(|c: char| c.is_ascii_control(), " ")
}

fn exchange(target: &str, field: &str) -> Exchange {
    let request = format!("GET {target} HTTP/1.1\r\n{field}\r\n\r\n");
    let response = "HTTP/1.1 204 No Content\r\n\r\n";
    exchange_of(request.into_bytes(), response.into())
}

/// The exchange of these two messages.
pub(super) fn exchange_of(request: Vec<u8>, response: Vec<u8>) -> Exchange {
    let limits = Limits {
        head: 64 * 1024,
        ..Limits::default()
    };
    let mut engine = Engine::new(limits);
    let mut output = Output::default();
    let (request, response): (&'static [u8], &'static [u8]) = (request.leak(), response.leak());
    let next = 1 + u32::try_from(request.len()).unwrap();
    let ways = [
        (Direction::Ingress, 1, request),
        (Direction::Egress, next, response),
    ];
    for (direction, ack, payload) in ways {
        let addresses: (SocketAddr, SocketAddr) =
            (([10, 1, 0, 1], 8080).into(), ([10, 1, 0, 7], 40000).into());
        let segment = Segment {
            time: 1,
            cgroup: CgroupId(1),
            seq: 1,
            ack,
            expected: 1,
            start: true,
            ..Segment::new(
                SocketId(1),
                direction,
                (addresses.0.into(), addresses.1.into()),
                payload,
            )
        };
        engine.event(&Event::Tcp(segment), &mut output);
    }
    engine.finish(2, &mut output);
    output.exchanges.pop().unwrap()
}
