//! `--record`: what was seen live is seen again from the file, without privileges, to the byte.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use meshtap_tests::{
    Bench, Connection, HTTP_PORT, Nginx, Report, Tap, binary, copy_binary, curl, live, swarm, url,
};

/// Captures what `traffic` does, with `arguments` as well, and replays it with the same ones as a
/// user who may do nothing.
fn check(arguments: &[&str], traffic: impl Fn(&Bench) + Send + Sync) {
    live(|bench| {
        let _nginx = Nginx::start(
            bench,
            "location /echo { return 200 $arg_id; } location /gone { return 410 gone; }",
        );
        let (file, report) = record(bench, arguments, || traffic(bench));
        report.assert_nothing_lost();
        assert!(!report.lines.is_empty());
        let mode = fs::metadata(&file)
            .expect("the recording")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
        assert_eq!(replay(bench, &file, arguments), emitted(&report));
    });
}

/// The recording of what `traffic` does.
fn record(bench: &Bench, arguments: &[&str], traffic: impl FnOnce()) -> (PathBuf, Report) {
    let file = bench.scratch.path().join("recording.meshtap");
    let tap = Tap::new(bench)
        .args(arguments)
        .arg("--record")
        .arg(&file)
        .start();
    traffic();
    (file, tap.finish())
}

