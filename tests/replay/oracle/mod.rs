//! An independent oracle: one capture file through Wireshark's dissectors and through our own
//! engine. Both must show the same requests, statuses and body lengths, connection by connection
//! and in the same order; and both must show what the clients did.
//!
//! Where the two differ, the difference has a name in this file and a reason beside it. Anything
//! else fails.

mod agent;
mod difference;
mod distort;
mod shown;
mod traffic;
mod tshark;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;

use meshtap::exchange::Partial;
use meshtap_tests::{
    Accept, Apache, Bench, Connection, ENVOY_PORT, Envoy, Exchange, HTTP_PORT, Impairment,
    LossyLink, MessageServer, Netns, Sniffer, binary, body_of, close, figure, isolated, received,
    send, skip, swarm,
};

use self::agent::{Outcome, replay};
use self::distort::{Distortion, distort};
use self::shown::{Connections, Ends, Shown, assert_same, count};
use self::traffic::{ALL, Asked, FILES, Files, Kind};

/// Loopback of both families, for three clients.
const BOTH: [&str; 3] = ["127.0.0.1", "[::1]", "127.0.0.1"];

/// Both readers show the same of this file. Gives ours.
#[track_caller]
fn agree(bench: &Bench, what: &str, file: &[u8], ports: &[u16], reordered: bool) -> Outcome {
    let path = bench.scratch.write("capture.pcap", file);
    let theirs = tshark::dissect(&path, ports, false);
    let ours = replay(file);
    let differences = difference::explain(what, &ours, &theirs, reordered);
    figure(&format!(
        "{what}: {} exchanges on {} connections in {} packets; differences: {differences:?}",
        ours.exchanges.len(),
        theirs.len(),
        ours.totals.packets
    ));
    ours
}

/// What we show of the connections to `port` is what the clients asked for and got, each once.
#[track_caller]
fn assert_asked(ours: &Outcome, port: u16, asked: &[Asked]) {
    let suffix = format!(":{port}");
    let mut by_target = HashMap::new();
    for exchange in &ours.exchanges {
        if exchange.ends.server.ends_with(&suffix) {
            let before = by_target.insert(exchange.shown.target.as_str(), exchange);
            assert!(before.is_none(), "twice: {}", exchange.shown);
        }
    }
    for asked in asked {
        let shown = by_target.remove(asked.target.as_str());
        let shown = shown.unwrap_or_else(|| panic!("not shown: {asked:?}"));
        assert_eq!(shown.shown.status, Some(asked.status), "{}", shown.shown);
        assert_eq!(shown.shown.method, asked.method, "{}", shown.shown);
        match shown.partial {
            None => assert_eq!(
                shown.shown.request_body, asked.request_body,
                "{}",
                shown.shown
            ),
            // A client may stop sending a body that is responded already.
            Some(partial) => assert!(
                partial == Partial::RequestCut && asked.may_be_cut,
                "{partial:?}: {}",
                shown.shown
            ),
        }
        if let Some(response) = &asked.response {
            assert!(&shown.decoded == response, "another body: {}", shown.shown);
        }
    }
    let rest: Vec<_> = by_target.values().map(|e| e.shown.to_string()).collect();
    assert!(rest.is_empty(), "never asked for: {rest:?}");
}

/// `meshtap replay` shows what its library shows.
fn agree_with_the_program(bench: &Bench, ours: &Outcome, file: &[u8]) {
    let Some(program) = binary() else {
        return skip("there is no meshtap binary: run `cargo xtask build --release`");
    };
    let path = bench.scratch.write("capture.pcap", file);
    let output = Command::new(program)
        .args(["replay", "--json", "-vv"])
        .arg(path)
        .output()
        .expect("meshtap");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    let mut shown = Connections::new();
    for line in text.lines() {
        let exchange = Exchange::parse(line);
        let [client, server] = ["client", "server"].map(|end| {
            let (address, port) = exchange.end(end);
            match address.contains(':') {
                true => format!("[{address}]:{port}"),
                false => format!("{address}:{port}"),
            }
        });
        shown
            .entry(Ends { client, server })
            .or_default()
            .push(Shown {
                method: exchange.method().to_owned(),
                target: exchange.target().to_owned(),
                status: exchange.status().and_then(|status| status.try_into().ok()),
                request_body: exchange.request().body_size(),
                response_body: exchange.response().body_size(),
            });
    }
    assert_same("the program", &shown, &ours.connections());
}

