//! Signals while the BPF programs are loaded: the kernel breaks off a load for any of them.

use std::fs;
use std::process::Command;

use meshtap_tests::{Bench, Daemon, binary, live, until};
use rustix::process::{Pid, Signal, kill_process};

/// A command, started as far as the thread that heeds signals.
fn start(bench: &Bench, arguments: &[&str], thread: &str) -> Daemon {
    let mut command = Command::new(binary().expect("a meshtap binary"));
    let daemon = Daemon::start(bench, command.args(arguments));
    until("signals are heeded", || {
        let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid()));
        let mut threads = threads.expect("the process lives").flatten();
        threads.any(|entry| {
            let name = fs::read_to_string(entry.path().join("comm"));
            name.is_ok_and(|name| name.trim_end() == thread)
        })
    });
    daemon
}

fn send(daemon: &Daemon, signal: Signal) {
    let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("a process id");
    kill_process(pid, signal).expect("signal");
}

#[test]
fn an_end_during_the_start_is_at_once() {
    live(|bench| {
        let cgroup = bench.cgroup.path().display().to_string();
        for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
            let mut daemon = start(bench, &["tap", "--cgroup", &cgroup], "signals");
            send(&daemon, signal);
            let found = daemon.wait().code();
            // A machine may be so fast that it captures already: then it ends in good order.
            let expected = match daemon.log().contains("capturing") {
                true => 0,
                false => code,
            };
            assert_eq!(found, Some(expected), "{}", daemon.log());
        }
    });
}

#[test]
fn others_during_the_start_wait() {
    live(|bench| {
        let cgroup = format!("capture.cgroup={}", bench.cgroup.path().display());
        let arguments = ["run", "--set", &cgroup, "--set", "export.stdout=true"];
        let more = ["--set", "telemetry.listen=null"];
        let mut daemon = start(bench, &[&arguments[..], &more].concat(), "control");
        for signal in [Signal::HUP, Signal::WINCH] {
            send(&daemon, signal);
        }
        until("the configuration was read again", || {
            daemon.log().contains("the configuration was read again")
        });
        daemon.terminate();
        let status = daemon.wait();
        assert!(status.success(), "{status}: {}", daemon.log());
    });
}

/// As under `nohup`.
#[test]
fn a_hangup_that_was_ignored_stays_so() {
    live(|bench| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
            .arg(binary().expect("a meshtap binary"))
            .args(["tap", "--cgroup"])
            .arg(bench.cgroup.path());
        let mut daemon = Daemon::start(bench, &mut command);
        until("it captures", || daemon.log().contains("capturing"));
        send(&daemon, Signal::HUP);
        send(&daemon, Signal::TERM);
        let status = daemon.wait();
        // By the second signal it would have ended at once, with 143.
        assert!(status.success(), "{status}: {}", daemon.log());
    });
}
