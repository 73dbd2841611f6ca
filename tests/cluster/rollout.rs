//! A new agent takes the place of the old one while requests are under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use meshtap_tests::{Connection, figure, until};
use serde_json::Value;

use crate::shop::{Shop, account, address_of};

const CLIENTS: usize = 4;

#[test]
#[ignore = "needs a cluster: cargo xtask cluster test"]
fn an_update_under_load_leaves_two_balanced_accounts() {
    let Some(shop) = Shop::open(&["capture: {side: server}"]) else {
        return;
    };
    let web = shop.address("shop", "web");
    let address = std::net::SocketAddr::new(web.parse().expect("an address"), 80);
    let done = AtomicBool::new(false);
    let done = &done;
    let (answered, accounts) = thread::scope(|scope| {
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
        let answered: usize = clients
            .into_iter()
            .map(|client| client.join().expect("a client"))
            .sum();
        shop.cluster
            .kubectl("--namespace meshtap delete daemonset/meshtap");
        (answered, [account(old), account(new)])
    });
    for account in &accounts {
        assert_eq!(account["imbalance"], 0, "{account}");
        assert_eq!(account["open"], 0, "{account}");
        assert!(exported(account) > 0, "{account}");
    }
    let told: u64 = accounts.iter().map(exported).sum();
    // Other programs of this machine are captured as well.
    until("every span that was sent is there", || {
        let mut arrived = 0;
        shop.arrived(|_| arrived += 1);
        arrived >= told
    });
    figure(&format!(
        "{answered} requests during the update, every one answered well; told {} before and {} after",
        exported(&accounts[0]),
        exported(&accounts[1])
    ));
}

fn exported(account: &Value) -> u64 {
    account["exporters"]["otlp"]["exported"]
        .as_u64()
        .expect("a count")
}

/// Asks until it is told to stop; how often it was answered, always well.
fn load(address: std::net::SocketAddr, client: usize, done: &AtomicBool) -> usize {
    let mut connection = Connection::open(address);
    let mut answered = 0;
    while !done.load(Ordering::Relaxed) {
        let message = format!("load-{client}-{answered}");
        let began = Instant::now();
        let answer = connection.get(&format!("/echo?msg={message}"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, message.as_bytes());
        answered += 1;
        // Two cores are shared with everything else: a busy node, not an overloaded one.
        thread::sleep(began.elapsed().max(Duration::from_millis(5)));
    }
    answered
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