/// The lengths of bodies whose content coding is removed are the same as well.
fn agree_decoded(bench: &Bench, ours: &Outcome, file: &[u8], ports: &[u16]) {
    let path = bench.scratch.write("capture.pcap", file);
    let theirs = tshark::dissect(&path, ports, true);
    let mut decoded = Connections::new();
    for exchange in &ours.exchanges {
        let mut shown = exchange.shown.clone();
        shown.response_body = exchange.decoded.len() as u64;
        decoded
            .entry(exchange.ends.clone())
            .or_default()
            .push(shown);
    }
    assert_same("decoded", &decoded, &theirs);
}

/// The file with packets written twice and out of order gives the same.
fn agree_when_shuffled(bench: &Bench, ours: &Outcome, file: &[u8], ports: &[u16]) {
    for (what, distortion) in [
        (
            "duplicated",
            Distortion {
                duplicate: 100,
                ..Distortion::default()
            },
        ),
        (
            "reordered",
            Distortion {
                reorder: 100,
                ..Distortion::default()
            },
        ),
        (
            "both",
            Distortion {
                duplicate: 50,
                reorder: 50,
                ..Distortion::default()
            },
        ),
    ] {
        let (shuffled, done) = distort(file, distortion, 42);
        figure(&format!("{what}: {done:?}"));
        let shown = replay(&shuffled).connections();
        assert_same(what, &shown, &ours.connections());
        agree(bench, what, &shuffled, ports, done.reordered > 0);
    }
}

/// Packets that the capture lost: what is shown whole is what happened, what is shown in part is
/// part of what happened, and what is not shown is in the ledger.
fn honest_when_packets_are_missing(bench: &Bench, whole: &Outcome, file: &[u8], ports: &[u16]) {
    for (loss, seed) in [(20, 1), (100, 2)] {
        let distortion = Distortion {
            loss,
            ..Distortion::default()
        };
        let (holed, done) = distort(file, distortion, seed);
        let ours = replay(&holed);
        let path = bench.scratch.write("capture.pcap", &holed);
        let theirs = tshark::dissect(&path, ports, false);
        let totals = difference::assert_honest(whole, &ours, &theirs, done.lost);
        figure(&format!("{done:?}: {totals:?} {:?}", ours.ledger));
    }
}

#[test]
fn nginx() {
    isolated(|bench| {
        let nginx = traffic::nginx(bench);
        let files = Files::write(nginx.root());
        let sniffer = Sniffer::start("lo", "127.0.0.1");
        let asked = traffic::mixed(bench, &files, (&BOTH, HTTP_PORT), &ALL, 250);
        let file = sniffer.finish();
        assert!(asked.len() >= 1000, "{}", asked.len());
        let ours = agree(bench, "nginx", &file, &[HTTP_PORT], false);
        assert_asked(&ours, HTTP_PORT, &asked);
        agree_with_the_program(bench, &ours, &file);
        agree_decoded(bench, &ours, &file, &[HTTP_PORT]);
        agree_when_shuffled(bench, &ours, &file, &[HTTP_PORT]);
        honest_when_packets_are_missing(bench, &ours, &file, &[HTTP_PORT]);
    });
}

#[test]
fn apache() {
    isolated(|bench| {
        let apache = Apache::start(bench);
        let files = Files::write(apache.root());
        let sniffer = Sniffer::start("lo", "127.0.0.1");
        let asked = traffic::mixed(bench, &files, (&BOTH, HTTP_PORT), &FILES, 150);
        let file = sniffer.finish();
        let ours = agree(bench, "apache", &file, &[HTTP_PORT], false);
        assert_asked(&ours, HTTP_PORT, &asked);
        agree_when_shuffled(bench, &ours, &file, &[HTTP_PORT]);
        honest_when_packets_are_missing(bench, &ours, &file, &[HTTP_PORT]);
    });
}

/// Two legs of each request in one file.
#[test]
fn envoy_before_nginx() {
    isolated(|bench| {
        let nginx = traffic::nginx(bench);
        let files = Files::write(nginx.root());
        let _envoy = Envoy::start(bench, "127.0.0.1");
        let sniffer = Sniffer::start("any", "127.0.0.1");
        // This Envoy listens on IPv4, and responds to HTTP/1.0 with 426.
        let kinds: Vec<Kind> = ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Http10)
            .collect();
        let asked = traffic::mixed(bench, &files, (&["127.0.0.1"; 3], ENVOY_PORT), &kinds, 150);
        let file = sniffer.finish();
        let ports = [HTTP_PORT, ENVOY_PORT];
        let ours = agree(bench, "envoy", &file, &ports, false);
        assert_eq!(ours.exchanges.len(), 2 * asked.len());
        assert_asked(&ours, ENVOY_PORT, &asked);
        agree_when_shuffled(bench, &ours, &file, &ports);
        honest_when_packets_are_missing(bench, &ours, &file, &ports);
    });
}

