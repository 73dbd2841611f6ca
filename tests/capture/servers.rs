//! Real servers and curl, each over IPv4 and IPv6: what the agent emits is what went over the wire.

use std::fs;

use meshtap_tests::{
    Apache, Bench, Connection, ECHO, Exchange, HTTP_PORT, Nginx, PythonServer, Random, Report, Tap,
    curl, live, url,
};

/// Requests `paths` with one curl, which keeps its connection where the server does, and gives what
/// the server side of each was emitted as.
fn ask(bench: &Bench, host: &str, paths: &[&str]) -> Report {
    let tap = Tap::new(bench).server_side().start();
    let urls: Vec<String> = paths.iter().map(|path| url(host, path)).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let _ = curl(&urls);
    let report = tap.finish();
    report.assert_nothing_lost();
    assert_eq!(report.exchanges.len(), paths.len(), "{:#?}", report.lines);
    report
}

/// What every exchange of [`ask`] has.
#[track_caller]
fn check(exchange: &Exchange, address: &str, path: &str, body: &str) {
    assert_eq!(exchange.method(), "GET");
    assert_eq!(exchange.target(), path);
    assert_eq!(exchange.status(), Some(200));
    assert_eq!(exchange.side(), "server");
    assert_eq!(exchange.end("server"), (address, HTTP_PORT));
    assert_eq!(exchange.end("client").0, address);
    assert_eq!(exchange.request().header("Accept"), Some("*/*"));
    assert_eq!(exchange.request().body_size(), 0);
    assert_eq!(exchange.response().text(), body);
    assert_eq!(exchange.response().body_size(), body.len() as u64);
}

#[test]
fn nginx_with_kept_connections() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            let paths = ["/echo?id=one", "/echo?id=two", "/echo?id=three"];
            let report = ask(bench, host, &paths);
            for (exchange, path) in report.exchanges.iter().zip(paths) {
                check(
                    exchange,
                    address,
                    path,
                    path.rsplit('=').next().expect("an id"),
                );
            }
            let ports: Vec<_> = report.exchanges.iter().map(|e| e.end("client").1).collect();
            assert_eq!(ports, [ports[0]; 3], "one connection");
        }
    });
}

#[test]
fn apache_with_deferred_accept() {
    live(|bench| {
        let apache = Apache::start(bench);
        fs::write(apache.root().join("a.txt"), "first").expect("a file");
        fs::write(apache.root().join("b.txt"), "second").expect("a file");
        for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            let report = ask(bench, host, &["/a.txt", "/b.txt"]);
            check(&report.exchanges[0], address, "/a.txt", "first");
            check(&report.exchanges[1], address, "/b.txt", "second");
        }
    });
}

#[test]
fn apache_with_many_first_requests() {
    live(|bench| {
        let apache = Apache::start(bench);
        fs::write(apache.root().join("a.txt"), "first").expect("a file");
        let tap = Tap::new(bench).server_side().start();
        for n in 0..50 {
            let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
            assert_eq!(connection.get(&format!("/a.txt?{n}")).body, b"first");
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 50);
        for (n, exchange) in report.exchanges.iter().enumerate() {
            check_plain(exchange, &format!("/a.txt?{n}"), "first");
        }
    });
}

#[track_caller]
fn check_plain(exchange: &Exchange, path: &str, body: &str) {
    assert_eq!((exchange.target(), exchange.status()), (path, Some(200)));
    assert_eq!(exchange.response().text(), body);
}

#[test]
fn python_closes_or_keeps() {
    for (version, address, host) in [
        ("HTTP/1.0", "127.0.0.1", "127.0.0.1"),
        ("HTTP/1.1", "::1", "[::1]"),
    ] {
        live(|bench| {
            let server = PythonServer::start(bench, address, version);
            fs::write(server.root().join("a.txt"), "text").expect("a file");
            let report = ask(bench, host, &["/a.txt", "/a.txt?again"]);
            check(&report.exchanges[0], address, "/a.txt", "text");
            check(&report.exchanges[1], address, "/a.txt?again", "text");
            let server = report.exchanges[0].response();
            assert!(
                server
                    .header("Server")
                    .is_some_and(|s| s.contains("Python"))
            );
        });
    }
}

