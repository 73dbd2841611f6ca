//! A real Envoy, from its wheel on PyPI: a plain HTTP/1.1 proxy before a server.

use std::process::Command;

use meshtap_parts::envoy::{VERSION, program};

use crate::{Bench, Daemon, HTTP_PORT, Netns};

/// Where Envoy listens.
pub const ENVOY_PORT: u16 = 10_000;

/// Envoy with one worker thread.
#[derive(Debug)]
pub struct Envoy {
    /// Its process.
    pub daemon: Daemon,
}

impl Envoy {
    /// Listening on [`ENVOY_PORT`] of IPv4 loopback, in front of what listens on [`HTTP_PORT`] of
    /// `upstream`.
    #[must_use]
    pub fn start(bench: &Bench, upstream: &str) -> Self {
        Self::with_config(bench, &config(upstream, ""), ENVOY_PORT)
    }

    /// As [`Self::start`], but it speaks HTTP/2 with prior knowledge to the server.
    #[must_use]
    pub fn with_http2_upstream(bench: &Bench, upstream: &str) -> Self {
        Self::with_config(bench, &config(upstream, HTTP2), ENVOY_PORT)
    }

    /// With this configuration, in which something listens on this port.
    #[must_use]
    pub fn with_config(bench: &Bench, config: &str, port: u16) -> Self {
        Self::of_version(VERSION, bench, config, port)
    }

    /// As [`Self::with_config`], of this release.
    #[must_use]
    pub fn of_version(version: &str, bench: &Bench, config: &str, port: u16) -> Self {
        let program = Netns::of_the_machine().inside(|| program(version));
        let program = program.expect("Envoy");
        let config = bench.scratch.write("envoy.yaml", config);
        let mut command = Command::new(program);
        command
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warn",
                "-c",
            ])
            .arg(config);
        let daemon = Daemon::start(bench, &mut command).listening(port);
        Self { daemon }
    }
}

/// Options of a cluster that speaks HTTP/2, with a hundred streams on a connection and as many
/// connections as it takes.
const HTTP2: &str = "
    circuit_breakers:
      thresholds:
      - { max_connections: 10000, max_pending_requests: 100000, max_requests: 100000 }
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 100 } }";

fn config(upstream: &str, protocol: &str) -> String {
    format!(
        r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {ENVOY_PORT} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: upstream, timeout: 300s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: upstream
    connect_timeout: 10s
    type: STATIC{protocol}
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: {upstream}, port_value: {HTTP_PORT} }} }}
"#
    )
}
