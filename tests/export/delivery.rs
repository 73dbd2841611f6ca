//! What a collector can do wrong, over each protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshtap::export::delivery::{DropReason, Totals};
use meshtap::export::otlp::{OtlpConfig, Settings};
use meshtap::export::{Exporters, Handles, Target};
use meshtap::signal::span::Span;

use crate::fake::{Fake, Reply, names_of};
use crate::source::Source;

const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];
/// Spans of one batch in these tests.
pub(crate) const BATCH: u64 = 10;

pub(crate) struct Agent {
    exporters: Exporters,
    handles: Handles,
    source: Source,
}

impl Agent {
    /// Exports to `address`; `more` are further lines of the configuration.
    fn new(address: SocketAddr, protocol: &str, more: &str) -> Self {
        Self::to(&format!("http://{address}"), protocol, more, &|_| None)
    }

    /// Exports to an endpoint, with these variables.
    pub(crate) fn to(
        endpoint: &str,
        protocol: &str,
        more: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let yaml = format!(
            "endpoint: {endpoint}\nprotocol: {protocol}\nbatch: {{spans: {BATCH}, age: 1h}}\n{more}"
        );
        let config: OtlpConfig = serde_saphyr::from_str(&yaml).unwrap();
        let settings = Settings::resolve(&config, "otlp", env).unwrap();
        let targets = vec![Target::Otlp(Box::new(settings))];
        let exporters = Exporters::start(targets, &(Arc::new(()) as _)).unwrap();
        let handles = exporters.handles();
        Self {
            exporters,
            handles,
            source: Source::new(),
        }
    }

    pub(crate) fn send(&mut self, spans: std::ops::Range<u64>) {
        let now = Instant::now();
        for n in spans {
            let span = self.source.span(&format!("/span-{n}"));
            self.handles.span(&span, now);
        }
        self.handles.flush();
    }

    fn totals(&self) -> Totals {
        self.exporters.reports().read().remove(0).totals
    }

    pub(crate) fn span(&mut self, span: &Span) {
        self.handles.span(span, Instant::now());
    }

    /// Waits until the totals are so.
    pub(crate) fn wait_until(&self, enough: impl Fn(&Totals) -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !enough(&self.totals()) {
            assert!(Instant::now() < end, "{:?}", self.totals());
            std::thread::yield_now();
        }
    }

    /// Waits until every span is exported, rejected or dropped.
    pub(crate) fn settle(&self) {
        self.wait_until(|totals| {
            let decided = totals.exported + totals.rejected + totals.dropped_total();
            decided == totals.accepted
        });
    }

    /// Why the last attempt or batch failed.
    pub(crate) fn error(&self) -> Option<String> {
        self.exporters.reports().read().remove(0).error
    }

    /// Stops, and checks that every span is counted.
    pub(crate) fn stop(self, timeout: Duration) -> Totals {
        drop(self.handles);
        let totals = self.exporters.shutdown(timeout).remove(0).totals;
        assert_eq!(totals.imbalance(), 0, "{totals:?}");
        assert_eq!(totals.queued(), 0, "{totals:?}");
        totals
    }
}

/// Quick retries: what is tried is whether, not how slowly.
pub(crate) const QUICK: &str = "retry: {initial: 10ms, max: 50ms, give_up: 60s}\nconcurrency: 1\n";

/// Sends three batches to a collector with this script; the totals must be (exported, rejected,
/// dropped).
fn check(script: &[Reply], more: &str, expected: (u64, u64, &[(DropReason, u64)])) {
    for protocol in PROTOCOLS {
        let fake = Fake::start(script.to_vec(), Reply::Take);
        let mut agent = Agent::new(fake.address, protocol, more);
        agent.send(0..3 * BATCH);
        let totals = agent.stop(Duration::from_secs(60));
        let mut dropped = [0; DropReason::ALL.len()];
        for (reason, spans) in expected.2 {
            dropped[*reason as usize] = *spans;
        }
        assert_eq!(
            (totals.exported, totals.rejected, totals.dropped),
            (expected.0, expected.1, dropped),
            "{protocol} {script:?}"
        );
        let taken = fake.taken();
        assert_eq!(
            taken.len() as u64,
            totals.exported + totals.rejected,
            "{protocol}"
        );
        assert!(taken.values().all(|times| *times == 1), "{protocol}: twice");
    }
}