/// Loss, reordering and duplication on the wire, seen where the server is: what TCP repairs, both
/// show whole.
#[test]
fn a_bad_link() {
    isolated(|bench| {
        let elsewhere = Netns::new();
        let impairment = Impairment {
            loss: 20,
            reorder: 250,
            duplicate: 10,
        };
        let _link = LossyLink::new(
            (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
            (&elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
            impairment,
            11,
        );
        let nginx = meshtap_tests::Nginx::start(bench, meshtap_tests::ECHO);
        let sniffer = Sniffer::start("tun0", "10.1.0.2");
        let address = SocketAddr::from(([10, 1, 0, 1], HTTP_PORT));
        let ids = elsewhere.inside(|| swarm(address, 16, 80));
        drop(nginx);
        let file = sniffer.finish();
        let ours = agree(bench, "a bad link", &file, &[HTTP_PORT], false);
        assert_eq!(count(&ours.connections()), ids.len());
    });
}

/// Bytes of a request's and a response's body.
const SIZES: [(usize, usize); 8] = [
    (1, 1),
    (100, 1_000),
    (3_000, 3_000),
    (1, 40_000),
    (40_000, 1),
    (20_000, 20_000),
    (1, 1_000_000),
    (1_000_000, 300_000),
];

/// Every one of the first `sizes` from each of some clients, three exchanges on a connection, with
/// each server in turn. Gives the ids.
fn messages(servers: [SocketAddr; 2], sizes: usize) -> Vec<(String, usize, usize)> {
    let one = |client: usize| {
        let mut connection = Connection::open(servers[0]);
        let mut done = Vec::new();
        let sizes = SIZES.into_iter().take(sizes).cycle().take(3 * sizes);
        for (n, (request, response)) in sizes.enumerate() {
            if n % 3 == 0 {
                connection = Connection::open(servers[(client + n / 3) % 2]);
            }
            let id = format!("{client}-{n}");
            send(&mut connection, &id, request, response);
            received(&mut connection, &id, response);
            done.push((id, request, response));
        }
        close(&connection);
        done
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|n| scope.spawn(move || one(n))).collect();
        let clients = clients.into_iter();
        clients
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    })
}

/// Loss in both directions, seen at either end: at the server requests have holes that are filled
/// later, at the client responses; both have copies that the other end never got.
#[test]
fn a_bad_link_at_either_end() {
    isolated(|bench| {
        for (loss, seed, sizes) in [(20, 1, 8), (100, 2, 6)] {
            let elsewhere = Netns::new();
            let impairment = Impairment {
                loss,
                reorder: 50,
                duplicate: 10,
            };
            let link = LossyLink::new(
                (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
                (&elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
                impairment,
                seed,
            );
            let ports = [HTTP_PORT, HTTP_PORT + 1];
            let addresses = ports.map(|port| SocketAddr::from(([10, 1, 0, 1], port)));
            let servers = addresses.map(|one| MessageServer::start(one, Accept::AtOnce));
            let at_server = Sniffer::start("tun0", "10.1.0.2");
            let (asked, at_client) = elsewhere.inside(|| {
                let at_client = Sniffer::start("tun0", "10.1.0.1");
                (messages(addresses, sizes), at_client.finish())
            });
            drop(servers);
            for (side, file) in [("server", at_server.finish()), ("client", at_client)] {
                let what = format!("{} % lost, at the {side}", loss / 10);
                let ours = agree(bench, &what, &file, &ports, true);
                assert_eq!(ours.exchanges.len(), asked.len(), "{what}");
                for (id, request, response) in &asked {
                    let target = format!("/message?id={id}&size={response}");
                    let shown = ours.exchanges.iter().find(|one| one.shown.target == target);
                    let shown = shown.unwrap_or_else(|| panic!("{what}: not shown: {target}"));
                    assert_eq!(shown.partial, None, "{what}: {}", shown.shown);
                    assert_eq!(shown.shown.request_body, *request as u64);
                    assert!(shown.decoded == body_of(id, *response), "{what}: {target}");
                }
            }
            drop(link);
        }
    });
}
