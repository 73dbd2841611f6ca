//! gRPC as Go's programs speak it: grpc-go's server and client, and its client at tonic's server.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use meshtap_tests::{Bench, Daemon, Exchange, Report, Tap, figure, live, skip};

use crate::calls::{SERVER, envelope};
use crate::grpc::{CONNECTIONS, STREAMS, by_id, check_kinds, of_kind};
use crate::tonic_pair;

/// `None`: there is no Go toolchain.
pub fn program() -> Option<Command> {
    let program = meshtap_parts::grpc::program().expect("a Go module that builds");
    if program.is_none() {
        skip(meshtap_parts::NO_TOOLCHAIN);
    }
    program.map(Command::new)
}

pub fn server(bench: &Bench, mut program: Command) -> Daemon {
    program.args(["server", &SERVER.to_string()]);
    Daemon::start(bench, &mut program).listening(SERVER.port())
}

pub fn client(mut program: Command, kind: &str, arguments: &[usize]) {
    let address = SERVER.to_string();
    let numbers = arguments.iter().map(usize::to_string);
    let output = (program.args([kind, &address]).args(numbers))
        .stdin(Stdio::null())
        .output()
        .expect("the client");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

fn check(report: &Report) {
    assert_eq!(report.exchanges.len(), 9, "{:#?}", report.lines);
    check_kinds(report);
    let text = "a text that compresses ".repeat(50);
    // Each message of a body is shown as it was before it was compressed.
    let gzip = of_kind(report, "Gzip");
    assert_eq!(gzip.request().bytes(), envelope(0, text.as_bytes()));
}

#[test]
fn calls_of_each_kind() {
    // The first time, it is built from what the network has: the test's own has nothing.
    let (Some(serves), Some(calls)) = (program(), program()) else {
        return;
    };
    live(|bench| {
        let _server = server(bench, serves);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        client(calls, "client", &[]);
        check(&tap.finish());
    });
}

#[test]
fn a_hundred_streams_at_once_on_each_of_many_connections() {
    let Some(calls) = program() else {
        return;
    };
    live(|bench| {
        let _server = tonic_pair::server();
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        client(calls, "many", &[CONNECTIONS, STREAMS]);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(by_id(&report).len(), CONNECTIONS * STREAMS);
    });
}

/// Nothing of a call is another's: what comes back names it.
#[track_caller]
fn check_mixed(exchange: &Exchange, id: &str) {
    let target = exchange.target();
    let kind = target.rsplit('/').next().unwrap_or_default();
    let (own, empty) = (envelope(0, id.as_bytes()), envelope(0, b""));
    let three = [&own[..], &empty, &own].concat();
    let one = own.to_vec();
    let (request, response) = match kind {
        "ServerStream" => (&one, own.repeat(10)),
        "ClientStream" => (&three, one.clone()),
        "Bidi" => (&three, three.clone()),
        "Unary" | "Large" => (&one, one.clone()),
        "Fail" | "Slow" | "Cancel" => (&one, Vec::new()),
        other => panic!("{other}"),
    };
    let status = exchange
        .at("/rpc/status")
        .and_then(|status| status.as_u64());
    let is_reset = exchange.at("/reset") == Some(&8.into());
    match kind {
        // The client stops where it is when it hears of that.
        "Fail" => assert_eq!(status, Some(5), "{exchange:?}"),
        "Slow" | "Cancel" => assert!(is_reset || matches!(status, Some(1 | 4)), "{exchange:?}"),
        _ => {
            assert_eq!(
                (status, exchange.partial()),
                (Some(0), None),
                "{exchange:?}"
            );
            assert_eq!(
                exchange.response().bytes(),
                response,
                "mispaired: {exchange:?}"
            );
        }
    }
    if kind != "Fail" {
        assert_eq!(&exchange.request().bytes(), request, "{exchange:?}");
    }
}

#[test]
fn calls_of_all_kinds_at_once_on_many_connections() {
    let (Some(serves), Some(calls)) = (program(), program()) else {
        return;
    };
    live(|bench| {
        let _server = server(bench, serves);
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        client(calls, "mixed", &[CONNECTIONS, STREAMS]);
        let report = tap.finish();
        report.assert_balanced();
        let mut ids = HashSet::new();
        for exchange in &report.exchanges {
            let id = exchange.request().header("x-id").expect("an id");
            check_mixed(exchange, id);
            assert!(ids.insert(id), "{id} twice");
        }
        assert_eq!(ids.len(), CONNECTIONS * STREAMS, "{:#}", report.ledger);
        figure(&format!("{} calls: {:#}", ids.len(), report.ledger));
    });
}
