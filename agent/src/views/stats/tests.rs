use std::sync::Arc;

use super::super::shown::tests::{open, shown};
use super::*;
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::tap::sample;

/// Ends so many seconds after the sample.
fn at(exchange: &Exchange, seconds: u64) -> Shown {
    let mut exchange = exchange.clone();
    let later = seconds * 1_000_000_000;
    exchange.request.began += later;
    exchange.request.ended += later;
    if let Some(response) = &mut exchange.response {
        response.began += later;
        response.ended += later;
    }
    shown(&exchange)
}

#[test]
fn rates_are_of_the_last_seconds() {
    let mut stats = Stats::default();
    assert_eq!(stats.total(stats.run(1.0)).seconds, [0; SECONDS]);
    for second in 0..30 {
        for _ in 0..second {
            stats.add(&at(&sample::exchange(), second));
        }
    }
    let now = stats.latest() + 1;
    let line = stats.total(stats.recent(now));
    assert_eq!(line.count, (0..30).sum::<u64>());
    assert!((line.rate - 24.5).abs() < 1e-9, "{}", line.rate);
    assert_eq!(line.seconds.len(), SECONDS);
    assert_eq!(line.seconds[SECONDS - 4..], [27, 28, 29, 0]);
    // Over the seconds that there were, not over ten.
    let mut young = Stats::default();
    for second in [0, 0, 1, 1, 2, 2] {
        young.add(&at(&sample::exchange(), second));
    }
    let rate = young.total(young.recent(young.latest() + 1)).rate;
    assert!((rate - 2.0).abs() < 1e-9, "{rate}");
    // Ten seconds of silence.
    assert!(stats.total(stats.recent(now + 10)).rate.abs() < 1e-9);
    // A cell that was silent for longer than it remembers begins anew.
    stats.add(&at(&sample::exchange(), 1_000));
    assert_eq!(
        stats
            .total(stats.recent(stats.latest()))
            .seconds
            .iter()
            .sum::<u32>(),
        1
    );
    // One that comes late is counted in its second, or not at all there.
    stats.add(&at(&sample::exchange(), 950));
    stats.add(&at(&sample::exchange(), 10));
    assert_eq!(
        stats
            .total(stats.recent(stats.latest()))
            .seconds
            .iter()
            .sum::<u32>(),
        2
    );
}

#[test]
fn what_the_end_cut_off_is_counted_apart() {
    let mut stats = Stats::default();
    for status in [None, Some(200), Some(500)] {
        stats.add(&shown(&open(status)));
    }
    stats.add(&shown(&sample::exchange()));
    let line = stats.total(stats.recent(stats.latest() + 1));
    assert_eq!((stats.open(), line.count, line.failed), (3, 1, 0));
    for by in By::ALL {
        assert_eq!(stats.table(by, stats.recent(0)).len(), 1, "{by:?}");
    }
}

#[test]
fn quantiles_are_within_their_precision() {
    let mut stats = Stats::default();
    let mut exchange = sample::exchange();
    for millis in 1..=1_000_u64 {
        exchange.response.as_mut().expect("one").ended = 1_000_000_000 + millis * 1_000_000;
        exchange.response.as_mut().expect("one").began = 1_000_500_000;
        stats.add(&shown(&exchange));
    }
    let line = stats.total(stats.recent(0));
    for (value, expected) in [(line.p50_ns, 500), (line.p95_ns, 950), (line.p99_ns, 990)] {
        let expected = expected * 1_000_000_u64;
        assert!(
            value.abs_diff(expected) <= expected / 50,
            "{value} {expected}"
        );
    }
}

#[test]
fn what_tables_are_of() {
    let mut stats = Stats::default();
    let mut exchange = sample::exchange();
    for target in ["/orders/17", "/orders/18?x=1", "/orders/mine"] {
        exchange.request.head = sample::request_head(b"GET", target.as_bytes(), &[(b"Host", b"h")]);
        stats.add(&shown(&exchange));
    }
    exchange.response = None;
    exchange.peers = Arc::new(crate::flow::Peers {
        side: Side::Client,
        ..(*exchange.peers).clone()
    });
    stats.add(&shown(&exchange));
    let check = |by: By, expected: &[(&str, u64, u64)]| {
        let lines = stats.table(by, stats.recent(0));
        let found: Vec<_> = (lines.iter())
            .map(|line| {
                (
                    super::super::report::name(&line.key),
                    line.count,
                    line.failed,
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, count, failed)| ((*name).to_owned(), *count, *failed))
            .collect();
        assert_eq!(found, expected);
    };
    check(
        By::Route,
        &[
            ("GET /orders/{id}  shop:8080", 2, 0),
            ("GET /orders/mine  h", 1, 1),
            ("GET /orders/mine  shop:8080", 1, 0),
        ],
    );
    check(By::Server, &[("shop:8080", 3, 0), ("h", 1, 1)]);
    check(By::Client, &[("10.0.0.1", 3, 0), ("shop", 1, 1)]);
    check(By::Status, &[("201", 3, 0), ("none", 1, 1)]);
    check(
        By::Edge,
        &[("10.0.0.1 → shop:8080", 3, 0), ("shop → h", 1, 1)],
    );
    // A drill-down finds the same ones.
    let lines = stats.table(By::Route, stats.recent(0));
    assert_eq!(By::Route.of(&key_of(&shown(&exchange))), lines[1].key);
}

#[test]
fn hostile_names_are_bounded_and_visible() {
    let mut stats = Stats::default();
    let mut exchange = sample::exchange();
    for number in 0..MAX_CELLS + 7 {
        // Letters, which are no id.
        let name: String = number
            .to_string()
            .bytes()
            .map(|b| char::from(b - b'0' + b'a'))
            .collect();
        let target = format!("/{name}");
        exchange.request.head = sample::request_head(b"B\x1bD", target.as_bytes(), &[]);
        stats.add(&shown(&exchange));
    }
    assert_eq!(
        stats.overflow() + stats.table(By::Route, stats.recent(0)).len() as u64,
        MAX_CELLS as u64 + 7
    );
    assert_eq!(stats.total(stats.recent(0)).count, MAX_CELLS as u64 + 7);
    exchange.request.head = sample::request_head(b"B\x1bD", "/\x1b[2J\u{202e}".as_bytes(), &[]);
    let mut stats = Stats::default();
    stats.add(&shown(&exchange));
    for line in stats.table(By::Route, stats.recent(0)) {
        assert_eq!(&*line.key.method, "_OTHER");
        assert!(!line.key.route.chars().any(crate::visible::hidden));
    }
}
