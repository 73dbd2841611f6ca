//! gRPC: calls of each kind, deadlines, cancellations, large metadata, compressed messages; many
//! connections of many streams at once; an agent that comes late.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::client::conn::http2::SendRequest;
use meshtap_tests::{Exchange, Report, Tap, figure, live};

use crate::calls::{METADATA, SERVER, envelope, run, serve};
use crate::peers::{Outgoing, Server, block_on, connect};

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(message).expect("memory");
    encoder.finish().expect("memory")
}

/// The only call of a kind.
pub fn of_kind<'a>(report: &'a Report, kind: &str) -> &'a Exchange {
    let target = format!("/test.T/{kind}");
    let mut found = (report.exchanges.iter()).filter(|exchange| exchange.target() == target);
    let exchange = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "{kind} twice");
    exchange
}

/// Messages of the request, of the response, and the status.
#[track_caller]
fn check(report: &Report, kind: &str, expected: (u64, u64, Option<u64>)) {
    let exchange = of_kind(report, kind);
    let number = |pointer: &str| exchange.at(pointer).and_then(serde_json::Value::as_u64);
    let found = (
        number("/request/messages").expect("counted"),
        number("/response/messages").unwrap_or_default(),
        number("/rpc/status"),
    );
    assert_eq!(found, expected, "{exchange:?}");
    assert_eq!(
        exchange.at("/rpc/method").and_then(|name| name.as_str()),
        Some(kind)
    );
    assert_eq!(
        exchange.at("/rpc/service").and_then(|name| name.as_str()),
        Some("test.T")
    );
}

fn is_ok(report: &Report, kind: &str, messages: (u64, u64)) {
    check(report, kind, (messages.0, messages.1, Some(0)));
    assert_eq!(of_kind(report, kind).partial(), None, "{kind}");
}

/// What [`calls::serve`] and its like were asked for: one call of each kind.
pub fn check_kinds(report: &Report) {
    report.assert_balanced();
    is_ok(report, "Unary", (1, 1));
    is_ok(report, "ServerStream", (1, 10));
    is_ok(report, "ClientStream", (3, 1));
    is_ok(report, "Bidi", (3, 3));
    is_ok(report, "Large", (1, 1));
    check(report, "Fail", (1, 0, Some(5)));
    let fail = of_kind(report, "Fail");
    let message = fail.at("/rpc/message").and_then(|text| text.as_str());
    assert_eq!(message, Some("no such item"));
    assert_eq!(fail.partial(), None);
    check(report, "Cancel", (1, 0, None));
    // RFC 9113 §7: CANCEL.
    assert_eq!(of_kind(report, "Cancel").at("/reset"), Some(&8.into()));
    // At its deadline either end may be the first to give up, by a reset or by a status.
    let slow = of_kind(report, "Slow");
    let status = slow.at("/rpc/status").and_then(|status| status.as_u64());
    let is_reset = slow.at("/reset") == Some(&8.into());
    assert!(is_reset || matches!(status, Some(1 | 4)), "{slow:?}");
    let bidi = of_kind(report, "Bidi");
    let messages = [&b"one"[..], b"", b"three"].map(|message| envelope(0, message));
    let expected = messages.concat();
    assert_eq!(bidi.request().bytes(), expected);
    assert_eq!(bidi.response().bytes(), expected);
    let large = of_kind(report, "Large").response();
    assert_eq!(large.header("x-large").map(str::len), Some(METADATA));
}

#[test]
fn calls_of_each_kind() {
    live(|bench| {
        let _server = Server::start(SERVER, serve);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        let message = |text: &str| envelope(0, text.as_bytes());
        block_on(async {
            let sender = connect(SERVER, 1 << 20).await;
            let one = [message("one")];
            let three = [message("one"), message(""), message("three")];
            assert_eq!(run(&sender, ("Unary", "a"), &one, &[]).await, ["one"]);
            let many = run(&sender, ("ServerStream", "b"), &one, &[]).await;
            assert_eq!(many, vec!["one"; 10]);
            let first = run(&sender, ("ClientStream", "c"), &three, &[]).await;
            assert_eq!(first, ["one"]);
            let echoed = run(&sender, ("Bidi", "d"), &three, &[]).await;
            assert_eq!(echoed, ["one", "", "three"]);
            assert!(run(&sender, ("Fail", "e"), &one, &[]).await.is_empty());
            let deadline = [("grpc-timeout", "50m".to_owned())];
            for (kind, with) in [("Slow", &deadline[..]), ("Cancel", &[])] {
                let call = run(&sender, (kind, "f"), &one, with);
                let late = tokio::time::timeout(Duration::from_millis(50), call).await;
                assert!(late.is_err(), "the client resets the stream");
            }
            // Whatever follows has been sent after the reset.
            let large = [("x-large", "m".repeat(METADATA))];
            run(&sender, ("Large", "g"), &one, &large).await;
        });
        let report = tap.finish();
        assert_eq!(report.exchanges.len(), 8, "{:#?}", report.lines);
        check_kinds(&report);
    });
}

