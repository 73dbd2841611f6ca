//! What policy and redaction take for an exchange of a client behind a gateway and a service behind
//! Envoy, whose bodies have no secrets.

use std::hint::black_box;
use std::time::Duration;

use meshtap::clock::WallClock;
use meshtap::exchange::Exchange;
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{Config, Gate};

use super::messages::{request, response};
use super::thread_time;
use super::worst::exchange_of;

/// Exchanges of a round: each differs from the others.
const EXCHANGES: u64 = 2000;

/// Prints the time for each size of both bodies together. With `MESHTAP_BENCH_ROUNDS`, so many
/// rounds of the smaller size are made and none is timed: what a profiler is run with.
pub(super) fn print() {
    let rounds = std::env::var("MESHTAP_BENCH_ROUNDS").ok();
    if let Some(rounds) = rounds.and_then(|n| n.parse().ok()) {
        return profiled(rounds);
    }
    let rounds = 15;
    for body in [1024, 4096] {
        let made = made(body);
        let mut gate = Gate::new(&policy::Config::default(), &Config::default()).unwrap();
        let clock = WallClock { offset: 0 };
        let mut best = Duration::MAX;
        for _ in 0..rounds {
            let exchanges = made.clone();
            let start = thread_time();
            measured(&mut gate, exchanges, &clock);
            best = best.min(thread_time() - start);
        }
        let each = best.as_secs_f64() * 1e6 / EXCHANGES as f64;
        println!("policy and redaction, {body} B: {each:.3} µs");
    }
}

fn made(body: usize) -> Vec<Exchange> {
    (0..EXCHANGES)
        .map(|n| exchange_of(request(n, body / 2), response(n, body / 2)))
        .collect()
}

fn profiled(rounds: usize) {
    let made = made(1024);
    let mut gate = Gate::new(&policy::Config::default(), &Config::default()).unwrap();
    for _ in 0..rounds {
        measured(&mut gate, made.clone(), &WallClock { offset: 0 });
    }
}

#[inline(never)]
fn measured(gate: &mut Gate, exchanges: Vec<Exchange>, clock: &WallClock) {
    for exchange in exchanges {
        let _ = black_box(gate.pass(exchange, &PolicyContext::default(), clock));
    }
}