#[test]
fn sendfile_of_five_megabytes() {
    live(|bench| {
        let nginx = Nginx::start(bench, "");
        let content = Random::new(5).bytes(5_000_000);
        fs::write(nginx.root().join("big"), &content).expect("a file");
        let get = |arguments: &[&str]| {
            let tap = Tap::new(bench).server_side().args(arguments).start();
            assert!(curl(&[&url("127.0.0.1", "/big")]) == content);
            let report = tap.finish();
            report.assert_nothing_lost();
            report
        };
        let whole = get(&["--max-body", "16MiB"]);
        let response = whole.only().response();
        assert_eq!(response.body_size(), 5_000_000);
        assert!(response.bytes() == content, "the captured body is the file");

        let cut = get(&[]);
        let response = cut.only().response();
        assert_eq!(response.body_size(), 5_000_000, "the true size");
        assert!(
            response.bytes() == content[..64 * 1024],
            "the default limit"
        );
    });
}

#[test]
fn upload_of_five_megabytes() {
    live(|bench| {
        let _nginx = Nginx::start(bench, "location / { return 204; }");
        let content = Random::new(6).bytes(5_000_000);
        let file = bench.scratch.write("upload", &content);
        let tap = Tap::new(bench)
            .server_side()
            .args(["--max-body", "16MiB"])
            .start();
        let data = format!("@{}", file.display());
        let binary = [
            "-H",
            "Content-Type: application/octet-stream",
            "--data-binary",
            &data,
        ];
        let _ = curl(&[&binary[..], &[&url("127.0.0.1", "/upload")]].concat());
        let report = tap.finish();
        report.assert_nothing_lost();
        let exchange = report.only();
        assert_eq!((exchange.method(), exchange.status()), ("POST", Some(204)));
        assert!(exchange.request().bytes() == content);
    });
}

#[test]
fn chunked_both_ways() {
    live(|bench| {
        // Server-side includes make nginx drop the length and chunk.
        let nginx = Nginx::start(
            bench,
            "location /ssi/ { ssi on; ssi_types *; } location /up { return 200 ok; }",
        );
        let folder = nginx.root().join("ssi");
        fs::create_dir(&folder).expect("a folder");
        let content: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
        fs::write(folder.join("page"), &content).expect("a file");
        let upload = bench.scratch.write("upload", &content[..50_000]);
        let upload = format!("@{}", upload.display());

        let tap = Tap::new(bench)
            .server_side()
            .args(["--max-body", "1MiB"])
            .start();
        assert_eq!(curl(&[&url("[::1]", "/ssi/page")]), content.as_bytes());
        let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", &upload];
        let _ = curl(&[&chunked[..], &[&url("[::1]", "/up")]].concat());
        let report = tap.finish();
        report.assert_nothing_lost();

        let down = &report.exchanges[0].response();
        assert_eq!(down.header("Transfer-Encoding"), Some("chunked"));
        assert!(down.text() == content);
        assert_eq!(down.body_size(), content.len() as u64);
        let up = &report.exchanges[1].request();
        assert_eq!(up.header("Transfer-Encoding"), Some("chunked"));
        assert!(up.text() == &content[..50_000]);
    });
}

#[test]
fn the_process_that_owns_the_socket() {
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        // The owner is looked up off the data path: a connection that stays open gets it at the
        // latest by its second exchange.
        for _ in 0..2 {
            let _ = connection.get("/echo?id=owner");
            tap.emitted(1);
        }
        let report = tap.finish();
        let (pid, name) = report.exchanges[1].process().expect("a process");
        assert_eq!(name, "nginx");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let parent = format!("PPid:\t{}\n", nginx.daemon.pid());
        assert!(status.contains(&parent), "the worker: {status}");
    });
}

#[test]
fn times_are_of_the_request() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let report = ask(bench, "127.0.0.1", &["/echo?id=a", "/echo?id=b"]);
        let times: Vec<&str> = report
            .exchanges
            .iter()
            .map(|exchange| exchange.0["time"].as_str().expect("a time"))
            .collect();
        for time in &times {
            // RFC 3339 with nanoseconds: 2024-02-29T12:34:56.000000789Z
            assert_eq!(time.len(), 30, "{time}");
            assert!(time.ends_with('Z') && time.as_bytes()[19] == b'.', "{time}");
        }
        assert!(times[0] < times[1], "{times:?}");
        let durations = report.exchanges.iter().map(|e| e.0["duration_ns"].as_u64());
        assert!(durations.flatten().all(|duration| duration > 0));
    });
}