fn emitted(report: &Report) -> String {
    report
        .lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

fn replay(bench: &Bench, file: &std::path::Path, arguments: &[&str]) -> String {
    let copy = bench.scratch.path().join("meshtap");
    copy_binary(&copy);
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("readable");
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(copy)
        .args(["replay", "--json", "-vv"])
        .args(arguments)
        .arg(file)
        .output()
        .expect("setpriv");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("JSON is UTF-8")
}

#[test]
fn both_ends_of_a_few_exchanges() {
    check(&[], |_| {
        let _ = curl(&[&url("127.0.0.1", "/echo?id=1"), &url("[::1]", "/gone")]);
    });
}

#[test]
fn one_side_and_a_filter() {
    check(&["--side", "server", "--status", "4xx"], |_| {
        let _ = curl(&[&url("127.0.0.1", "/echo?id=1"), &url("[::1]", "/gone")]);
    });
}

/// Both ends of a local connection are emitted as one, and either can be replayed alone.
#[test]
fn either_end_of_a_recording_of_both() {
    live(|bench| {
        let _nginx = Nginx::start(bench, meshtap_tests::ECHO);
        let mut ids = Vec::new();
        let (file, report) = record(bench, &[], || {
            ids = swarm(([127, 0, 0, 1], HTTP_PORT).into(), 4, 20);
        });
        report.assert_nothing_lost();
        assert_eq!(replay(bench, &file, &[]), emitted(&report));
        for side in ["server", "client"] {
            let emitted = replay(bench, &file, &["--side", side]);
            assert_eq!(emitted.lines().count(), ids.len(), "{side}");
            let of_side = format!("\"side\":\"{side}\"");
            assert!(emitted.lines().all(|line| line.contains(&of_side)));
        }
    });
}

/// Filters of what is shown leave the recording whole, bodies included; those of what is captured
/// do not.
#[test]
fn what_narrows_a_recording() {
    let recorded = |arguments: &[&str]| {
        let held = std::sync::Mutex::new(String::new());
        live(|bench| {
            let _nginx = Nginx::start(bench, meshtap_tests::ECHO);
            let (file, _) = record(bench, arguments, || {
                let _ = curl(&[
                    &url("127.0.0.1", "/echo?id=1"),
                    &url("127.0.0.1", "/echo?id=2"),
                ]);
            });
            *held.lock().expect("one thread") = replay(bench, &file, &["--side", "server"]);
        });
        held.into_inner().expect("one thread")
    };
    let is_whole = |arguments: &[&str]| {
        let text = recorded(arguments);
        let bodies = ["\"body\":\"1\"", "\"body\":\"2\""].map(|body| text.contains(body));
        assert_eq!(bodies, [bodies[0]; 2], "{arguments:?}: {text}");
        bodies[0]
    };
    assert!(is_whole(&[]));
    for shown in [
        ["--path", "/none"],
        ["--host", "none"],
        ["--method", "PUT"],
        ["--status", "none"],
        ["--pid", "1"],
        // One that the kernel gives to clients.
        ["--port", "51234"],
    ] {
        assert!(is_whole(&shown), "{shown:?}");
    }
    for captured in [["--port", "8081"], ["--side", "client"]] {
        assert!(!is_whole(&captured), "{captured:?}");
    }
    assert!(!is_whole(&["--ignore-mark", "0/0xff"]));
}

#[test]
fn many_connections_at_once() {
    check(&["--side", "server"], |_| {
        let _ = swarm(([127, 0, 0, 1], HTTP_PORT).into(), 16, 100);
    });
}

#[test]
fn a_file_that_anybody_could_read_does_not_stay_so() {
    live(|bench| {
        let file = bench.scratch.write("recording.meshtap", "old");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("mode");
        let output = Command::new(binary().expect("a binary"))
            .args(["tap", "--duration", "10ms", "--record"])
            .arg(&file)
            .arg("--cgroup")
            .arg(bench.cgroup.path())
            .output()
            .expect("meshtap");
        // It may refuse to overwrite, too.
        let mode = fs::metadata(&file).expect("the file").permissions().mode();
        assert!(
            !output.status.success() || mode & 0o777 == 0o600,
            "{mode:o}"
        );
    });
}

/// Not a test: writes the recordings that `replay/recording.rs` replays, and what they hold (see
/// `tests/recordings/README.md`).
#[test]
#[ignore = "writes into the source tree"]
fn make_the_recordings() {
    live(|bench| {
        let nginx = Nginx::start(
            bench,
            "if_modified_since before;
             location /echo { return 200 $arg_id; } location /empty { return 204; } location /broken { return 500 broken; }
             location /ssi/ { ssi on; ssi_types *; } location /gz/ { gzip on; gzip_min_length 1; gzip_types *; }
             location /proxy { proxy_pass http://127.0.0.1:8080/echo?id=proxied; }",
        );
        for folder in ["ssi", "gz"] {
            let page: String = (0..50).map(|n| format!("{folder} line {n}\n")).collect();
            fs::create_dir(nginx.root().join(folder)).expect("a folder");
            fs::write(nginx.root().join(folder).join("page"), page).expect("a page");
        }
        fs::write(nginx.root().join("large"), "0123456789".repeat(2000)).expect("a page");
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings");
        let file = folder.join("servers.meshtap");
        let tap = Tap::new(bench)
            .args(["--max-body", "4KiB", "--record"])
            .arg(&file)
            .start();
        for host in ["127.0.0.1", "[::1]"] {
            varied_traffic(host);
        }
        let report = tap.finish();
        report.assert_nothing_lost();
        fs::write(folder.join("servers.jsonl"), emitted(&report)).expect("the exchanges");
        let errors = replay(bench, &file, &["--status", "4xx,5xx"]);
        fs::write(folder.join("servers-errors.jsonl"), errors).expect("the exchanges");
    });
}

fn varied_traffic(host: &str) {
    let page = |path: &str| url(host, path);
    let (echo, large) = (page("/echo?id=one"), page("/large"));
    let _ = curl(&[
        &echo,
        &page("/missing"),
        &page("/empty"),
        &page("/broken"),
        &large,
    ]);
    let _ = curl(&["--compressed", &page("/ssi/page"), &page("/gz/page")]);
    let _ = curl(&["-I", &page("/ssi/page")]);
    let unchanged = "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT";
    let _ = curl(&["-H", unchanged, &large]);
    let json = [
        "-H",
        "Content-Type: application/json",
        "-d",
        "{\"item\":\"tee\u{e9}\"}",
    ];
    let _ = curl(&[&json[..], &[&page("/proxy")]].concat());
    let _ = curl(&["-H", "Expect: 100-continue", "-d", "waits", &page("/proxy")]);
    let chunked = ["-H", "Transfer-Encoding: chunked", "-d", "in chunks"];
    let _ = curl(&[&chunked[..], &[&page("/proxy")]].concat());
    let address = if host == "[::1]" {
        "[::1]:8080"
    } else {
        "127.0.0.1:8080"
    };
    let mut connection = Connection::open(address.parse::<SocketAddr>().expect("an address"));
    let request = |n| format!("GET /echo?id={n} HTTP/1.1\r\nHost: pipeline\r\n\r\n");
    connection.send((0..3).map(request).collect::<String>());
    for n in 0..3 {
        assert_eq!(connection.response().body, n.to_string().as_bytes());
    }
}
