//! `--record`: what was seen live is seen again from the file, without privileges, to the byte.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use meshtap_tests::{Bench, HTTP_PORT, Nginx, Report, Tap, binary, curl, live, swarm, url};

/// Captures what `traffic` does, with `arguments` as well, and replays it with the same ones as a user who may do nothing.
fn check(arguments: &[&str], traffic: impl Fn(&Bench) + Send + Sync) {
    live(|bench| {
        let _nginx = Nginx::start(
            bench,
            "location /echo { return 200 $arg_id; } location /gone { return 410 gone; }",
        );
        let file = bench.scratch.path().join("recording.meshtap");
        let tap = Tap::new(bench)
            .args(arguments)
            .arg("--record")
            .arg(&file)
            .start();
        traffic(bench);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert!(!report.lines.is_empty());
        let mode = fs::metadata(&file)
            .expect("the recording")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else may read it");
        assert_eq!(replay(bench, &file, arguments), told(&report));
    });
}

fn told(report: &Report) -> String {
    report
        .lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

fn replay(bench: &Bench, file: &std::path::Path, arguments: &[&str]) -> String {
    let copy = bench.scratch.path().join("meshtap");
    fs::copy(binary().expect("a binary"), &copy).expect("copy");
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
