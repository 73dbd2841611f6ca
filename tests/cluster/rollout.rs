//! A new agent takes the place of the old one while requests are under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meshtap_tests::{Connection, figure, until};
use serde_json::Value;

use crate::shop::{Shop, address_of, ledger};

const CLIENTS: usize = 4;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn an_update_under_load_leaves_two_balanced_ledgers() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let web = shop.address("shop", "web");
    let address = std::net::SocketAddr::new(web.parse().expect("an address"), 80);
    let done = AtomicBool::new(false);
    let done = &done;
    let (responded, ledgers) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let network = shop.cluster.network();
                scope.spawn(move || network.inside(|| load(address, client, done)))
            })
            .collect();
        let old = shop.cluster.log(&shop.agent());
        await_spans(&shop);
        shop.cluster
            .kubectl("--namespace meshtap rollout restart daemonset/meshtap");
        shop.cluster.rolled_out("meshtap", "daemonset/meshtap");
        let new = shop.cluster.log(&shop.agent());
        await_spans(&shop);
        let memory = shop.metric(&address_of(&shop.agent()), "process_resident_memory_bytes");
        figure(&format!(
            "the agent has {:.0} MiB",
            memory / f64::from(1 << 20)
        ));
        done.store(true, Ordering::Relaxed);
        let responded: usize = clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .sum();
        shop.cluster
            .kubectl("--namespace meshtap delete daemonset/meshtap");
        (responded, [ledger(old), ledger(new)])
    });
    for ledger in &ledgers {
        assert_eq!(ledger["imbalance"], 0, "{ledger}");
        assert_eq!(ledger["in_flight"], 0, "{ledger}");
        assert!(exported(ledger) > 0, "{ledger}");
    }
    let emitted: u64 = ledgers.iter().map(exported).sum();
    // Other programs of this machine are captured as well.
    until("every span that was sent is there", || {
        let mut arrived = 0;
        shop.arrived(|_| arrived += 1);
        arrived >= emitted
    });
    figure(&format!(
        "{responded} requests during the update, every one responded well; emitted {} before and {} after",
        exported(&ledgers[0]),
        exported(&ledgers[1])
    ));
}

fn exported(ledger: &Value) -> u64 {
    ledger["exporters"]["otlp"]["exported"]
        .as_u64()
        .expect("a count")
}

/// Asks until it is reported to stop; how often it got a response, always a right one.
fn load(address: std::net::SocketAddr, client: usize, done: &AtomicBool) -> usize {
    let mut connection = Connection::open(address);
    let mut responded = 0;
    while !done.load(Ordering::Relaxed) {
        let message = format!("load-{client}-{responded}");
        let began = Instant::now();
        let response = connection.get(&format!("/echo?msg={message}"));
        assert_eq!(response.status, 200);
        assert_eq!(response.body, message.as_bytes());
        responded += 1;
        // Two cores are shared with everything else: a busy node, not an overloaded one.
        thread::sleep(began.elapsed().max(Duration::from_millis(5)));
    }
    responded
}

/// Waits until an agent has sent spans.
fn await_spans(shop: &Shop) {
    let agent = address_of(&shop.agent());
    until("spans of the load are sent", || {
        shop.metric(
            &agent,
            "meshtap_items_exported_total{exporter=\"otlp\",item=\"span\"}",
        ) >= 100.0
    });
}
