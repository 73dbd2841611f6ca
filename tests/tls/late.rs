//! Sessions of ztunnel that are older than the agent: nothing is known of their ends, and what is
//! in them is read once it is known whose it is.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meshtap_tests::{
    Bench, Connection, Daemon, Exchange, HTTP_PORT, Report, Running, SetOnDrop, Tap, live,
    socket_states,
};

use crate::ztunnel::{HTTP2_PORT, Mesh, OUTBOUND, ids, in_tunnels, proof, reading, send};

/// Where tunnels to the server that speaks HTTP/2 are opened.
const OUTBOUND_HTTP2: u16 = 15_002;
const TUNNELS: usize = 64;

/// An agent that sees the proxies alone, and leaves their own sockets alone.
fn tap(bench: &Bench, mesh: &Mesh, side: &str) -> Running {
    let tap = Tap::on(bench, mesh.pod.path()).args(["--side", side, "--ignore-mark"]);
    reading(tap.arg("0x539/0xfff"), "flows")
}

/// The ids of exchanges that are whole, each with its own response. Nothing is proved of them.
fn whole<'a>(report: &'a Report, side: &'a str) -> Vec<&'a str> {
    let whole = |exchange: &&Exchange| exchange.status().is_some() && exchange.partial().is_none();
    let exchanges = in_tunnels(report, side);
    let exchanges = exchanges.inspect(|exchange| assert_eq!(proof(exchange), (None, None)));
    exchanges
        .filter(whole)
        .map(|exchange| {
            let id = exchange.target().split_once("id=").expect("an id").1;
            assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
            id
        })
        .collect()
}

/// What a request refers to in header compression was sent before: its target may be unknown. Its
/// response is its own, and whole.
fn is_of_http2(exchange: &Exchange) -> bool {
    let is_whole = matches!(exchange.partial(), None | Some("hpack"));
    if !is_whole || exchange.status() != Some(200) {
        return false;
    }
    let id = exchange.response().text();
    let target = exchange.at("/target").and_then(|target| target.as_str());
    if let Some((_, asked)) = target.and_then(|target| target.split_once("id=")) {
        assert_eq!(id, asked, "mispaired: {exchange:?}");
    }
    id.starts_with("h-")
}

/// A session, and tunnels in it that are opened later.
#[test]
fn later_tunnels() {
    live(|bench| {
        for side in ["server", "client"] {
            let mesh = Mesh::start(bench, false);
            send(&ids(5));
            let tap = tap(bench, &mesh, side);
            let ids = ids(20);
            send(&ids);
            tap.emitted_each([format!("/echo?id={}", ids[19])]);
            let report = tap.finish();
            report.assert_balanced();
            let last = whole(&report, side).last().copied();
            assert_eq!(last, Some(&*ids[19]), "{:#?}", report.lines);
        }
    });
}

/// Tunnels that stay open, with requests one after the other in each: in HTTP/1, and in HTTP/2.
#[test]
fn started_among_tunnels() {
    live(|bench| {
        for side in ["server", "client"] {
            let mut mesh = Mesh::start(bench, false);
            mesh.outbound(bench, [OUTBOUND_HTTP2, HTTP2_PORT], false);
            let _http2 = http2(bench);
            let is_over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let over = SetOnDrop(&is_over);
                let requests = scope.spawn(|| http1(&is_over));
                established(HTTP_PORT);
                established(HTTP2_PORT);
                let tap = tap(bench, &mesh, side);
                let tunnels = (0..TUNNELS).map(|n| format!("/echo?id=t{n}-"));
                tap.emitted_each(tunnels.chain(["/echo?id=h-7".to_owned()]));
                tap.emitted(20 * TUNNELS);
                let report = tap.finish();
                drop(over);
                requests.join().expect("no request fails");
                report.assert_balanced();
                let ids = whole(&report, side).into_iter();
                let http1: BTreeSet<_> = ids
                    .filter_map(|id| id.strip_prefix('t')?.split('-').next())
                    .collect();
                assert_eq!(http1.len(), TUNNELS, "{http1:?}");
                let http2 = in_tunnels(&report, side).filter(|exchange| is_of_http2(exchange));
                assert!(http2.count() > TUNNELS);
            });
        }
    });
}

/// Waits until every tunnel leads to this server.
fn established(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while socket_states(port).filter(|state| state == "01").count() < TUNNELS {
        assert!(
            Instant::now() < deadline,
            "{:?}",
            socket_states(port).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One request after the other, each in the next tunnel.
fn http1(is_over: &AtomicBool) {
    let open = |_| Connection::open(([127, 0, 0, 1], OUTBOUND));
    let mut tunnels: Vec<_> = (0..TUNNELS).map(open).collect();
    for round in 0.. {
        for (n, tunnel) in tunnels.iter_mut().enumerate() {
            let id = format!("t{n}-{round}");
            let response = tunnel.get(&format!("/echo?id={id}"));
            assert_eq!(response.body, id.as_bytes());
        }
        if is_over.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Tunnels of HTTP/2, four requests at a time in each, until this is dropped.
fn http2(bench: &Bench) -> Daemon {
    let targets = (0..20).map(|n| format!("http://127.0.0.1:{OUTBOUND_HTTP2}/echo?id=h-{n}"));
    let targets = targets.collect::<Vec<_>>().join("\n");
    let list = bench.scratch.write("targets", targets);
    let mut command = Command::new("h2load");
    command
        .arg(format!("--clients={TUNNELS}"))
        .args(["--duration=600", "--rps=8", "--max-concurrent-streams=4"])
        .arg("--input-file")
        .arg(list);
    Daemon::start(bench, &mut command)
}
