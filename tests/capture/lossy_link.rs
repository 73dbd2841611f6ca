//! A link that loses, reorders and duplicates packets. TCP repairs it, so every exchange that both
//! ends completed must be emitted: whole, or with what is missing by name. Messages are from one
//! byte to a megabyte, because a message that fits one packet says nothing about streams.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use meshtap_tests::{
    Accept, Bench, Connection, ECHO, HTTP_PORT, Impairment, LossyLink, MessageServer, Netns, Nginx,
    Random, Report, SetOnDrop, Tap, body_of, close, figure, live, received, send, swarm,
};

/// Bytes of a request's and a response's body, and how often each client sends such a request.
const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 8),
    (100, 1_000, 8),
    (3_000, 3_000, 8),
    (1, 40_000, 6),
    (40_000, 40_000, 6),
    (300_000, 1, 2),
    (1, 1_000_000, 1),
    (1_000_000, 1_000_000, 1),
];
/// Clients at once.
const CLIENTS: usize = 4;
/// Per thousand.
const LOSSES: &[u64] = &[0, 5, 10, 20, 50, 100];

fn percent(per_thousand: u64) -> String {
    format!("{}.{} %", per_thousand / 10, per_thousand % 10)
}

/// An exchange that both ends completed.
#[derive(Clone, Debug)]
struct Completed {
    id: String,
    request: usize,
    response: usize,
}

/// How clients use connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    /// One each, for everything.
    Kept,
    /// One for each exchange.
    Fresh,
}

/// Every size in a random order, from all clients at once. Each request is announced when it has
/// been sent.
fn traffic(
    address: SocketAddr,
    connections: Connections,
    seed: u64,
    sent: &Sender<()>,
) -> Vec<Completed> {
    let one = |client: usize, sent: Sender<()>| {
        let mut random = Random::new(seed * 1000 + client as u64);
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (request, response, times) in SIZES {
            for _ in 0..*times {
                let at = random.below(order.len() as u64 + 1);
                order.insert(usize::try_from(at).expect("small"), (*request, *response));
            }
        }
        let mut kept: Option<Connection> = None;
        let mut completed = Vec::new();
        for (n, (request, response)) in order.into_iter().enumerate() {
            let id = format!("{client}-{n}");
            let fresh = kept.is_none();
            let mut connection = kept.take().unwrap_or_else(|| Connection::open(address));
            // A request that does not fit the buffers of a socket is read only once it is
            // accepted.
            if fresh && request > 10_000 {
                let _ = sent.send(());
            }
            send(&mut connection, &id, request, response);
            if fresh && request <= 10_000 {
                let _ = sent.send(());
            }
            received(&mut connection, &id, response);
            completed.push(Completed {
                id,
                request,
                response,
            });
            match connections {
                Connections::Kept => kept = Some(connection),
                Connections::Fresh => close(&connection),
            }
        }
        completed
    };
    std::thread::scope(|scope| {
        let one = &one;
        let start = |n| {
            let sent = sent.clone();
            scope.spawn(move || one(n, sent))
        };
        let clients: Vec<_> = (0..CLIENTS).map(start).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    })
}

/// What became of exchanges.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    completed: usize,
    whole: usize,
    partial: usize,
    absent: usize,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.whole += other.whole;
        self.partial += other.partial;
        self.absent += other.absent;
    }
}

/// The table: loss × size × side.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<(String, Outcome)>,
}

impl Table {
    /// Finds every exchange in the report, and checks that what is there is its own.
    #[track_caller]
    fn add(&mut self, what: &str, report: &Report, completed: &[Completed]) {
        report.assert_balanced();
        let mut emitted: HashMap<&str, Vec<_>> = HashMap::new();
        for exchange in &report.exchanges {
            let target = exchange.target();
            let id = target
                .strip_prefix("/message?id=")
                .and_then(|query| query.split_once('&'));
            let (id, _) = id.unwrap_or_else(|| panic!("{target}"));
            emitted.entry(id).or_default().push(exchange);
        }
        for (request, response, _) in SIZES {
            let mut outcome = Outcome::default();
            for exchange in completed
                .iter()
                .filter(|one| (one.request, one.response) == (*request, *response))
            {
                let found = emitted
                    .get(exchange.id.as_str())
                    .map_or(&[][..], Vec::as_slice);
                assert!(found.len() <= 1, "emitted twice: {found:?}");
                outcome.completed += 1;
                match found.first() {
                    None => {
                        figure(&format!("absent in {what}: {exchange:?}"));
                        outcome.absent += 1;
                    }
                    Some(found) if found.partial().is_some() => outcome.partial += 1,
                    Some(found) => {
                        outcome.whole += 1;
                        assert_eq!(found.status(), Some(200), "{found:?}");
                        for (message, length) in
                            [(found.request(), *request), (found.response(), *response)]
                        {
                            assert_eq!(
                                message.body_size(),
                                length as u64,
                                "{what}: {}",
                                exchange.id
                            );
                            let body = body_of(&exchange.id, length);
                            assert!(
                                message.bytes() == body,
                                "{what}: another body of {}",
                                exchange.id
                            );
                        }
                    }
                }
            }
            self.rows
                .push((format!("{what} | {request} | {response}"), outcome));
        }
    }

