use super::super::shown::tests::shown;
use super::*;
use crate::tap::sample;
use crate::views::stats::{By, key_of};

fn some(count: usize) -> Vec<Shown> {
    vec![shown(&sample::exchange()); count]
}

fn numbers(found: &[(u64, Arc<Shown>)]) -> Vec<u64> {
    found.iter().map(|(id, _)| *id).collect()
}

#[test]
fn numbers_go_on_and_what_falls_out_is_counted() {
    let each = shown(&sample::exchange()).memory();
    let store = Store::new(3 * each);
    store.append(some(2));
    assert_eq!(numbers(&store.since(0, 10)), [1, 2]);
    store.append(some(3));
    assert_eq!(numbers(&store.since(0, 10)), [3, 4, 5]);
    assert_eq!(numbers(&store.since(3, 10)), [4, 5]);
    assert_eq!(numbers(&store.since(3, 1)), [4]);
    assert_eq!(numbers(&store.since(9, 1)), [0; 0]);
    assert!(store.get(2).is_none() && store.get(3).is_some() && store.get(6).is_none());
    let expected = Held {
        exchanges: 3,
        bytes: 3 * each,
        first: 3,
        next: 6,
        evicted: 2,
        skipped: 0,
        ended: false,
    };
    assert_eq!(store.held(), expected);
    // All of them are in the totals.
    assert_eq!(store.stats(|stats| stats.total(stats.recent(0)).count), 5);
}

#[test]
fn one_that_is_larger_than_the_ring_is_held_alone() {
    let store = Store::new(1);
    store.append(some(3));
    assert_eq!(numbers(&store.since(0, 10)), [3]);
    assert_eq!(store.held().evicted, 2);
}

#[test]
fn clearing_keeps_numbers() {
    let store = Store::default();
    store.append(some(2));
    store.skip(5);
    store.clear();
    store.append(some(1));
    store.end();
    assert_eq!(numbers(&store.since(0, 10)), [3]);
    let held = store.held();
    assert_eq!((held.skipped, held.ended, held.exchanges), (5, true, 1));
    assert_eq!(store.stats(|stats| stats.total(stats.recent(0)).count), 1);
}

#[test]
fn a_service_calls_before_its_own_exchange_has_ended() {
    let mut exchange = sample::exchange();
    exchange.peers = Arc::new(crate::flow::Peers {
        side: crate::flow::Side::Client,
        ..(*exchange.peers).clone()
    });
    let store = Store::default();
    let clients = || {
        let lines = store.stats(|stats| stats.table(By::Client, stats.recent(0)));
        let lines = lines.into_iter().map(|line| (line.key.client, line.count));
        lines.collect::<Vec<_>>()
    };
    store.append(vec![shown(&exchange); 2]);
    assert_eq!(clients(), [("shop".into(), 2)]);
    store.append(some(1));
    store.append(vec![shown(&exchange)]);
    assert_eq!(clients(), [("shop:8080".into(), 3), ("10.0.0.1".into(), 1)]);
    // What is held has the name, too.
    let call = store.get(1).expect("held");
    assert_eq!(&*key_of(&call).client, "shop:8080");
}

/// A loop of short-lived clients: one line, and no cell is left of each.
#[test]
fn clients_that_are_no_service_are_one() {
    let exchange = sample::exchange();
    let store = Store::default();
    let many = 5_000;
    for pid in 0..many {
        let mut shown = shown(&exchange);
        let name = "curl".into();
        shown.caller = Some(Arc::new(crate::process::Process { pid, name }));
        store.append(vec![shown]);
    }
    store.stats(|stats| {
        let lines = stats.table(By::Client, stats.recent(0));
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&*lines[0].key.client, lines[0].count),
            ("curl", many.into())
        );
        assert!(stats.cells() < 100 && stats.overflow() == 0);
    });
}
