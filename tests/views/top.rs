//! `meshtap top`: live, and once.

use std::process::{Command, Stdio};

use meshtap_tests::{Nginx, binary, curl, live, url};

use crate::terminal::Terminal;

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

#[test]
fn once_for_a_script() {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let mut top = Command::new(binary().expect("a meshtap binary"));
        top.args([
            "top", "--once", "--json", "--side", "server", "--count", "3", "--cgroup",
        ]);
        top.arg(bench.cgroup.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut top = top.spawn().expect("meshtap");
        let mut errors = std::io::BufReader::new(top.stderr.take().expect("stderr"));
        let mut line = String::new();
        while !line.contains("capturing in") {
            line.clear();
            let read = std::io::BufRead::read_line(&mut errors, &mut line).expect("stderr");
            assert!(read > 0, "it ended before it captured");
        }
        for path in ["/orders/1", "/orders/2", "/broken"] {
            let _ = curl(&[&url("127.0.0.1", path)]);
        }
        let output = top.wait_with_output().expect("meshtap");
        assert!(output.status.success());
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(document["total"]["count"], 3);
        assert_eq!(document["total"]["failed"], 1);
        let rows = document["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "{document}");
        assert_eq!(rows[0]["route"], "/orders/{id}");
        assert_eq!(rows[0]["count"], 2);
        assert!(
            rows[0]["server"]
                .as_str()
                .expect("a server")
                .starts_with("nginx[")
        );
        assert_eq!(rows[1]["failed_share"], 1.0);
        let took = rows[0]["p99_ns"].as_u64().expect("a number");
        assert!((1..60_000_000_000).contains(&took), "{took}");
    });
}
