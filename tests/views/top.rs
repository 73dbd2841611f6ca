//! `meshtap top`: live, and once.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use meshtap_tests::{Bench, Nginx, Terminal, binary, curl, live, url};

const PAGES: &str = "location /orders { return 200 ok; } location /broken { return 500 broken; }";

#[test]
fn totals_by_route_and_the_exchanges_behind_them() {
    for size in [(80, 24), (140, 45)] {
        live(|bench| {
            let _nginx = Nginx::start(bench, PAGES);
            let terminal = Terminal::live(bench, size, &[], &["top"]);
            for path in ["/orders/1", "/orders/2", "/broken", "/orders/3"] {
                let _ = curl(&[&url("127.0.0.1", path)]);
            }
            let screen = terminal.until("four exchanges in two lines", |screen| {
                screen.contains("all: 4 exchanges") && screen.contains("100%")
            });
            assert!(screen.contains("GET    /orders/{id}"), "{screen}");
            terminal.press(&["b", "b", "b"]);
            let screen = terminal.shows("by status");
            assert!(screen.lines().any(|line| line.contains("500")), "{screen}");
            terminal.typed("o");
            terminal.shows("sorted by count");
            terminal.press(&["Home", "Enter"]);
            let screen = terminal.shows("only 200");
            assert!(!screen.contains("/broken"), "{screen}");
            assert!(screen.contains("/orders/3"), "{screen}");
            terminal.press(&["C-c"]);
            let (state, left) = terminal.ended();
            assert_eq!(state, "1:0::0", "{left}");
            assert!(left.contains("4 exchanges started = 4 shown"), "{left}");
        });
    }
}

/// `top --once --json` on the test's cgroup, which captures.
fn once(bench: &Bench, more: &[&str]) -> Child {
    let mut top = Command::new(binary().expect("a meshtap binary"));
    top.args(["top", "--once", "--json"]).args(more);
    top.arg("--cgroup").arg(bench.cgroup.path());
    top.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut top = top.spawn().expect("meshtap");
    let mut errors = BufReader::new(top.stderr.take().expect("stderr"));
    let mut line = String::new();
    while !line.contains("capturing in") {
        line.clear();
        let read = errors.read_line(&mut line).expect("stderr");
        assert!(read > 0, "it ended before it captured");
    }
    top.stderr = Some(errors.into_inner());
    top
}

fn document(top: Child) -> serde_json::Value {
    let output = top.wait_with_output().expect("meshtap");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A call that still runs at the end has not failed, took no time that is known, and has no line.
#[test]
fn what_is_open_at_the_end_has_not_failed() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let top = once(bench, &[]);
        let _ = curl(&[&url("127.0.0.1", "/orders/1")]);
        let slow = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(slow.local_addr().expect("one")).expect("a connection");
        let (mut server, _) = slow.accept().expect("a connection");
        let request = b"GET /slow HTTP/1.1\r\nHost: slow.example\r\n\r\n";
        client.write_all(request).expect("sent");
        server
            .read_exact(&mut vec![0; request.len()])
            .expect("received");
        let pid = top.id().to_string();
        let killed = Command::new("kill").args(["-INT", &pid]).status();
        assert!(killed.expect("kill").success());
        let document = document(top);
        assert_eq!(document["total"]["count"], 1, "{document}");
        assert_eq!(document["total"]["failed"], 0, "{document}");
        assert_eq!(
            document["rows"].as_array().map(Vec::len),
            Some(1),
            "{document}"
        );
        // Once, though both of its sockets are captured.
        assert_eq!(document["open"], 1, "{document}");
    });
}

#[test]
fn once_for_a_script() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let top = once(bench, &["--side", "server", "--count", "3"]);
        for path in ["/orders/1", "/orders/2", "/broken"] {
            let _ = curl(&[&url("127.0.0.1", path)]);
        }
        let document = document(top);
        assert_eq!(document["total"]["count"], 3);
        assert_eq!(document["total"]["failed"], 1);
        let rows = document["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "{document}");
        assert_eq!(rows[0]["route"], "/orders/{id}");
        assert_eq!(rows[0]["count"], 2);
        assert_eq!(rows[0]["server"], "nginx:8080");
        assert_eq!(rows[1]["failed_share"], 1.0);
        let took = rows[0]["p99_ns"].as_u64().expect("a number");
        assert!((1..60_000_000_000).contains(&took), "{took}");
    });
}