#[test]
fn compressed_messages() {
    live(|bench| {
        let _server = Server::start(SERVER, serve);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        block_on(async {
            let sender = connect(SERVER, 1 << 20).await;
            let text = "a text that compresses ".repeat(50);
            let with = [("grpc-encoding", "gzip".to_owned())];
            let messages = [envelope(1, &gzip(text.as_bytes())), envelope(0, b"plain")];
            run(&sender, ("Unary", "z"), &messages, &with).await;
        });
        let report = tap.finish();
        report.assert_nothing_lost();
        let text = "a text that compresses ".repeat(50);
        let expected = [envelope(0, text.as_bytes()), envelope(0, b"plain")].concat();
        assert_eq!(report.only().request().bytes(), expected);
    });
}

/// What was emitted, by the id of its metadata; each is checked to be one call's own.
pub fn by_id(report: &Report) -> HashMap<String, &Exchange> {
    let mut found = HashMap::new();
    for exchange in &report.exchanges {
        let Some(id) = exchange.request().header("x-id") else {
            assert!(exchange.partial().is_some(), "{exchange:?}");
            continue;
        };
        if exchange.partial().is_none() {
            let message = envelope(0, id.as_bytes());
            assert_eq!(exchange.request().bytes(), message, "{exchange:?}");
            assert_eq!(
                exchange.response().bytes(),
                message,
                "mispaired: {exchange:?}"
            );
            assert_eq!(exchange.at("/rpc/status"), Some(&0.into()), "{exchange:?}");
        }
        assert!(
            found.insert(id.to_owned(), exchange).is_none(),
            "{id} twice"
        );
    }
    found
}

async fn unary(sender: &SendRequest<Outgoing>, id: &str) {
    let message = envelope(0, id.as_bytes());
    assert_eq!(run(sender, ("Unary", id), &[message], &[]).await, [id]);
}

/// Connections at once, and calls at once on each.
pub const CONNECTIONS: usize = 64;
pub const STREAMS: usize = 100;

#[test]
fn a_hundred_streams_at_once_on_each_of_many_connections() {
    live(|bench| {
        let _server = Server::start(SERVER, serve);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        block_on(async {
            let connection = |connection: usize| async move {
                let sender = connect(SERVER, 1 << 20).await;
                let one = |stream: usize| {
                    let sender = sender.clone();
                    async move { unary(&sender, &format!("{connection}-{stream}")).await }
                };
                let mut calls = tokio::task::JoinSet::new();
                for stream in 0..STREAMS {
                    calls.spawn(one(stream));
                }
                while let Some(call) = calls.join_next().await {
                    call.expect("a call");
                }
            };
            let mut connections = tokio::task::JoinSet::new();
            for n in 0..CONNECTIONS {
                connections.spawn(connection(n));
            }
            while let Some(connection) = connections.join_next().await {
                connection.expect("a connection");
            }
        });
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(by_id(&report).len(), CONNECTIONS * STREAMS);
    });
}

/// The agent starts in the middle. Every call that starts afterwards is emitted: whole, or marked.
#[test]
fn started_in_the_middle() {
    const CONNECTIONS: usize = 8;
    const BEFORE: usize = 20;
    const AFTER: usize = 50;
    live(|bench| {
        let _server = Server::start(SERVER, serve);
        let (started, warm) = (AtomicBool::new(false), AtomicUsize::new(0));
        let client = |client: usize| {
            block_on(async {
                let sender = connect(SERVER, 1 << 20).await;
                let (mut n, mut ids) = (0, Vec::new());
                while ids.len() < AFTER {
                    let counts = started.load(Ordering::SeqCst);
                    let id = format!("{client}-{n}");
                    unary(&sender, &id).await;
                    if counts {
                        ids.push(id);
                    }
                    n += 1;
                    warm.fetch_add(usize::from(n == BEFORE), Ordering::SeqCst);
                }
                ids
            })
        };
        let (ids, report) = std::thread::scope(|scope| {
            let client = &client;
            let clients: Vec<_> = (0..CONNECTIONS)
                .map(|n| scope.spawn(move || client(n)))
                .collect();
            while warm.load(Ordering::SeqCst) < CONNECTIONS {
                std::thread::yield_now();
            }
            let tap = Tap::new(bench).server_side().arg("--no-redact").start();
            started.store(true, Ordering::SeqCst);
            let ids = clients
                .into_iter()
                .flat_map(|client| client.join().expect("a client"));
            let ids: Vec<String> = ids.collect();
            (ids, tap.finish())
        });
        report.assert_balanced();
        let found = by_id(&report);
        let nameless = report.exchanges.len() - found.len();
        let absent = ids.iter().filter(|id| !found.contains_key(*id)).count();
        let whole = (ids.iter())
            .filter(|id| {
                found
                    .get(*id)
                    .is_some_and(|exchange| exchange.partial().is_none())
            })
            .count();
        figure(&format!(
            "{} calls after the start: {whole} whole, {absent} without their id, {nameless} \
             emitted without one",
            ids.len()
        ));
        let ledger = &report.ledger;
        assert!(absent <= nameless, "{absent} calls not emitted: {ledger:#}");
    });
}
