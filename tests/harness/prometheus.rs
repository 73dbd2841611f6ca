//! A real Prometheus that scrapes the agent.

use std::process::Command;

use serde_json::Value;

use crate::{Connection, Daemon, Scratch, skip, until};

/// Where it listens, in the test's own network.
const PORT: u16 = 9090;

/// A running Prometheus. The thread that asks it is in the network in which it was started.
#[derive(Debug)]
pub struct Prometheus {
    daemon: Daemon,
}

impl Prometheus {
    /// There is one on this machine; else the test says that it is skipped.
    #[must_use]
    pub fn available() -> bool {
        let found = Command::new("prometheus").arg("--version").output().is_ok();
        if !found {
            skip("there is no prometheus (Debian: apt install prometheus)");
        }
        found
    }

    /// Starts it in the network of the calling thread; it scrapes a page (path) of `target` every
    /// second.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(scratch: &Scratch, target: &str, path: &str) -> Self {
        let config = scratch.write(
            "prometheus.yaml",
            format!(
                "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: envoy-stats, honor_labels: true, metrics_path: {path}, static_configs: [{{targets: ['{target}']}}]}}\n"
            ),
        );
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                scratch.folder("prometheus").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .arg("--enable-feature=exemplar-storage");
        let daemon = Daemon::start_in(scratch, &mut command).listening(PORT);
        until("Prometheus is ready", || {
            let response = Connection::open(([127, 0, 0, 1], PORT)).get("/-/ready");
            response.status == 200
        });
        Self { daemon }
    }

    /// The samples of an instant query: labels and value.
    ///
    /// # Panics
    /// When it refuses the query.
    #[track_caller]
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let data = self.get(&format!("/api/v1/query?query={}", escaped(query)));
        let samples = data["result"].as_array().expect("a list").iter();
        let value = |sample: &Value| sample["value"][1].as_str()?.parse().ok();
        samples
            .map(|sample| (sample["metric"].clone(), value(sample).expect("a number")))
            .collect()
    }

    /// The only value of an instant query; `None` while there is none.
    ///
    /// # Panics
    /// When it refuses the query, or there are several.
    #[track_caller]
    #[must_use]
    pub fn value(&self, query: &str) -> Option<f64> {
        let samples = self.query(query);
        assert!(samples.len() <= 1, "{query}: {samples:?}");
        samples.first().map(|(_, value)| *value)
    }

    /// The exemplars of a query.
    ///
    /// # Panics
    /// When it refuses the query.
    #[track_caller]
    #[must_use]
    pub fn exemplars(&self, query: &str) -> Vec<Value> {
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

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.log()
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