#[test]
fn everything_arrives() {
    check(&[], QUICK, (30, 0, &[]));
    check(&[], &format!("{QUICK}compression: gzip\n"), (30, 0, &[]));
}

#[test]
fn what_can_be_tried_again_is() {
    for status in [429, 502, 503, 504] {
        check(&[Reply::Http(status, None)], QUICK, (30, 0, &[]));
    }
    check(
        &[Reply::CloseEarly, Reply::CloseLate, Reply::CloseEarly],
        QUICK,
        (30, 0, &[]),
    );
}

#[test]
fn what_was_refused_is_not_tried_again() {
    for status in [400, 401, 404, 413, 500, 501] {
        let refused = [(DropReason::Permanent, 10)];
        check(&[Reply::Http(status, Some("1"))], QUICK, (20, 0, &refused));
    }
}

#[test]
fn partial_success_is_counted() {
    check(
        &[Reply::Reject(3), Reply::Take, Reply::Reject(4)],
        QUICK,
        (23, 7, &[]),
    );
    check(&[Reply::Reject(100)], QUICK, (20, 10, &[]));
}

#[test]
fn a_hanging_collector_is_bounded_by_the_timeout() {
    let more = format!("{QUICK}timeout: 200ms\n");
    check(&[Reply::Hang, Reply::Hang], &more, (30, 0, &[]));
}

#[test]
fn grpc_codes() {
    let run = |reply: Reply| {
        let fake = Fake::start(vec![reply], Reply::Take);
        let mut agent = Agent::new(fake.address, "grpc", QUICK);
        agent.send(0..BATCH);
        agent.stop(Duration::from_secs(60)).exported
    };
    for code in [1, 4, 10, 11, 14, 15] {
        assert_eq!(run(Reply::Grpc(code, None)), BATCH, "{code}");
    }
    for code in [2, 3, 5, 6, 7, 8, 9, 12, 13, 16] {
        assert_eq!(run(Reply::Grpc(code, None)), 0, "{code}");
    }
    let slow_down = Reply::Grpc(8, Some(Duration::from_secs(1)));
    assert_eq!(run(slow_down), BATCH, "RESOURCE_EXHAUSTED with RetryInfo");
}

#[test]
fn the_collector_says_when() {
    let cases = [
        ("grpc", Reply::Grpc(8, Some(Duration::from_secs(2)))),
        ("grpc", Reply::Grpc(14, Some(Duration::from_secs(2)))),
        ("http/protobuf", Reply::Http(429, Some("2"))),
        ("http/json", Reply::Http(503, Some("2"))),
    ];
    for (protocol, reply) in cases {
        let fake = Fake::start(vec![reply], Reply::Take);
        let patient = "retry: {initial: 10ms, max: 10s, give_up: 60s}\nconcurrency: 1\n";
        let mut agent = Agent::new(fake.address, protocol, patient);
        agent.send(0..2 * BATCH);
        let totals = agent.stop(Duration::from_secs(60));
        assert_eq!(totals.exported, 2 * BATCH, "{protocol}");
        let received = fake.received();
        // It holds for every request, not only for the batch that was refused.
        let waited = received[1].at - received[0].at;
        assert!(waited >= Duration::from_secs(2), "{protocol}: {waited:?}");
        assert_eq!(
            names_of(&received[0].request),
            names_of(&received[1].request)
        );
    }
}

#[test]
fn retries_end() {
    for protocol in PROTOCOLS {
        let fake = Fake::start(Vec::new(), Reply::Http(503, None));
        let more = "retry: {initial: 10ms, max: 20ms, give_up: 300ms}\n";
        let mut agent = Agent::new(fake.address, protocol, more);
        agent.send(0..BATCH);
        let totals = agent.stop(Duration::from_secs(60));
        let exhausted = totals.dropped[DropReason::RetriesExhausted as usize];
        assert_eq!(exhausted, BATCH, "{protocol}");
        assert!(totals.attempts > 2, "{protocol}: {}", totals.attempts);
    }
}

