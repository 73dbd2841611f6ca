//! A real Prometheus that scrapes the agent.

use std::process::Command;

use meshtap_tests::{Bench, Connection, Daemon};
use serde_json::Value;

use crate::agent::until;

/// Where it listens, in the test's own network.
const PORT: u16 = 9090;

/// A running Prometheus.
pub(crate) struct Prometheus(#[expect(dead_code, reason = "it ends with this")] Daemon);

/// There is one on this machine.
pub(crate) fn available() -> bool {
    let found = Command::new("prometheus").arg("--version").output().is_ok();
    if !found {
        meshtap_tests::skip("there is no prometheus (Debian: apt install prometheus)");
    }
    found
}

impl Prometheus {
    /// Starts it; it scrapes `target` every second, at Istio's path.
    pub(crate) fn start(bench: &Bench, target: &str) -> Self {
        let config = bench.scratch.write(
            "prometheus.yaml",
            format!(
                "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: envoy-stats, metrics_path: /stats/prometheus, static_configs: [{{targets: ['{target}']}}]}}\n"
            ),
        );
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                bench.scratch.folder("prometheus").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .arg("--enable-feature=exemplar-storage");
        let daemon = Daemon::start(bench, &mut command).listening(PORT);
        until("Prometheus is ready", || {
            let response = Connection::open(([127, 0, 0, 1], PORT)).get("/-/ready");
            (response.status == 200).then_some(())
        });
        Self(daemon)
    }

    /// The samples of an instant query: labels and value.
    #[track_caller]
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let data = self.get(&format!("/api/v1/query?query={}", escaped(query)));
        let samples = data["result"].as_array().expect("a list").iter();
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        samples
            .map(|sample| (sample["metric"].clone(), value(sample).expect("a number")))
            .collect()
    }

    /// The only value of an instant query; `None` while there is none.
    #[track_caller]
    pub(crate) fn value(&self, query: &str) -> Option<f64> {
        let samples = self.query(query);
        assert!(samples.len() <= 1, "{query}: {samples:?}");
        samples.first().map(|(_, value)| *value)
    }

    /// The exemplars of a query.
    #[track_caller]
    pub(crate) fn exemplars(&self, query: &str) -> Vec<Value> {
        let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let end = end.expect("after 1970").as_secs() + 60;
        let range = format!("start={}&end={end}", end - 3600);
        let data = self.get(&format!(
            "/api/v1/query_exemplars?query={}&{range}",
            escaped(query)
        ));
        let series = data.as_array().expect("a list").iter();
        series
            .flat_map(|series| series["exemplars"].as_array().expect("a list").clone())
            .collect()
    }

    #[track_caller]
    fn get(&self, target: &str) -> Value {
        let response = Connection::open(([127, 0, 0, 1], PORT)).get(target);
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, 200, "{target}: {text}");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        body["data"].clone()
    }
}

/// Percent-encoded (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
