//! Many connections at once: every request with its own response, none missing, none twice.

use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use meshtap_tests::{Connection, ECHO, HTTP_PORT, Nginx, Pace, Running, Tap, figure, live, swarm};

const CLIENTS: usize = 64;
const REQUESTS: usize = 200;

#[test]
fn every_id_is_paired_on_the_server_side() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), CLIENTS, REQUESTS);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&ids);
        assert_eq!(report.exchanges.len(), 12_800);
        let cpu = report.count("/cpu_ns") / 12_800;
        figure(&format!(
            "{cpu} ns of agent CPU per exchange, with JSON and bodies"
        ));
    });
}

#[test]
fn both_ends_are_emitted_once_each() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).start();
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, HTTP_PORT));
        let ids = swarm(address, CLIENTS, REQUESTS / 2);
        let report = tap.finish();
        report.assert_nothing_lost();
        report.assert_ids(&ids);
        let folded = report.folded();
        assert!(
            (CLIENTS as u64..=ids.len() as u64).contains(&folded),
            "{folded}"
        );
        figure(&format!("{folded} of {} seen at both ends", ids.len()));
    });
}

/// Connections that are busy when the agent begins and when it ends: at each end, every connection
/// has at most one exchange that is not whole. All between are emitted.
fn join_and_leave(side: &str) {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let address = SocketAddr::from(([127, 0, 0, 1], HTTP_PORT));
        let stop = AtomicBool::new(false);
        let step = Step::default();
        let (report, sent) = std::thread::scope(|scope| {
            let ended = Stop(&stop);
            let clients: Vec<_> = (0..16)
                .map(|client| {
                    scope.spawn({
                        let (stop, step) = (&stop, &step);
                        move || keep_asking(address, client, stop, step)
                    })
                })
                .collect();
            // Room for all that comes while the machine lets the agent wait: losing it is another
            // test's subject.
            let tap = Tap::new(bench)
                .args(["--side", side, "--ring-size", "256MiB"])
                .start();
            step.keep_with(&tap);
            tap.emitted(5000);
            // A busy machine lets a client wait.
            tap.emitted_each((0..16).map(|client| format!("?id={client:03}-")));
            let report = tap.finish();
            drop(ended);
            let sent = clients
                .into_iter()
                .map(|client| client.join().expect("a client"));
            (report, sent.collect::<Vec<usize>>())
        });
        report.assert_balanced();
        let whole: HashSet<&str> = report
            .exchanges
            .iter()
            .filter(|exchange| exchange.partial().is_none())
            .map(|exchange| exchange.response().text())
            .collect();
        for (client, sent) in sent.into_iter().enumerate() {
            let is_emitted = |n: &usize| whole.contains(format!("{client:03}-{n:05}").as_str());
            let first = (0..sent).find(is_emitted).expect("something is emitted");
            let last = (0..sent).rfind(is_emitted).expect("something is emitted");
            let holes: Vec<usize> = (first..=last).filter(|n| !is_emitted(n)).collect();
            assert!(
                holes.is_empty(),
                "client {client}: {holes:?} of {first}..={last}: {:#}",
                report.ledger
            );
        }
        let lost = report.count("/ledger/started") - whole.len() as u64 - report.folded();
        figure(&format!(
            "{lost} of {} started are not whole",
            report.count("/ledger/started")
        ));
        let sockets = if side == "both" { 32 } else { 16 };
        assert!(lost <= 2 * sockets, "{:#}", report.ledger);
    });
}

#[test]
fn joining_and_leaving_a_busy_server() {
    join_and_leave("server");
}

#[test]
fn joining_and_leaving_busy_connections_at_both_ends() {
    join_and_leave("both");
}

/// Requests on one connection until `stop`; how many.
fn keep_asking(address: SocketAddr, client: usize, stop: &AtomicBool, step: &Step) -> usize {
    let mut connection = Connection::open(address);
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = format!("{client:03}-{sent:05}");
        let response = connection.get(&format!("/echo?id={id}"));
        assert_eq!(response.body, id.as_bytes());
        sent += 1;
        step.next();
    }
    sent
}

/// Clients in step with the agent: on a slow machine they would be ahead of it by minutes.
#[derive(Debug, Default)]
struct Step {
    tap: OnceLock<Pace>,
    /// Requests since there is a tap.
    sent: AtomicUsize,
}

impl Step {
    /// Exchanges that clients may be ahead: enough to be busy all the time.
    const AHEAD: usize = 2000;

    fn keep_with(&self, tap: &Running) {
        self.tap.set(tap.pace()).expect("one tap");
    }

    fn next(&self) {
        if let Some(tap) = self.tap.get() {
            let sent = self.sent.fetch_add(1, Ordering::Relaxed);
            tap.until(sent.saturating_sub(Self::AHEAD));
        }
    }
}

/// Stops the clients, also when the test fails while they run.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
