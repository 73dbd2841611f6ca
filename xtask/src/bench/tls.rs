//! `cargo xtask bench tls`: what it costs an Envoy that terminates TLS to be read, and what a
//! filter in Lua that exports the same exchanges costs it.
//!
//! Envoy has one worker and responds by itself. What it takes for a request is its own processor
//! time, the probes' included, since they run on its thread.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use meshtap_parts::envoy;
use serde_json::{Value, json};

use super::cgroup::{Cgroup, within};
use super::collector::Collector;
use super::h2load::{Load, Outcome};
use super::process::{Usage, accepts};
use super::service::Service;
use crate::{certificate, packages};

/// What `cargo xtask bench tls` takes.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Rounds; in each every row runs once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Measure this agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// Bytes of a response's body.
const BODY: usize = 1024;
const HTTP1: Protocol = Protocol {
    name: "HTTP/1.1, 16 connections",
    http2: false,
    clients: 16,
    streams: 1,
};
const HTTP2: Protocol = Protocol {
    name: "HTTP/2, 4 connections with 16 streams",
    http2: true,
    clients: 4,
    streams: 16,
};

/// Longest wait until it accepts.
const READY: Duration = Duration::from_secs(30);

struct Protocol {
    name: &'static str,
    http2: bool,
    clients: u64,
    streams: u64,
}

/// What runs in Envoy, or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Observer {
    Nothing,
    /// `meshtap run`, exporting every exchange.
    Agent,
    /// A filter in Lua that exports every exchange, and does not wait for the collector.
    Lua,
    /// The same, which waits: the response is held until the collector has responded.
    LuaWaiting,
}

const OBSERVERS: [Observer; 4] = [
    Observer::Nothing,
    Observer::Agent,
    Observer::Lua,
    Observer::LuaWaiting,
];

impl Observer {
    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "alone",
            Self::Agent => "meshtap run",
            Self::Lua => "Lua filter",
            Self::LuaWaiting => "Lua filter that waits",
        }
    }
}

/// Measures and prints; the figures are also in `target/bench/tls/figures.json`.
pub(super) fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::BENCH)?;
    let agent = super::agent(options.agent.as_deref())?;
    let folder = super::folder("tls")?;
    let cgroup = Cgroup::new("tls")?;
    let bench = Bench {
        agent,
        collector: Collector::start()?,
        program: envoy::program(envoy::VERSION)?,
        cgroup: &cgroup,
        folder: &folder,
        seconds: options.seconds,
    };
    certificate::make(&folder)?;
    let mut table = Vec::new();
    for protocol in [HTTP1, HTTP2] {
        let mut rows: [Vec<Value>; OBSERVERS.len()] = Default::default();
        for round in 1..=options.rounds {
            for (observer, rows) in OBSERVERS.into_iter().zip(&mut rows) {
                let row = bench.measure(&protocol, observer)?;
                eprintln!(
                    "{round}/{}: {}, {}: {row}",
                    options.rounds,
                    protocol.name,
                    observer.name()
                );
                rows.push(row);
            }
        }
        let alone = &rows[0];
        for (observer, rows) in OBSERVERS.into_iter().zip(&rows) {
            let kept = rows.iter().zip(alone).map(|(row, alone)| {
                let rate = |row: &Value| row["requests_per_second"].as_f64().unwrap_or(f64::NAN);
                rate(row) / rate(alone)
            });
            let kept: Vec<f64> = kept.collect();
            table.push(json!({
                "protocol": protocol.name,
                "observer": observer.name(),
                "figures": super::spreads(rows),
                "kept_of_the_rate": super::spread(&kept),
            }));
        }
    }
    let file = folder.join("figures.json");
    fs::write(&file, serde_json::to_string_pretty(&table)?)?;
    print(&table);
    println!("\n{}", file.display());
    Ok(())
}

struct Bench<'a> {
    agent: PathBuf,
    collector: Collector,
    program: PathBuf,
    cgroup: &'a Cgroup,
    folder: &'a Path,
    seconds: u64,
}

