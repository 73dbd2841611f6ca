//! A real OpenTelemetry Collector.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meshtap_tests::built;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde_json::Value;

/// What a busy machine with two cores may need to start it.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How clients may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    /// The collector shows a certificate.
    Tls,
    /// It also wants one of its clients.
    Mutual,
}

impl Security {
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls | Self::Mutual => "https",
        }
    }
}

/// A running collector that writes what it takes to a file. Killed when dropped.
pub(crate) struct Collector {
    child: Child,
    output: PathBuf,
    pub(crate) grpc: u16,
    pub(crate) http: u16,
}

impl Collector {
    /// Starts one with its files in `folder`, on free ports. `None`, and the test says that it is
    /// skipped, where it cannot be built.
    pub(crate) fn start(folder: &Path, security: Security) -> Option<Self> {
        Self::listen(folder, security, free_port(), free_port())
    }

    /// Likewise, on these ports.
    pub(crate) fn listen(folder: &Path, security: Security, grpc: u16, http: u16) -> Option<Self> {
        let program = program()?;
        fs::create_dir_all(folder).unwrap();
        let output = folder.join("spans.jsonl");
        let config = folder.join("collector.yaml");
        fs::write(
            &config,
            configuration(folder, &output, security, grpc, http),
        )
        .unwrap();
        let log = File::create(folder.join("collector.log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // SAFETY: only a system call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let child = command.spawn().expect("start the collector");
        let mut collector = Self {
            child,
            output,
            grpc,
            http,
        };
        let deadline = Instant::now() + TIMEOUT;
        while !collector.listens() {
            let ended = collector.child.try_wait().unwrap();
            let log = || fs::read_to_string(folder.join("collector.log")).unwrap_or_default();
            assert!(ended.is_none(), "the collector ended: {}", log());
            assert!(Instant::now() < deadline, "it does not listen: {}", log());
            // It does not say when it is ready.
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(collector)
    }

    fn listens(&self) -> bool {
        let connects = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        connects(self.grpc) && connects(self.http)
    }

    /// Its port for this protocol.
    pub(crate) fn port(&self, protocol: &str) -> u16 {
        if protocol == "grpc" {
            self.grpc
        } else {
            self.http
        }
    }

    /// Ends it in good order, which writes everything; the file.
    pub(crate) fn finish(mut self) -> PathBuf {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the collector: {status}");
        self.output.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nothing listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn configuration(folder: &Path, output: &Path, security: Security, grpc: u16, http: u16) -> String {
    let folder = folder.display();
    let authority = match security {
        Security::Mutual => format!(", client_ca_file: {folder}/ca.pem"),
        Security::Plain | Security::Tls => String::new(),
    };
    let tls = match security {
        Security::Plain => String::new(),
        Security::Tls | Security::Mutual => format!(
            ", tls: {{ cert_file: {folder}/server.pem, key_file: {folder}/server.key{authority} }}"
        ),
    };
    format!(
        "receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: '127.0.0.1:{grpc}'{tls} }}
      http: {{ endpoint: '127.0.0.1:{http}'{tls} }}
exporters:
  file: {{ path: '{}', flush_interval: 1s }}
service:
  telemetry: {{ metrics: {{ level: none }}, logs: {{ level: warn }} }}
  pipelines:
    traces: {{ receivers: [otlp], exporters: [file] }}
    metrics: {{ receivers: [otlp], exporters: [file] }}
    logs: {{ receivers: [otlp], exporters: [file] }}
",
        output.display()
    )
}

/// Builds the program where it is not there yet. Call it before a test enters a network of its own.
pub(crate) fn available() -> bool {
    program().is_some()
}

/// The program, built where it is not there yet.
fn program() -> Option<PathBuf> {
    built(meshtap_parts::collector::program())
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// A span as the collector wrote it (OTLP/JSON).
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) span: Value,
    pub(crate) resource: Value,
    pub(crate) scope: Value,
}

impl Span {
    /// An attribute's value, as JSON.
    pub(crate) fn attribute(&self, key: &str) -> Option<Value> {
        attribute(&self.span["attributes"], key)
    }

    /// A text attribute; empty when it is not there.
    pub(crate) fn text(&self, key: &str) -> String {
        match self.attribute(key) {
            Some(Value::String(text)) => text,
            None => String::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// A text attribute of the resource.
    pub(crate) fn resource(&self, key: &str) -> Option<Value> {
        attribute(&self.resource["attributes"], key)
    }
}

pub(crate) fn attribute(attributes: &Value, key: &str) -> Option<Value> {
    let pair = attributes
        .as_array()?
        .iter()
        .find(|pair| pair["key"] == key)?;
    let value = &pair["value"];
    if let Some(number) = value.get("intValue") {
        // 64-bit integers are strings in protobuf's JSON.
        let number = number
            .as_str()
            .map_or_else(|| number.as_i64(), |n| n.parse().ok());
        return number.map(Value::from);
    }
    value.as_object()?.values().next().cloned()
}

/// Calls `each` with every span in the collector's file.
pub(crate) fn spans(file: &Path, each: impl FnMut(&Span)) {
    spans_in(&fs::read_to_string(file).unwrap_or_default(), each);
}

/// Calls `each` with every span in these lines of the collector's.
pub(crate) fn spans_in(lines: &str, mut each: impl FnMut(&Span)) {
    for line in lines.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        for group in array(&request["resourceSpans"]) {
            for scope in array(&group["scopeSpans"]) {
                for span in array(&scope["spans"]) {
                    each(&Span {
                        span: span.clone(),
                        resource: group["resource"].clone(),
                        scope: scope["scope"].clone(),
                    });
                }
            }
        }
    }
}

/// Every span in the collector's file.
pub(crate) fn all(file: &Path) -> Vec<Span> {
    let mut all = Vec::new();
    spans(file, |span| all.push(span.clone()));
    all
}

pub(crate) fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
