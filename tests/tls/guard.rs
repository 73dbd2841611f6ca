//! Functions that were found by what they do, and what they carry: the guard detaches from what
//! does not look like HTTP, and from nothing else.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use meshtap_tests::{Bench, Daemon, Envoy, HTTP_PORT, Tap, curl, live};

use crate::bench::{Certificate, at, echo, nginx, reading};

/// TLS downstream, and whatever is inside to [`ECHOES`].
const TUNNEL: u16 = 10_445;
/// TLS downstream, HTTP to nginx.
const GATEWAY: u16 = 10_446;
/// Sends back what it gets.
const ECHOES: u16 = 10_447;

/// More than the guard waits for.
const SESSIONS: usize = 24;

/// An Envoy with one listener: TCP, or HTTP.
fn envoy(bench: &Bench, certificate: &Certificate, port: u16, upstream: u16) -> Envoy {
    let (chain, key) = (certificate.certificate.display(), certificate.key.display());
    let filter = match port {
        TUNNEL => {
            r#"
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: test
          cluster: upstream"#
        }
        _ => {
            r#"
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: test
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: / }
                route: { cluster: upstream }
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"#
        }
    };
    let config = format!(
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
            tls_certificates:
            - certificate_chain: {{ filename: {chain} }}
              private_key: {{ filename: {key} }}
      filters:{filter}
  clusters:
  - name: upstream
    connect_timeout: 10s
    type: STATIC
    load_assignment:
      cluster_name: upstream
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }}
"#
    );
    Envoy::with_config(bench, &config, port)
}

const ECHO_SERVER: &str = r#"
import socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1024):
            self.request.sendall(data)
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"#;

/// Sends back what comes, on each connection.
fn echoes(bench: &Bench) -> Daemon {
    let script = bench.scratch.write("echo.py", ECHO_SERVER);
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(ECHOES.to_string());
    Daemon::start(bench, &mut command).listening(ECHOES)
}

/// Sessions that carry what is not HTTP.
fn other_protocol(count: usize) {
    const TEXT: &[u8] = b"\xff\xfe\xfdsomething else\n";
    for _ in 0..count {
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-connect",
                &format!("127.0.0.1:{TUNNEL}"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        client
            .stdin
            .as_mut()
            .expect("stdin")
            .write_all(TEXT)
            .expect("sent");
        let mut back = vec![0; TEXT.len()];
        let stdout = client.stdout.as_mut().expect("stdout");
        stdout.read_exact(&mut back).expect("what was sent");
        assert_eq!(back, TEXT);
        client.kill().expect("kill openssl");
        client.wait().expect("wait for openssl");
    }
}

#[test]
fn what_is_not_http_is_left() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _echoes = echoes(bench);
        let _envoy = envoy(bench, &certificate, TUNNEL, ECHOES);
        let tap = reading(Tap::new(bench).server_side(), "/envoy ");
        other_protocol(SESSIONS);
        tap.says(&["TLS:", "not reading", "/envoy", "not HTTP"]);
        // No request of the program fails by it.
        other_protocol(2);
        let report = tap.finish();
        report.assert_balanced();
        assert_eq!(report.exchanges.len(), 0, "{:#?}", report.lines);
    });
}

/// A file is one target for all processes that use it: one of them that carries something else does
/// not speak for the others.
#[test]
fn one_user_that_speaks_http_is_enough() {
    live(|bench| {
        let certificate = Certificate::make(bench);
        let _nginx = nginx(bench, &certificate);
        let _echoes = echoes(bench);
        let _tunnel = envoy(bench, &certificate, TUNNEL, ECHOES);
        let _gateway = envoy(bench, &certificate, GATEWAY, HTTP_PORT);
        let tap = reading(Tap::new(bench).server_side(), "/envoy ");
        assert_eq!(curl(&["-k", &echo(GATEWAY, "first")]), b"first");
        tap.emitted(2);
        other_protocol(SESSIONS);
        // The guard looks once a second; a program that is found after that says that it has.
        thread::sleep(std::time::Duration::from_secs(3));
        assert_eq!(curl(&["-k", &echo(GATEWAY, "second")]), b"second");
        tap.emitted(4);
        let report = tap.finish();
        report.assert_balanced();
        assert!(!report.stderr.contains("any more"), "{}", report.stderr);
        assert_eq!(at(&report, GATEWAY).count(), 2);
    });
}
