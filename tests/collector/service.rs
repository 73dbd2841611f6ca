//! `meshtap run`, watching one pod.

use std::path::PathBuf;
use std::process::Command;

use meshtap_tests::{Bench, Connection, Daemon, Pod, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where it serves metrics, in the test's own network.
const ADMIN: u16 = 9464;

pub(crate) struct Service {
    daemon: Daemon,
    ledger: PathBuf,
}

impl Service {
    /// Captures `side` of `pod`. `more` are further lines of the configuration. When this returns,
    /// it captures.
    pub(crate) fn start(bench: &Bench, pod: &Pod, side: &str, more: &str) -> Self {
        let ledger = bench.scratch.path().join("service.json");
        let config = bench.scratch.write(
            "meshtap.yaml",
            format!(
                "capture: {{cgroup: '{}', side: {side}}}\ntelemetry: {{listen: '127.0.0.1:{ADMIN}'}}\n{more}",
                pod.path().display()
            ),
        );
        let mut command = Command::new(binary().expect("a meshtap binary"));
        command
            .args(["run", "--config"])
            .arg(config)
            .arg("--ledger-json")
            .arg(&ledger);
        // The program attaches its hooks before it listens.
        let daemon = Daemon::start(bench, &mut command).listening(ADMIN);
        Self { daemon, ledger }
    }

    /// The body of a page of its own.
    pub(crate) fn page(&self, path: &str) -> String {
        let mut connection = Connection::open(([127, 0, 0, 1], ADMIN));
        let reply = connection.get(path);
        assert_eq!(reply.status, 200, "{path}");
        String::from_utf8(reply.body).expect("text")
    }

    /// The sample of a metric.
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page = self.page("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(sample));
        let value = line.unwrap_or_else(|| panic!("no {sample} in {page}"));
        value.trim().parse().expect("a number")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.daemon.pid().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("signal");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// Ends it in good order; its ledger, which balances. Its exit code says whether collectors
    /// took everything.
    pub(crate) fn finish(mut self) -> Value {
        self.signal(Signal::TERM);
        let status = self.daemon.wait();
        let text = std::fs::read_to_string(&self.ledger).expect("the ledger");
        let ledger: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(ledger["imbalance"], 0, "{text}");
        assert_eq!(ledger["in_flight"], 0, "{text}");
        let mut code = 0;
        for (_, exporter) in ledger["exporters"].as_object().expect("exporters") {
            assert_eq!(exporter["queued"], 0, "{text}");
            code |= i32::from(exporter["exported"] != exporter["accepted"]);
        }
        assert_eq!(status.code(), Some(code), "{text}: {}", self.log());
        ledger
    }
}

/// All numbers in an object together.
pub(crate) fn total(value: &Value) -> u64 {
    let numbers = value.as_object().expect("an object").values();
    numbers
        .map(|number| number.as_u64().expect("a count"))
        .sum()
}