impl Bench<'_> {
    fn measure(&self, protocol: &Protocol, observer: Observer) -> Result<Value> {
        let envoy = self.envoy(observer)?;
        let url = format!("https://127.0.0.1:{}/cart", envoy.port);
        let load = Load {
            url: &url,
            http2: protocol.http2,
            clients: protocol.clients,
            streams: protocol.streams,
            rate: None,
            seconds: self.seconds,
            body: None,
            fields: &[
                "accept: application/json",
                "x-request-id: 1",
                "user-agent: bench",
            ],
        };
        let log = self.folder.join("h2load.log");
        let service = match observer {
            Observer::Agent => Some(self.service()?),
            _ => None,
        };
        let before = Usage::of(envoy.process.id());
        let agent = service.as_ref().map(|service| Usage::of(service.pid()));
        let Outcome {
            requests,
            errors,
            p50_us,
            p99_us,
        } = load.run(&log)?;
        let spent = Usage::of(envoy.process.id()).since(&before);
        if errors > 0 || requests == 0 {
            bail!("{requests} requests, {errors} failed");
        }
        let mut row = json!({
            "requests_per_second": requests as f64 / self.seconds as f64,
            "envoy_us_per_request": spent.cpu_ns() as f64 / 1e3 / requests as f64,
            "p50_us": p50_us,
            "p99_us": p99_us,
        });
        if let (Some(service), Some(before)) = (service, agent) {
            let spent = Usage::of(service.pid()).since(&before);
            let ledger = service.stop()?;
            if ledger["imbalance"] != 0 {
                bail!("the ledger does not balance: {ledger}");
            }
            let emitted = ledger["emitted_complete"].as_f64().unwrap_or_default();
            row["agent_us_per_request"] = json!(spent.cpu_ns() as f64 / 1e3 / requests as f64);
            row["emitted_of_sent"] = json!(emitted / requests as f64);
        }
        Ok(row)
    }

    /// It reads Envoy when this returns.
    fn service(&self) -> Result<Service> {
        let config = format!(
            "capture: {{cgroup: '{}', side: server, tls: {{enabled: true}}}}\nexport: {{otlp: [{{endpoint: '{}', protocol: http/protobuf}}]}}\n",
            self.cgroup.path().display(),
            self.collector.endpoint()
        );
        let service = Service::start(&self.agent, self.folder, &config)?;
        service.says("/envoy")?;
        Ok(service)
    }

    fn envoy(&self, observer: Observer) -> Result<Envoy> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let config = self.folder.join("envoy.yaml");
        let filter = match observer {
            Observer::Nothing | Observer::Agent => String::new(),
            Observer::Lua => lua("true"),
            Observer::LuaWaiting => lua("false"),
        };
        let collector = self.collector.address().port();
        fs::write(
            &config,
            configuration(self.folder, [port, collector], &filter),
        )?;
        let log = File::create(self.folder.join("envoy.log"))?;
        let process = within(self.cgroup.path(), &self.program)
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "warn", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start Envoy")?;
        let mut envoy = Envoy { process, port };
        envoy.ready(&self.folder.join("envoy.log"))?;
        Ok(envoy)
    }
}

/// Killed when it is dropped.
struct Envoy {
    process: Child,
    port: u16,
}

impl Envoy {
    fn ready(&mut self, log: &Path) -> Result<()> {
        let said = || fs::read_to_string(log).unwrap_or_default();
        accepts(&mut self.process, self.port, READY, "Envoy", said)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A filter that keeps fields and bodies of both messages, and sends a span of them.
fn lua(is_asynchronous: &str) -> String {
    let code = include_str!("tls.lua").replace("ASYNCHRONOUS", is_asynchronous);
    let code = code.replace('\n', "\n                  ");
    format!(
        r#"
          - name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  {code}"#
    )
}

fn configuration(folder: &Path, [port, collector]: [u16; 2], filter: &str) -> String {
    let folder = folder.display();
    let body = super::ordinary::json_body(BODY);
    format!(
        r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {{ filename: {folder}/cert.pem }}
              private_key: {{ filename: {folder}/key.pem }}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                response_headers_to_add:
                - header: {{ key: content-type, value: application/json }}
                  append_action: OVERWRITE_IF_EXISTS_OR_ADD
                direct_response:
                  status: 200
                  body: {{ inline_string: '{body}' }}
          http_filters:{filter}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: collector
    connect_timeout: 5s
    type: STATIC
    load_assignment:
      cluster_name: collector
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {collector} }} }}
"#
    )
}

fn print(table: &[Value]) {
    println!(
        "{:<40} {:<22} {:>10} {:>6} {:>16} {:>16} {:>9} {:>8}",
        "", "", "requests/s", "kept", "Envoy µs/request", "agent µs/request", "p99 µs", "emitted"
    );
    for row in table {
        let median = |value: &Value| value["median"].as_f64();
        let figure = |name: &str, digits: usize| {
            let value = median(&row["figures"][name]);
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        println!(
            "{:<40} {:<22} {:>10} {:>6.3} {:>16} {:>16} {:>9} {:>8}",
            row["protocol"].as_str().unwrap_or_default(),
            row["observer"].as_str().unwrap_or_default(),
            figure("requests_per_second", 0),
            median(&row["kept_of_the_rate"]).unwrap_or(f64::NAN),
            figure("envoy_us_per_request", 1),
            figure("agent_us_per_request", 1),
            figure("p99_us", 0),
            figure("emitted_of_sent", 4),
        );
    }
}