    /// Shows it, and fails when an exchange is absent.
    #[track_caller]
    fn finish(self) {
        let mut text =
            "\n| loss | side | request | response | completed | whole | partial | absent |\n"
                .to_owned();
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        let mut total = Outcome::default();
        for (what, row) in &self.rows {
            total.add(*row);
            let Outcome {
                completed,
                whole,
                partial,
                absent,
            } = row;
            let _ = writeln!(
                text,
                "| {what} | {completed} | {whole} | {partial} | {absent} |"
            );
        }
        figure(&format!("{text}{total:?}"));
        assert_ne!(total.completed, 0);
        assert_eq!(total.absent, 0, "completed by both ends, and not emitted");
    }
}

fn network(bench: &Bench, elsewhere: &Netns, loss: u64, seed: u64) -> LossyLink {
    LossyLink::new(
        (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
        (elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
        Impairment {
            loss,
            reorder: 50,
            duplicate: 10,
        },
        seed,
    )
}

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1)),
    HTTP_PORT,
);

/// Bodies whole, and as they are.
fn tap(bench: &Bench, side: &str) -> Tap {
    Tap::new(bench).args(["--side", side, "--no-redact", "--max-body", "2MB"])
}

/// Every loss at one side; `accept` makes the server's way of accepting, given the event that a
/// request has been sent.
fn check(
    side: &str,
    connections: Connections,
    accept: fn(std::sync::mpsc::Receiver<()>) -> Accept,
) {
    live(|bench| {
        let mut table = Table::default();
        for (seed, loss) in (1..).zip(LOSSES) {
            let elsewhere = Netns::new();
            let link = network(bench, &elsewhere, *loss, seed);
            let (sent, event) = channel();
            let server = MessageServer::start(SERVER, accept(event));
            let tap = tap(bench, side).start();
            let completed = elsewhere.inside(|| traffic(SERVER, connections, seed, &sent));
            // A server that waits for an event ends when there will be none.
            drop(sent);
            drop(server);
            let report = tap.finish();
            // The device goes with it; the next link has one of the same name.
            drop(link);
            table.add(&format!("{} | {side}", percent(*loss)), &report, &completed);
        }
        table.finish();
    });
}

#[test]
fn kept_connections_at_the_server() {
    check("server", Connections::Kept, |_| Accept::AtOnce);
}

#[test]
fn kept_connections_at_the_client() {
    check("client", Connections::Kept, |_| Accept::AtOnce);
}

#[test]
fn fresh_connections_at_the_client() {
    check("client", Connections::Fresh, |_| Accept::AtOnce);
}

#[test]
fn data_before_there_is_a_socket() {
    check("server", Connections::Fresh, |_| Accept::Deferred);
}

#[test]
fn data_before_the_connection_is_accepted() {
    check("server", Connections::Fresh, Accept::When);
}

/// The agent starts while connections are in the middle of exchanges. Those whose request starts
/// afterwards are emitted.
#[test]
fn start_up() {
    /// Exchanges of each client before the agent starts, at least.
    const BEFORE: usize = 5;
    /// Exchanges of each client once it has started.
    const AFTER: usize = 20;
    live(|bench| {
        let mut table = Table::default();
        for (seed, loss) in (1..).zip(LOSSES) {
            for side in ["server", "client"] {
                let elsewhere = Netns::new();
                let link = network(bench, &elsewhere, *loss, seed);
                let server = MessageServer::start(SERVER, Accept::AtOnce);
                let started = AtomicBool::new(false);
                let over = AtomicBool::new(false);
                let warm = AtomicUsize::new(0);
                let client = |client: usize| {
                    let mut connection = Connection::open(SERVER);
                    let (mut completed, mut n) = (Vec::new(), 0);
                    while completed.len() < AFTER && !over.load(Ordering::SeqCst) {
                        let (request, response, _) = SIZES[(n + client) % 5];
                        let id = format!("{client}-{n}");
                        let counts = started.load(Ordering::SeqCst);
                        send(&mut connection, &id, request, response);
                        received(&mut connection, &id, response);
                        if counts {
                            completed.push(Completed {
                                id,
                                request,
                                response,
                            });
                        }
                        n += 1;
                        warm.fetch_add(usize::from(n == BEFORE), Ordering::SeqCst);
                    }
                    completed
                };
                let (completed, report) = std::thread::scope(|scope| {
                    let _over = SetOnDrop(&over);
                    let clients: Vec<_> = (0..CLIENTS)
                        .map(|n| {
                            elsewhere.inside(|| {
                                scope.spawn({
                                    let client = &client;
                                    move || client(n)
                                })
                            })
                        })
                        .collect();
                    while warm.load(Ordering::SeqCst) < CLIENTS {
                        std::thread::yield_now();
                    }
                    let tap = tap(bench, side).start();
                    started.store(true, Ordering::SeqCst);
                    let completed: Vec<_> = clients
                        .into_iter()
                        .flat_map(|client| client.join().expect("a client"))
                        .collect();
                    (completed, tap.finish())
                });
                drop(server);
                drop(link);
                table.add(
                    &format!("{} | {side}, started in between", percent(*loss)),
                    &report,
                    &completed,
                );
            }
        }
        table.finish();
    });
}

/// Both ends of one connection, seen by one agent, are recognised as one whatever the link does.
#[test]
fn both_ends_are_recognised_as_one() {
    live(|bench| {
        let elsewhere = Netns::new();
        let link = LossyLink::new(
            (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
            (&elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
            Impairment {
                loss: 20,
                reorder: 250,
                duplicate: 10,
            },
            3,
        );
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).args(["--side", "both"]).start();
        let ids = elsewhere.inside(|| swarm(SERVER, 64, 50));
        let report = tap.finish();
        figure(&format!("{:?}", link.finish()));
        report.assert_nothing_lost();
        report.assert_ids(&ids);
    });
}
