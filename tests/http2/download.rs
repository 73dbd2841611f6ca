//! DATA past the limit of a body stays in the kernel, while everything else of the connection is
//! copied.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use meshtap_tests::{Bench, HTTP_PORT, Nginx, Report, Tap, figure, live};

use crate::peers::{Outgoing, block_on, connect};

const SIZE: u64 = 1 << 30;
const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    HTTP_PORT,
);

fn nginx(bench: &Bench) -> Nginx {
    let nginx = Nginx::start_http(
        bench,
        &format!(
            "server {{ listen {HTTP_PORT} http2; keepalive_requests 1000000;
             location /echo {{ return 200 $arg_id; }}
             location /up {{ client_max_body_size 0; proxy_pass http://127.0.0.1:9090; }} }}
             server {{ listen 9090; return 200 up; }}"
        ),
    );
    let file = File::create(nginx.root().join("huge")).expect("a file");
    file.set_len(SIZE).expect("a sparse file");
    nginx
}

fn get(target: &str) -> Request<Outgoing> {
    Request::get(format!("http://test{target}"))
        .body(Outgoing::whole(""))
        .expect("a request")
}

/// A download on one stream, and about a hundred small requests a second on others of the same
/// connection until it is over. How many those were.
fn traffic() -> usize {
    traffic_of(SIZE, u64::MAX, &AtomicU64::new(0))
}

/// The same, of so many bytes, of which `rate` are read in a second. `received`: how many have
/// come.
fn traffic_of(expected: u64, rate: u64, received: &AtomicU64) -> usize {
    block_on(async {
        let sender = connect(SERVER, 16 << 20).await;
        let is_over = AtomicBool::new(false);
        let mut downloader = sender.clone();
        let download = async {
            let response = downloader.send_request(get("/huge")).await.expect("huge");
            let mut body = response.into_body();
            let mut size = 0;
            let start = tokio::time::Instant::now();
            while let Some(frame) = body.frame().await {
                size += frame
                    .expect("a frame")
                    .data_ref()
                    .map_or(0, |data| data.len() as u64);
                received.store(size, Ordering::SeqCst);
                let due = Duration::from_micros(size.saturating_mul(1_000_000) / rate);
                tokio::time::sleep_until(start + due).await;
            }
            is_over.store(true, Ordering::SeqCst);
            assert_eq!(size, expected);
        };
        let small = async {
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            let mut count = 0;
            while !is_over.load(Ordering::SeqCst) || count < 20 {
                pace.tick().await;
                let mut sender = sender.clone();
                let target = format!("/echo?id={count}");
                let response = sender.send_request(get(&target)).await.expect("small");
                let body = response.into_body().collect().await.expect("a body");
                assert_eq!(body.to_bytes(), count.to_string().as_bytes());
                count += 1;
            }
            count
        };
        let ((), count) = tokio::join!(download, small);
        count
    })
}

fn check(report: &Report, count: usize) {
    check_of(report, SIZE, count);
}

fn check_of(report: &Report, size: u64, count: usize) {
    report.assert_nothing_lost();
    let (huge, small): (Vec<_>, Vec<_>) =
        (report.exchanges.iter()).partition(|exchange| exchange.target() == "/huge");
    assert_eq!((huge.len(), small.len()), (1, count), "{:#}", report.ledger);
    assert_eq!(huge[0].response().body_size(), size, "the true size");
    for exchange in &small {
        let id = exchange.target().strip_prefix("/echo?id=").expect("an id");
        assert_eq!(exchange.response().text(), id);
    }
    let copied = report.copied_bytes();
    figure(&format!(
        "{copied} bytes copied of a download of {size} with {count} small requests beside it"
    ));
    assert!(copied <= size / 20, "{copied}");
}

#[test]
fn a_download_beside_small_requests_at_the_server() {
    live(|bench| {
        let _nginx = nginx(bench);
        let tap = Tap::new(bench)
            .args(["--side", "server", "--port", "8080"])
            .start();
        let count = traffic();
        check(&tap.finish(), count);
    });
}

#[test]
fn a_download_beside_small_requests_at_the_client() {
    live(|bench| {
        let _nginx = nginx(bench);
        let tap = Tap::new(bench)
            .args(["--side", "client", "--port", "8080"])
            .start();
        let count = traffic();
        check(&tap.finish(), count);
    });
}

/// A client that reads slowly: most packets have something small between what is not copied.
#[test]
fn a_slow_download_beside_small_requests() {
    const SIZE: u64 = 256 << 20;
    for side in ["server", "client"] {
        live(|bench| {
            let nginx = nginx(bench);
            let file = File::options().write(true).open(nginx.root().join("huge"));
            file.and_then(|file| file.set_len(SIZE)).expect("a file");
            let tap = Tap::new(bench)
                .args(["--side", side, "--port", "8080"])
                .start();
            let count = traffic_of(SIZE, 64 << 20, &AtomicU64::new(0));
            check_of(&tap.finish(), SIZE, count);
        });
    }
}

/// The agent starts while a download goes on.
#[test]
fn a_download_that_is_joined_in_the_middle() {
    const SIZE: u64 = 3 << 30;
    for side in ["server", "client"] {
        live(|bench| {
            let nginx = nginx(bench);
            let file = File::options().write(true).open(nginx.root().join("huge"));
            file.and_then(|file| file.set_len(SIZE)).expect("a file");
            let received = Arc::new(AtomicU64::new(0));
            let traffic = std::thread::spawn({
                let received = Arc::clone(&received);
                move || traffic_of(SIZE, u64::MAX, &received)
            });
            while received.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let tap = Tap::new(bench)
                .args(["--side", side, "--port", "8080"])
                .start();
            let left = SIZE - received.load(Ordering::SeqCst);
            assert!(left > SIZE / 8, "{left}: joined too late");
            let count = traffic.join().expect("traffic");
            let copied = tap.finish().copied_bytes();
            figure(&format!(
                "{side}: {copied} bytes copied of the last {left} of a download, {count} small requests"
            ));
            assert!(copied <= left / 20, "{copied}");
        });
    }
}

/// An upload of a gigabyte.
#[test]
fn an_upload_is_measured_and_not_copied() {
    live(|bench| {
        let _nginx = nginx(bench);
        let tap = Tap::new(bench)
            .args(["--side", "server", "--port", "8080"])
            .start();
        block_on(async {
            let mut sender = connect(SERVER, 1 << 20).await;
            let (body, to) = Outgoing::new();
            let request = Request::post("http://test/up")
                .body(body)
                .expect("a request");
            let chunk = bytes::Bytes::from(vec![b'x'; 1 << 20]);
            for _ in 0..256 {
                let frame = http_body::Frame::data(chunk.clone());
                to.send(frame).expect("a connection");
            }
            drop(to);
            let response = sender.send_request(request).await.expect("a response");
            let _body = response.into_body().collect().await.expect("a body");
        });
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().request().body_size(), 256 << 20);
        let copied = report.copied_bytes();
        figure(&format!("{copied} bytes copied of an upload of 256 MiB"));
        assert!(copied <= (256 << 20) / 20, "{copied}");
    });
}
