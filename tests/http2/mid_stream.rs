//! An agent that starts in the middle of busy connections. What header compression refers to was
//! sent before: it is unknown and marked, and never another one's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use meshtap_tests::{HTTP_PORT, Tap, live};

use crate::in_part::judge;
use crate::peers::{Outgoing, Server, block_on, connect};

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    HTTP_PORT,
);
const CONNECTIONS: usize = 32;
const STREAMS: usize = 4;
/// Rounds of so many streams on each connection, before the agent starts and after it.
const BEFORE: usize = 10;
const AFTER: usize = 25;

/// The fields of a message, some of twelve, each with one of four values: what an encoder puts into
/// its table, and refers to, again and again. Every few rounds they have other names, which are new
/// to the agent, too.
fn fields(prefix: char, id: usize) -> BTreeMap<String, String> {
    let mixed = |at: usize| (id * 12 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15_usize) >> 40;
    let is_there = |at: &usize| mixed(*at) % 3 != 0;
    let epoch = id / (CONNECTIONS * STREAMS * 5);
    (0..12)
        .filter(is_there)
        .map(|at| {
            let value = mixed(at) / 3 % 4;
            let name = format!("{prefix}-name-{epoch}-{at}");
            (name, format!("{prefix}{at} is {value}"))
        })
        .chain([(format!("{prefix}-id"), id.to_string())])
        .collect()
}

async fn respond(request: Request<Incoming>) -> Response<Outgoing> {
    let id = request.headers()["x-id"]
        .to_str()
        .expect("an id")
        .to_owned();
    let number = id.parse().expect("a number");
    let _body = request.into_body().collect().await;
    let mut response = Response::builder();
    for (name, value) in fields('y', number) {
        response = response.header(name, value);
    }
    response.body(Outgoing::whole(id)).expect("a response")
}

/// Whether the agent has started, and how many connections are ready for it.
#[derive(Debug, Default)]
struct Progress {
    started: AtomicBool,
    warm: AtomicUsize,
}

/// Sends requests on one connection, several at once, until `AFTER` rounds after the agent's start.
/// The ids of those.
async fn client(client: usize, progress: Arc<Progress>) -> Vec<String> {
    let sender = connect(SERVER, 1 << 20).await;
    let (mut round, mut after, mut ids) = (0, 0, Vec::new());
    while after < AFTER {
        let counts = progress.started.load(Ordering::SeqCst);
        let mut streams = tokio::task::JoinSet::new();
        for stream in 0..STREAMS {
            let id = (round * STREAMS + stream) * CONNECTIONS + client;
            let mut request = Request::post("http://test/late");
            for (name, value) in fields('x', id) {
                request = request.header(name, value);
            }
            let request = request.body(Outgoing::whole("body")).expect("a request");
            let mut sender = sender.clone();
            streams.spawn(async move {
                let response = sender.send_request(request).await.expect("a response");
                let body = response.into_body().collect().await.expect("a body");
                assert_eq!(body.to_bytes(), id.to_string());
            });
            if counts {
                ids.push(id.to_string());
            }
        }
        while let Some(stream) = streams.join_next().await {
            stream.expect("a stream");
        }
        after += usize::from(counts);
        round += 1;
        progress
            .warm
            .fetch_add(usize::from(round == BEFORE), Ordering::SeqCst);
    }
    ids
}

#[test]
fn every_field_is_right_or_unknown() {
    for side in ["server", "client"] {
        live(|bench| {
            let _server = Server::start(SERVER, respond);
            let progress = Arc::new(Progress::default());
            let (ids, report) = std::thread::scope(|scope| {
                let all = scope.spawn(|| {
                    block_on(async {
                        let mut clients = tokio::task::JoinSet::new();
                        for n in 0..CONNECTIONS {
                            clients.spawn(client(n, Arc::clone(&progress)));
                        }
                        clients.join_all().await.concat()
                    })
                });
                while progress.warm.load(Ordering::SeqCst) < CONNECTIONS {
                    std::thread::yield_now();
                }
                let tap = Tap::new(bench)
                    .args(["--side", side, "--no-redact", "--port", "8080"])
                    .start();
                progress.started.store(true, Ordering::SeqCst);
                let ids = all.join().expect("the clients");
                (ids, tap.finish())
            });
            judge(&report, &ids, side, fields);
        });
    }
}
