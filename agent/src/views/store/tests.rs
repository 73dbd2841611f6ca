use super::super::shown::tests::shown;
use super::*;
use crate::tap::sample;

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
    store.append(vec![shown(&exchange)]);
    let call = store.get(1).expect("held");
    assert_eq!(store.service(&call), None);
    store.append(some(1));
    assert_eq!(store.service(&call).as_deref(), Some("shop:8080"));
}
