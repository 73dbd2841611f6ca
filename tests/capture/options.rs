//! What the options of `meshtap tap` do, how it ends, and what it says when it cannot start.

use std::process::{Command, Output, Stdio};

use meshtap_tests::{
    Bench, Connection, ECHO, HTTP_PORT, Nginx, Report, Tap, binary, copy_binary, curl, live, url,
};

const PAGES: &str = "location /echo { return 200 $arg_id; }
    location /missing { return 404 none; } location /broken { return 500 broken; }";

/// Four different exchanges, of which `arguments` let these targets through.
fn check_filter(arguments: &[&str], expected: &[&str]) {
    live(|bench| {
        let _nginx = Nginx::start(bench, PAGES);
        let tap = Tap::new(bench).server_side().args(arguments).start();
        let _ = curl(&[&url("127.0.0.1", "/echo?id=1")]);
        let _ = curl(&["-X", "POST", &url("127.0.0.1", "/missing")]);
        let _ = curl(&["-X", "DELETE", &url("127.0.0.1", "/broken")]);
        let _ = curl(&["-H", "Host: shop.example", &url("127.0.0.1", "/echo?id=2")]);
        let report = tap.finish();
        report.assert_nothing_lost();
        let targets: Vec<_> = report.exchanges.iter().map(|e| e.target()).collect();
        assert_eq!(targets, expected, "{arguments:?}");
        let filtered = report.count("/delivery/filtered");
        // A port is filtered in the kernel already.
        let hidden = if arguments[0] == "--port" {
            0
        } else {
            4 - targets.len() as u64
        };
        assert_eq!(filtered, hidden, "{arguments:?}");
    });
}

#[test]
fn filter_by_method() {
    check_filter(
        &["--method", "POST", "--method", "DELETE"],
        &["/missing", "/broken"],
    );
}

#[test]
fn filter_by_status() {
    check_filter(&["--status", "404"], &["/missing"]);
    check_filter(&["--status", "5xx"], &["/broken"]);
}

#[test]
fn filter_by_path() {
    check_filter(&["--path", "/echo"], &["/echo?id=1", "/echo?id=2"]);
}

#[test]
fn filter_by_host() {
    check_filter(&["--host", "shop.example"], &["/echo?id=2"]);
}

#[test]
fn filter_by_port() {
    let all = ["/echo?id=1", "/missing", "/broken", "/echo?id=2"];
    check_filter(&["--port", "8080"], &all);
    check_filter(&["--port", "8081"], &[]);
}

#[test]
fn filter_by_process() {
    live(|bench| {
        let nginx = Nginx::start(bench, ECHO);
        let workers = format!("/proc/{0}/task/{0}/children", nginx.daemon.pid());
        let worker = std::fs::read_to_string(workers).expect("nginx's children");
        for (pid, expected) in [(worker.trim(), 2), ("1", 0)] {
            let tap = Tap::new(bench).server_side().args(["--pid", pid]).start();
            // Open until the end: a socket that is gone has no process any more.
            let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
            let _ = connection.get("/echo?id=1");
            let _ = connection.get("/echo?id=2");
            let report = tap.finish();
            drop(connection);
            report.assert_nothing_lost();
            assert_eq!(report.exchanges.len(), expected, "pid {pid}");
        }
    });
}

#[test]
fn it_ends_after_a_count() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().args(["--count", "3"]).start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        for n in 0..5 {
            let _ = connection.get(&format!("/echo?id={n}"));
        }
        let report = tap.ended();
        report.assert_balanced();
        assert_eq!(report.exchanges.len(), 3);
    });
}

#[test]
fn it_ends_after_a_time() {
    live(|bench| {
        let report = Tap::new(bench).args(["--duration", "10ms"]).start().ended();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), 0);
    });
}

#[test]
fn the_ledger_is_shown_at_the_end() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let _ = curl(&[
            &url("127.0.0.1", "/echo?id=1"),
            &url("127.0.0.1", "/echo?id=2"),
        ]);
        let report = tap.finish();
        report.assert_nothing_lost();
        for part in ["2 exchanges started = 2 shown", "ring buffer", "no drops"] {
            assert!(report.stderr.contains(part), "{part}: {}", report.stderr);
        }
    });
}

#[test]
fn a_request_without_a_response_is_emitted_at_the_end() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).server_side().start();
        let mut connection = Connection::open(([127, 0, 0, 1], HTTP_PORT));
        let _ = connection.get("/echo?id=1");
        connection.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
        // A second connection's exchange is emitted: what came before it has been read.
        let _ = curl(&[&url("127.0.0.1", "/echo?id=2")]);
        tap.emitted(2);
        let report = tap.finish();
        report.assert_balanced();
        assert_eq!(report.exchanges.len(), 3);
        let last = &report.exchanges[2];
        assert_eq!(last.partial(), Some("shutdown"));
        assert_eq!((last.method(), last.request().text()), ("POST", "half"));
    });
}

/// Runs `meshtap` to its end.
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("meshtap")
}

/// It fails with one line that says all of `parts`.
#[track_caller]
fn check_refusal(command: &mut Command, parts: &[&str]) {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

fn meshtap(bench: &Bench) -> Command {
    let mut command = Command::new(binary().expect("a binary"));
    command.args(["tap", "--cgroup"]).arg(bench.cgroup.path());
    command
}

#[test]
fn without_privileges_it_says_what_it_needs() {
    live(|bench| {
        // The binary may lie where nobody but root can look.
        let copy = bench.scratch.path().join("meshtap");
        copy_binary(&copy);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(copy)
            .args(["tap", "--cgroup"])
            .arg(bench.cgroup.path());
        check_refusal(&mut command, &["root", "CAP_BPF", "CAP_NET_ADMIN"]);
    });
}

#[test]
fn a_path_that_is_no_cgroup_is_refused() {
    live(|bench| {
        let mut command = Command::new(binary().expect("a binary"));
        command.args(["tap", "--cgroup"]).arg(bench.scratch.path());
        check_refusal(&mut command, &["cgroup"]);
        let mut command = Command::new(binary().expect("a binary"));
        command.args(["tap", "--cgroup", "/nowhere/at/all"]);
        check_refusal(&mut command, &["/nowhere/at/all"]);
    });
}

#[test]
fn a_reader_that_goes_ends_it() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let mut child = meshtap(bench)
            .args(["--json", "--side", "server"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("meshtap");
        drop(child.stdout.take());
        // It notices when it has something to say; until then, requests go on.
        while child.try_wait().expect("wait").is_none() {
            let _ = curl(&[&url("127.0.0.1", "/echo?id=1")]);
        }
        let output = child.wait_with_output().expect("meshtap");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{said}");
    });
}

#[test]
fn the_report_of_a_filtered_run_is_balanced() {
    live(|bench| {
        let _nginx = Nginx::start(bench, ECHO);
        let tap = Tap::new(bench).args(["--method", "PUT"]).start();
        let _ = curl(&[&url("127.0.0.1", "/echo?id=1")]);
        let report: Report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.count("/delivery/filtered"), 1);
        assert_eq!(report.folded(), 1);
    });
}
