//! Real servers, with a configuration of the test's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Bench, Daemon};

/// Where the servers listen: every test has a network of its own.
pub const HTTP_PORT: u16 = 8080;

/// nginx with one worker (Debian: `nginx-light`).
#[derive(Debug)]
pub struct Nginx {
    /// Its master process.
    pub daemon: Daemon,
    root: PathBuf,
}

impl Nginx {
    /// Listening on IPv4 and IPv6, with these lines in its `server` block; files come from
    /// [`Self::root`].
    #[must_use]
    pub fn start(bench: &Bench, server: &str) -> Self {
        let listen = format!("listen {HTTP_PORT}; listen [::]:{HTTP_PORT};");
        Self::start_http(bench, &format!("server {{ {listen} {server} }}"))
    }

    /// With these lines in its `http` block.
    #[must_use]
    pub fn start_http(bench: &Bench, http: &str) -> Self {
        let root = bench.scratch.folder("www");
        let temporary = bench.scratch.folder("nginx");
        let temporary = temporary.display();
        let config = bench.scratch.write(
            "nginx.conf",
            format!(
                "daemon off; user root; worker_processes 1; worker_rlimit_nofile 20000;
                 pid {temporary}/pid; error_log stderr notice;
                 events {{ worker_connections 15000; }}
                 http {{
                     access_log off; sendfile on; default_type text/plain;
                     keepalive_requests 10000000; keepalive_timeout 1h;
                     client_header_timeout 1h; client_max_body_size 0;
                     client_body_temp_path {temporary}/body; proxy_temp_path {temporary}/proxy;
                     root {root}; {http}
                 }}",
                root = root.display(),
            ),
        );
        let mut command = Command::new("nginx");
        command
            .args(["-e", "stderr", "-c"])
            .arg(config)
            .arg("-p")
            .arg(bench.scratch.path());
        let daemon = Daemon::start(bench, &mut command).listening(HTTP_PORT);
        Self { daemon, root }
    }

    /// Its document root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Apache httpd with the event MPM. On Linux it sets `TCP_DEFER_ACCEPT` on its listeners
/// (AcceptFilter, core(5)), so the first data packet arrives while there is no socket but the
/// listener.
#[derive(Debug)]
pub struct Apache {
    /// Its parent process.
    pub daemon: Daemon,
    root: PathBuf,
}

impl Apache {
    /// Serving files from [`Self::root`] on IPv4 and IPv6.
    #[must_use]
    pub fn start(bench: &Bench) -> Self {
        Self::configured(bench, "")
    }

    /// As [`Self::start`]; it also takes HTTP/2, with prior knowledge or by Upgrade.
    #[must_use]
    pub fn with_http2(bench: &Bench) -> Self {
        let module = "/usr/lib/apache2/modules/mod_http2.so";
        let lines = format!("LoadModule http2_module {module}\nProtocols h2c http/1.1\n");
        Self::configured(bench, &lines)
    }

    fn configured(bench: &Bench, lines: &str) -> Self {
        let root = bench.scratch.folder("www");
        let run = bench.scratch.folder("apache");
        let config = bench.scratch.write(
            "apache.conf",
            format!(
                "ServerRoot {run}\nDefaultRuntimeDir {run}\nPidFile {run}/pid\nMutex file:{run} default\n\
                 LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
                 LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
                 LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so\n\
                 User www-data\nGroup www-data\nServerName localhost\nTypesConfig /dev/null\n\
                 ErrorLog /dev/stderr\nKeepAlive On\nMaxKeepAliveRequests 0\n\
                 Listen 0.0.0.0:{HTTP_PORT}\nListen [::]:{HTTP_PORT}\nDocumentRoot {root}\n{lines}",
                run = run.display(),
                root = root.display(),
            ),
        );
        let mut command = Command::new("apache2");
        command.args(["-D", "FOREGROUND", "-f"]).arg(config);
        let daemon = Daemon::start(bench, &mut command).listening(HTTP_PORT);
        Self { daemon, root }
    }

    /// Its document root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Python's `http.server`.
#[derive(Debug)]
pub struct PythonServer {
    /// Its process.
    pub daemon: Daemon,
    root: PathBuf,
}

impl PythonServer {
    /// Serving files from [`Self::root`] at `address`, speaking this version (`HTTP/1.0` closes
    /// after each response).
    #[must_use]
    pub fn start(bench: &Bench, address: &str, version: &str) -> Self {
        let root = bench.scratch.folder("www");
        let mut command = Command::new("python3");
        command
            .args([
                "-m",
                "http.server",
                "--bind",
                address,
                "--protocol",
                version,
            ])
            .arg("--directory")
            .arg(&root)
            .arg(HTTP_PORT.to_string());
        let daemon = Daemon::start(bench, &mut command).listening(HTTP_PORT);
        Self { daemon, root }
    }

    /// Its document root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The address of a path of the server on [`HTTP_PORT`] of `host` (a name, or an IPv6 address in
/// brackets).
#[must_use]
pub fn url(host: &str, path: &str) -> String {
    format!("http://{host}:{HTTP_PORT}{path}")
}
