//! A link that loses, reorders and duplicates packets. TCP repairs it, so every exchange that both
//! ends completed must be emitted: whole, or with what is missing by name.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use meshtap_tests::{
    Bench, Exchange, HTTP_PORT, Impairment, LossyLink, Netns, Report, Tap, body_of, figure, live,
};

use crate::peers::{Outgoing, Server, block_on, connect};

/// Bytes of a request's and a response's body, and how often each client sends such a request.
const SIZES: &[(usize, usize, usize)] = &[
    (1, 1, 16),
    (1, 10_000, 8),
    (10_000, 10_000, 8),
    (300_000, 1, 1),
    (1, 1_000_000, 1),
    (1_000_000, 1_000_000, 1),
];
/// Connections at once, and streams at once on each.
const CONNECTIONS: usize = 3;
const STREAMS: usize = 8;
/// Per thousand.
const LOSSES: &[u64] = &[0, 5, 10, 20, 50, 100];
const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 1)),
    HTTP_PORT,
);

#[derive(Clone, Debug)]
struct Wanted {
    id: String,
    request: usize,
    response: usize,
}

async fn respond(request: Request<Incoming>) -> Response<Outgoing> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let _body = request.into_body().collect().await;
    let (id, size) = query.split_once("&size=").expect("a query of the test's");
    let id = id.strip_prefix("id=").expect("a query of the test's");
    let body = body_of(id, size.parse().expect("a size"));
    let response = Response::builder().header("content-type", "text/plain");
    response.body(Outgoing::whole(body)).expect("a response")
}

/// Every size, from all connections at once, several streams of each at once. What was completed.
fn traffic() -> Vec<Wanted> {
    block_on(async {
        let mut connections = tokio::task::JoinSet::new();
        for connection in 0..CONNECTIONS {
            connections.spawn(async move {
                let sender = connect(SERVER, 1 << 20).await;
                let mut wanted = Vec::new();
                let rounds = SIZES
                    .iter()
                    .map(|(.., times)| *times)
                    .max()
                    .unwrap_or_default();
                for round in 0..rounds {
                    for (request, response, times) in SIZES {
                        if round < *times {
                            let id = format!("{connection}-{}", wanted.len());
                            let (request, response) = (*request, *response);
                            wanted.push(Wanted {
                                id,
                                request,
                                response,
                            });
                        }
                    }
                }
                for batch in wanted.chunks(STREAMS) {
                    let mut streams = tokio::task::JoinSet::new();
                    for one in batch.iter().cloned() {
                        let mut sender = sender.clone();
                        streams.spawn(async move {
                            let target =
                                format!("http://test/message?id={}&size={}", one.id, one.response);
                            let body = body_of(&one.id, one.request);
                            let request = Request::post(target)
                                .header("content-type", "text/plain")
                                .body(Outgoing::whole(body))
                                .expect("a request");
                            let response = sender.send_request(request).await.expect("a response");
                            let body = response.into_body().collect().await.expect("a body");
                            assert_eq!(body.to_bytes(), body_of(&one.id, one.response));
                        });
                    }
                    while let Some(stream) = streams.join_next().await {
                        stream.expect("a stream");
                    }
                }
                wanted
            });
        }
        let mut completed = Vec::new();
        while let Some(connection) = connections.join_next().await {
            completed.extend(connection.expect("a connection"));
        }
        completed
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    completed: usize,
    whole: usize,
    partial: usize,
    absent: usize,
}

/// What became of those with bodies of each of [`SIZES`].
fn judge(report: &Report, completed: &[Wanted]) -> Vec<Outcome> {
    report.assert_balanced();
    let mut emitted: HashMap<String, &Exchange> = HashMap::new();
    for exchange in &report.exchanges {
        let target = exchange.target();
        let id = target
            .strip_prefix("/message?id=")
            .and_then(|query| query.split_once('&'))
            .unwrap_or_else(|| panic!("{target}"));
        let before = emitted.insert(id.0.to_owned(), exchange);
        assert!(before.is_none(), "{} twice", id.0);
    }
    let of_size = |(request, response, _): &(usize, usize, usize)| {
        let mut outcome = Outcome::default();
        let size = (*request, *response);
        for wanted in completed {
            if (wanted.request, wanted.response) == size {
                outcome.add(wanted, emitted.get(&wanted.id).copied());
            }
        }
        outcome
    };
    SIZES.iter().map(of_size).collect()
}

impl Outcome {
    fn add(&mut self, wanted: &Wanted, found: Option<&Exchange>) {
        self.completed += 1;
        let Some(found) = found else {
            self.absent += 1;
            return;
        };
        if found.partial().is_some() {
            self.partial += 1;
            return;
        }
        self.whole += 1;
        for (message, length) in [
            (found.request(), wanted.request),
            (found.response(), wanted.response),
        ] {
            assert_eq!(message.body_size(), length as u64, "{}", wanted.id);
            let is_right = message.bytes() == body_of(&wanted.id, length);
            assert!(is_right, "another body of {}", wanted.id);
        }
    }
}

/// At this loss, the lines of the table; how many are absent.
fn run(bench: &Bench, side: &str, loss: u64, seed: u64, text: &mut String) -> usize {
    let elsewhere = Netns::new();
    let link = LossyLink::new(
        (&bench.netns, ["10.1.0.1/24", "fd01::1/64"]),
        (&elsewhere, ["10.1.0.2/24", "fd01::2/64"]),
        Impairment {
            loss,
            reorder: 50,
            duplicate: 10,
        },
        seed,
    );
    let server = Server::start(SERVER, respond);
    let tap = Tap::new(bench)
        .args(["--side", side, "--no-redact", "--max-body", "2MB"])
        .start();
    let completed = elsewhere.inside(traffic);
    drop(server);
    let report = tap.finish();
    drop(link);
    if let Some(partial) = report.exchanges.iter().find_map(|one| one.partial()) {
        figure(&format!(
            "{loss} of a thousand lost, {side}: {partial}, {:#}",
            report.ledger
        ));
    }
    let mut absent = 0;
    for ((request, response, _), outcome) in SIZES.iter().zip(judge(&report, &completed)) {
        let Outcome {
            completed,
            whole,
            partial,
            absent: missing,
        } = outcome;
        let (percent, tenths) = (loss / 10, loss % 10);
        let _ = writeln!(
            text,
            "| {percent}.{tenths} % | {side} | {request} | {response} | {completed} | {whole} | \
             {partial} | {missing} |",
        );
        absent += missing;
    }
    absent
}

fn check(side: &str) {
    live(|bench| {
        let mut text =
            "\n| loss | side | request | response | completed | whole | partial | absent |\n"
                .to_owned();
        text.push_str("|---|---|---|---|---|---|---|---|\n");
        let absent: usize = (1..)
            .zip(LOSSES)
            .map(|(seed, loss)| run(bench, side, *loss, seed, &mut text))
            .sum();
        figure(&text);
        assert_eq!(absent, 0, "completed by both ends, and not emitted");
    });
}

#[test]
fn at_the_server() {
    check("server");
}

#[test]
fn at_the_client() {
    check("client");
}
