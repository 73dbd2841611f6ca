//! What the tests share: certificates, servers with TLS, clients with many ids.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use meshtap_tests::{Bench, ECHO, Exchange, HTTP_PORT, Nginx, Report, Running, Tap};

/// Where servers listen with TLS.
pub const TLS_PORT: u16 = 8443;

/// Connections of a load, and requests of each.
pub const CONNECTIONS: usize = 64;
pub const REQUESTS: usize = 200;

/// A self-signed certificate and its key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    pub fn make(bench: &Bench) -> Self {
        let folder = bench.scratch.folder("certificate");
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-subj", "/CN=localhost"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(&folder)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }
}

/// nginx with TLS on [`TLS_PORT`], HTTP/1.1 and HTTP/2, that sends an id back ([`ECHO`]); files
/// too.
pub fn nginx(bench: &Bench, certificate: &Certificate) -> Nginx {
    let Certificate { certificate, key } = certificate;
    Nginx::start_http(
        bench,
        &format!(
            "server {{
                 listen {HTTP_PORT}; listen {TLS_PORT} ssl http2;
                 ssl_certificate {}; ssl_certificate_key {};
                 {ECHO}
             }}",
            certificate.display(),
            key.display(),
        ),
    )
}

/// `meshtap tap` that reads what this program, or the library of it, encrypts.
pub fn reading(tap: Tap, program: &str) -> Running {
    let running = tap.with_tls().start();
    running.says(&["TLS:", "reading", program]);
    running
}

/// The target with an id.
pub fn echo(port: u16, id: &str) -> String {
    format!("https://127.0.0.1:{port}/echo?id={id}")
}

/// Sends every id of a list once on each of so many connections, `streams` at a time. Gives the
/// ids.
pub fn load(bench: &Bench, port: u16, http1: bool, streams: usize) -> Vec<String> {
    let ids: Vec<_> = (0..REQUESTS).map(|n| format!("load-{n}")).collect();
    let targets: Vec<_> = ids.iter().map(|id| echo(port, id)).collect();
    let list = bench.scratch.write("targets", targets.join("\n"));
    let mut command = Command::new("h2load");
    command
        .arg(format!("--clients={CONNECTIONS}"))
        .arg(format!("--requests={}", CONNECTIONS * REQUESTS))
        .arg(format!("--max-concurrent-streams={streams}"))
        .arg("--input-file")
        .arg(list);
    if http1 {
        command.arg("--h1");
    }
    let output = command.output().expect("h2load");
    let text = String::from_utf8_lossy(&output.stdout);
    let all = format!("{} succeeded, 0 failed, 0 errored", CONNECTIONS * REQUESTS);
    assert!(text.contains(&all), "{text} {output:?}");
    ids
}

/// Each of these ids was exchanged once on each connection, at this port, and paired.
#[track_caller]
pub fn assert_load(report: &Report, port: u16, ids: &[String]) {
    let counts = at(report, port).fold(HashMap::new(), |mut counts, exchange| {
        let id = exchange.target().split_once("id=").expect("an id").1;
        assert_eq!(exchange.status(), Some(200), "{exchange:?}");
        assert_eq!(exchange.response().text(), id, "mispaired: {exchange:?}");
        *counts.entry(id).or_insert(0) += 1;
        counts
    });
    assert_eq!(counts.len(), ids.len());
    for id in ids {
        assert_eq!(counts.get(id.as_str()), Some(&CONNECTIONS), "{id}");
    }
}

/// Exchanges with a server at this port.
pub fn at(report: &Report, port: u16) -> impl Iterator<Item = &Exchange> {
    (report.exchanges.iter()).filter(move |exchange| exchange.end("server").1 == port)
}

/// The scheme of an exchange.
pub fn scheme(exchange: &Exchange) -> &str {
    exchange.0["scheme"].as_str().expect("a scheme")
}
