//! Real servers and odd requests: whatever a server responds to must be in the agent's output, with
//! the response's status.
//!
//! Each request has a connection of its own, and a plain request comes after it where the server
//! keeps the connection: an odd request must hide neither itself nor what follows. What servers
//! make of each request is not asserted, but read off their responses; the table server × request
//! is printed.

mod requests;
mod servers;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use meshtap_tests::{Connection, Exchange, Tap, figure, live};

use self::requests::Case;
use self::servers::{KINDS, Kind};

/// Requests that are not read yet, each with the reason. The list only shrinks: one that is right
/// at every server is an error of this list.
const NOT_READ: &[(&str, &str)] = &[
    ("HTTP 1.1", NO_STATUS_LINE),
    ("HTTPS/1.1", NO_STATUS_LINE),
    ("ICY/1.0", NO_STATUS_LINE),
];

/// Nothing shows that such a request is one: its line names no version of HTTP, and Python's server
/// responds as to HTTP/0.9, without a status line.
const NO_STATUS_LINE: &str = "neither the request nor its response names HTTP";

/// A server that waits for more has not responded: this long is waited for one that has.
const SILENCE: Duration = Duration::from_secs(5);
/// Connections at once.
const CLIENTS: usize = 16;

/// What a server did with one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// The client's port.
    port: u16,
    /// The status of each response; none for a response without a status line (HTTP/0.9).
    responses: Vec<Option<u16>>,
}

/// Sends the request and, where that is possible, a plain one after it.
fn try_case(address: SocketAddr, case: &Case) -> Seen {
    let mut connection = Connection::open(address);
    connection
        .stream()
        .set_read_timeout(Some(SILENCE))
        .expect("timeout");
    let port = connection.stream().local_addr().expect("an address").port();
    let mut responses = Vec::new();
    // A server may refuse the request before it has read it all.
    let sent = connection.try_send(&case.bytes).is_ok();
    let first = connection.try_response();
    responses.extend(first);
    // After 2xx to CONNECT the connection is a tunnel.
    let tunnel =
        case.name.starts_with("CONNECT") && matches!(responses.first(), Some(Some(200..300)));
    if sent
        && matches!(responses.as_slice(), [Some(_)])
        && !tunnel
        && connection.try_send(requests::plain("/after")).is_ok()
    {
        let after = connection.try_response();
        responses.extend(after);
    }
    Seen { port, responses }
}

/// Every case, some at a time.
fn try_all(address: SocketAddr, cases: &[Case]) -> Vec<Seen> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut seen: Vec<(usize, Seen)> = std::thread::scope(|scope| {
        let client = || {
            let mut seen = Vec::new();
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let Some(case) = cases.get(n) else {
                    return seen;
                };
                seen.push((n, try_case(address, case)));
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    });
    seen.sort_by_key(|(n, _)| *n);
    seen.into_iter().map(|(_, seen)| seen).collect()
}

/// What is in a cell of the table, and whether it is right.
fn compare(seen: &Seen, emitted: &[&Exchange]) -> (String, bool) {
    let status = |status: &Option<u16>| {
        status.map_or_else(|| "bare".to_owned(), |status| status.to_string())
    };
    let responses: Vec<String> = seen.responses.iter().map(status).collect();
    let found: Vec<Option<u16>> = emitted
        .iter()
        .map(|exchange| {
            exchange
                .status()
                .and_then(|status| u16::try_from(status).ok())
        })
        .collect();
    // A request without a response may be emitted besides.
    let mut left = found.iter();
    let right = seen
        .responses
        .iter()
        .all(|response| left.any(|found| found == response || response.is_none()));
    let cell = if responses.is_empty() {
        "-".to_owned()
    } else {
        responses.join(" ")
    };
    if right {
        (cell, true)
    } else {
        let found: Vec<String> = found.iter().map(status).collect();
        (
            format!(
                "{cell} ≠ {}",
                if found.is_empty() {
                    "absent".to_owned()
                } else {
                    found.join(" ")
                }
            ),
            false,
        )
    }
}

/// The server's column of the table.
fn column(kind: Kind, cases: &[Case]) -> Result<Vec<(String, bool)>, String> {
    let mut result = Err("it did not run".to_owned());
    live(|bench| {
        result = kind.start(bench).map(|server| {
            let tap = Tap::new(bench)
                .args(["--side", "server", "--port", &server.port.to_string()])
                .start();
            let seen = try_all(([127, 0, 0, 1], server.port).into(), cases);
            let report = tap.finish();
            report.assert_balanced();
            let mut by_port: HashMap<u16, Vec<&Exchange>> = HashMap::new();
            for exchange in &report.exchanges {
                by_port
                    .entry(exchange.end("client").1)
                    .or_default()
                    .push(exchange);
            }
            let of = |port: u16| by_port.get(&port).map_or(&[][..], Vec::as_slice);
            seen.iter()
                .map(|seen| compare(seen, of(seen.port)))
                .collect()
        });
    });
    result
}

fn is_known(case: &Case) -> bool {
    NOT_READ.iter().any(|(name, _)| *name == case.name)
}

#[test]
fn what_a_server_responds_to_is_emitted() {
    let cases = requests::all();
    let mut columns = Vec::new();
    for kind in KINDS {
        match column(*kind, &cases) {
            Ok(cells) => columns.push((kind, cells)),
            Err(reason) => figure(&format!("{kind:?}: {reason}")),
        }
    }
    if columns.is_empty() {
        return;
    }
    let mut table = "\n| request |".to_owned();
    for (kind, _) in &columns {
        let _ = write!(table, " {kind:?} |");
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(columns.len()));
    let mut wrong = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let _ = write!(table, "| {} |", case.name);
        for (kind, cells) in &columns {
            let (cell, right) = &cells[n];
            let _ = write!(table, " {cell} |");
            if !right && !is_known(case) {
                wrong.push(format!("{kind:?}, {}: {cell}", case.name));
            }
        }
        table.push('\n');
    }
    figure(&table);
    for (n, case) in cases.iter().enumerate() {
        let right = columns.iter().all(|(_, cells)| cells[n].1);
        let stale = right && is_known(case) && columns.len() == KINDS.len();
        assert!(!stale, "{} is read; take it out of the list", case.name);
    }
    let total: usize = columns.iter().map(|(_, cells)| cells.len()).sum();
    assert!(
        wrong.is_empty(),
        "{} of {total} are not emitted as the server responded:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
