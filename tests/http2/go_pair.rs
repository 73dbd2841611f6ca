//! gRPC as Go's programs speak it: grpc-go's server and client, and its client at tonic's server.

use std::process::{Command, Stdio};

use meshtap_tests::{Bench, Daemon, Report, Tap, live, skip};

use crate::calls::{SERVER, envelope};
use crate::grpc::{CONNECTIONS, STREAMS, by_id, check_kinds, of_kind};
use crate::tonic_pair;

/// `None`: there is no Go toolchain.
fn program() -> Option<Command> {
    let program = meshtap_parts::grpc::program().expect("a Go module that builds");
    if program.is_none() {
        skip(meshtap_parts::NO_TOOLCHAIN);
    }
    program.map(Command::new)
}

fn server(bench: &Bench, mut program: Command) -> Daemon {
    program.args(["server", &SERVER.to_string()]);
    Daemon::start(bench, &mut program).listening(SERVER.port())
}

fn client(mut program: Command, kind: &str, arguments: &[usize]) {
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
