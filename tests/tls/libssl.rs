//! OpenSSL's libssl.so: nginx, curl, Python's `ssl`.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use meshtap_tests::{Daemon, Random, Tap, curl, figure, live};

use crate::bench::{Certificate, TLS_PORT, assert_load, at, echo, load, nginx, reading, scheme};

const LIBSSL: &str = "libssl.so";
/// Agents that come and go.
const AGENTS: usize = 10;

#[test]
fn curl_and_nginx() {
    for version in ["--http1.1", "--http2"] {
        live(|bench| {
            let certificate = Certificate::make(bench);
            let _nginx = nginx(bench, &certificate);
            let tap = reading(Tap::new(bench), LIBSSL);
            let response = curl(&[
                "-k",
                version,
                &echo(TLS_PORT, "one"),
                &echo(TLS_PORT, "two"),
            ]);
            assert_eq!(response, b"onetwo");
            let report = tap.finish();
            report.assert_nothing_lost();
            // Both ends are seen, and each exchange is emitted once.
            assert_eq!(report.folded(), 2);
            let ids: Vec<_> = report
                .exchanges
                .iter()
                .map(|e| e.response().text())
                .collect();
            assert_eq!(ids, ["one", "two"]);
            for exchange in &report.exchanges {
                assert_eq!(exchange.side(), "server");
                assert_eq!(scheme(exchange), "https");
                assert_eq!(exchange.end("server"), ("127.0.0.1", TLS_PORT));
                assert_eq!(exchange.process().map(|(_, name)| name), Some("nginx"));
            }
        });
    }
}

#[test]
fn either_side_and_ports() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let client = reading(Tap::new(bench).args(["--side", "client"]), LIBSSL);
        let port = TLS_PORT.to_string();
        let selected = reading(
            Tap::new(bench).server_side().args(["--port", &port]),
            LIBSSL,
        );
        let other = reading(Tap::new(bench).args(["--port", "9"]), LIBSSL);
        assert_eq!(curl(&["-k", &echo(TLS_PORT, "one")]), b"one");
        let report = client.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().side(), "client");
        assert_eq!(report.only().process().map(|(_, name)| name), Some("curl"));
        let report = selected.finish();
        report.assert_nothing_lost();
        assert_eq!(report.only().side(), "server");
        assert_eq!(other.finish().exchanges.len(), 0);
    });
}

#[test]
fn left_alone_when_asked_to() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let tap = Tap::new(bench).start();
        assert_eq!(curl(&["-k", &echo(TLS_PORT, "one")]), b"one");
        let report = tap.finish();
        assert_eq!(report.exchanges.len(), 0);
        assert!(!report.stderr.contains("TLS:"), "{}", report.stderr);
    });
}

/// 1 MB each way, four at a time, and a client that reads slowly.
#[test]
fn large_bodies() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let nginx = nginx(bench, &certificate);
        let content = Random::new(7).bytes(1_000_000);
        fs::write(nginx.root().join("big"), &content).expect("a file");
        let tap = reading(
            Tap::new(bench).server_side().args(["--max-body", "2MiB"]),
            LIBSSL,
        );
        let url = format!("https://127.0.0.1:{TLS_PORT}/big");
        for version in ["--http1.1", "--http2"] {
            for slow in [&["--parallel"][..], &["--limit-rate", "2M"][..]] {
                let mut arguments = vec!["-k", version];
                arguments.extend(slow);
                arguments.extend([url.as_str(); 4]);
                assert_eq!(curl(&arguments).len(), 4 * content.len());
            }
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 16);
        for exchange in &report.exchanges {
            assert!(exchange.response().bytes() == content, "a body differs");
        }
    });
}

#[test]
fn many_connections() {
    for (http1, streams) in [(true, 1), (false, 10)] {
        live(|bench| {
            let certificate = Certificate::make(bench);
            let _nginx = nginx(bench, &certificate);
            let tap = reading(Tap::new(bench).server_side(), LIBSSL);
            let ids = load(bench, TLS_PORT, http1, streams);
            let report = tap.finish();
            report.assert_nothing_lost();
            assert_load(&report, TLS_PORT, &ids);
            // The sockets below are left alone: no ciphertext is copied.
            let plaintext = report.copied_bytes();
            figure(&format!("{plaintext} bytes copied (HTTP/1: {http1})"));
            assert!(plaintext < 20_000_000, "{plaintext}");
        });
    }
}

/// Agents come and go; no request fails, and what one of them emits is paired.
#[test]
fn agents_come_and_go_under_load() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    load(bench, TLS_PORT, true, 1);
                    load(bench, TLS_PORT, false, 10);
                }
            });
            // Also when an assertion fails.
            let _over = Over(&is_over);
            for _ in 0..AGENTS {
                let tap = reading(Tap::new(bench).server_side(), LIBSSL);
                tap.emitted(1);
                let report = tap.finish();
                report.assert_balanced();
                for exchange in at(&report, TLS_PORT) {
                    if let (Some(_), None) = (exchange.status(), exchange.partial()) {
                        let id = exchange.target().split_once("id=").expect("an id").1;
                        assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
                    }
                }
            }
        });
    });
}

/// Ends a load when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that is older than the agent.
#[test]
fn started_in_the_middle() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-connect",
                &format!("127.0.0.1:{TLS_PORT}"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let mut requests = client.stdin.take().expect("stdin");
        let mut responses = client.stdout.take().expect("stdout");
        let mut exchange = |id: &str| {
            use std::io::Write as _;
            write!(
                requests,
                "GET /echo?id={id} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            .expect("a request");
            let mut seen = Vec::new();
            while !seen.ends_with(id.as_bytes()) {
                let mut byte = [0];
                responses.read_exact(&mut byte).expect("a response");
                seen.extend(byte);
            }
        };
        exchange("before");
        let tap = reading(Tap::new(bench).server_side(), LIBSSL);
        exchange("during-1");
        exchange("during-2");
        tap.emitted(2);
        drop(requests);
        client.kill().expect("kill openssl");
        client.wait().expect("wait for openssl");
        let report = tap.finish();
        report.assert_nothing_lost();
        let ids: Vec<_> = report
            .exchanges
            .iter()
            .map(|e| e.response().text())
            .collect();
        assert_eq!(ids, ["during-1", "during-2"]);
        for exchange in &report.exchanges {
            assert_eq!(exchange.end("server"), ("127.0.0.1", TLS_PORT));
        }
    });
}

const PYTHON_SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.path.partition("id=")[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Python calls the `_ex` functions.
#[test]
fn python() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let script = bench.scratch.write("server.py", PYTHON_SERVER);
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(script)
            .arg(TLS_PORT.to_string())
            .args([&certificate.certificate, &certificate.key]);
        let _server = Daemon::start(bench, &mut command).listening(TLS_PORT);
        let tap = reading(Tap::new(bench).server_side(), LIBSSL);
        let response = curl(&["-k", &echo(TLS_PORT, "one"), &echo(TLS_PORT, "two")]);
        assert_eq!(response, b"onetwo");
        let report = tap.finish();
        report.assert_nothing_lost();
        let ids: Vec<_> = report
            .exchanges
            .iter()
            .map(|e| e.response().text())
            .collect();
        assert_eq!(ids, ["one", "two"]);
    });
}