#[test]
fn a_stop_is_bounded() {
    for (protocol, reply) in [
        ("grpc", Reply::Hang),
        ("http/protobuf", Reply::Hang),
        ("http/json", Reply::Http(503, Some("3600"))),
    ] {
        let fake = Fake::start(Vec::new(), reply);
        let mut agent = Agent::new(fake.address, protocol, "retry: {give_up: 2h}\n");
        agent.send(0..10 * BATCH);
        fake.wait_until(|started, _| started >= 1);
        let began = Instant::now();
        let totals = agent.stop(Duration::from_millis(500));
        assert!(began.elapsed() < Duration::from_secs(30), "{protocol}");
        let dropped = totals.dropped[DropReason::Shutdown as usize];
        assert_eq!(dropped, 10 * BATCH, "{protocol}");
    }
}

/// An address of loopback that no other test uses, so that its port is free for whoever listens
/// there again.
fn alone(test: u8) -> SocketAddr {
    SocketAddr::from(([127, 1, 0, test], 0))
}

#[test]
fn a_full_queue_drops_by_policy() {
    // 20 KB hold no more than one batch of ten spans of more than 1 KB; one more is being sent.
    for (policy, last) in [("oldest", "/span-49"), ("newest", "/span-19")] {
        let fake = Fake::listen(alone(1), Vec::new(), Reply::Hang);
        let more = format!("{QUICK}queue: {{bytes: 20KB, drop: {policy}}}\ntimeout: 1h\n");
        let address = fake.address;
        let mut agent = Agent::new(address, "http/protobuf", &more);
        agent.send(0..BATCH);
        fake.wait_until(|started, _| started == 1);
        agent.send(BATCH..5 * BATCH);
        let totals = agent.totals();
        assert_eq!(totals.dropped[DropReason::QueueFull as usize], 3 * BATCH);
        assert_eq!((totals.waiting, totals.in_flight), (BATCH, BATCH));
        drop(fake);
        let second = Fake::listen(address, Vec::new(), Reply::Take);
        let totals = agent.stop(Duration::from_secs(60));
        assert_eq!(totals.exported, 2 * BATCH, "{policy}");
        assert!(
            second.taken().contains_key(last),
            "{policy}: {:?}",
            second.taken().keys()
        );
    }
}

#[test]
fn a_collector_that_was_down_gets_what_waited() {
    for protocol in PROTOCOLS {
        let address = Fake::listen(alone(2), Vec::new(), Reply::Take).address;
        let mut agent = Agent::new(address, protocol, QUICK);
        agent.send(0..5 * BATCH);
        while agent.totals().failures < 3 {
            std::thread::yield_now();
        }
        let fake = Fake::listen(address, Vec::new(), Reply::Take);
        let totals = agent.stop(Duration::from_secs(60));
        assert_eq!(totals.exported, 5 * BATCH, "{protocol}");
        assert_eq!(fake.taken().len() as u64, 5 * BATCH, "{protocol}");
    }
}

#[test]
fn headers_and_batches_are_as_configured() {
    for protocol in PROTOCOLS {
        let fake = Fake::start(Vec::new(), Reply::Take);
        let mut agent = Agent::new(fake.address, protocol, "headers: {x-tenant: blue}\n");
        agent.send(0..25);
        agent.stop(Duration::from_secs(60));
        let received = fake.received();
        let mut sizes: Vec<_> = received
            .iter()
            .map(|r| names_of(&r.request).len())
            .collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [5, 10, 10], "{protocol}");
        for request in &received {
            assert_eq!(request.headers["x-tenant"], "blue", "{protocol}");
            let agent = request.headers["user-agent"].to_str().unwrap();
            assert!(agent.starts_with("meshtap/"), "{agent}");
        }
    }
}
