//! The server under load: nginx with one worker, responding with 1 KiB from memory over kept-alive
//! connections.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::cgroup::within;
use super::process::accepts;
use crate::certificate;

/// Size of a response's body.
pub const BODY_BYTES: usize = 1024;

/// Longest wait until it accepts.
const READY: Duration = Duration::from_secs(10);

/// A running nginx; stopped when this is gone.
pub struct Nginx {
    master: Child,
    port: u16,
    http2: u16,
    tls: u16,
    files: PathBuf,
}

impl Nginx {
    /// Starts it with everything that it writes in `folder`, and waits until it accepts.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::serve(folder, None, "text/plain", &"x".repeat(BODY_BYTES))
    }

    /// The same, with a body without `'` and `$`, at three ports: the second speaks HTTP/2 without
    /// TLS, the third either with TLS.
    pub fn serve(
        folder: &Path,
        cgroup: Option<&Path>,
        media_type: &str,
        body: &str,
    ) -> Result<Self> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [free()?, free()?, free()?];
        let mut ports = [0; 3];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr()?.port();
        }
        // For nginx to take.
        drop(held);
        let files = folder.join("files");
        fs::create_dir_all(&files)?;
        certificate::make(folder)?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, ports, media_type, body))?;
        let nginx = crate::command::find("nginx").context("no nginx")?;
        let mut command = match cgroup {
            Some(cgroup) => within(cgroup, &nginx),
            None => Command::new(nginx),
        };
        let master = command
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nginx")?;
        let [port, http2, tls] = ports;
        let mut nginx = Self {
            master,
            port,
            http2,
            tls,
            files,
        };
        nginx.ready(&folder.join("error.log"))?;
        Ok(nginx)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Where it speaks HTTP/2.
    pub fn url_http2(&self) -> String {
        format!("http://127.0.0.1:{}/", self.http2)
    }

    /// Where it speaks TLS.
    pub fn url_tls(&self) -> String {
        format!("https://127.0.0.1:{}/", self.tls)
    }

    /// Where a file of that name is served from.
    pub fn file(&self, name: &str) -> PathBuf {
        self.files.join(name.replace(' ', ""))
    }

    /// Where it is served.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}files/{}", self.url(), name.replace(' ', ""))
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    fn ready(&mut self, log: &Path) -> Result<()> {
        let said = || fs::read_to_string(log).unwrap_or_default();
        accepts(&mut self.master, self.port, READY, "nginx", said)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM to the master stops its worker too; KILL would leave the worker behind.
        let _ = super::signal(&self.master, "TERM");
        let _ = self.master.wait();
    }
}

fn configuration(
    folder: &Path,
    [port, http2, tls]: [u16; 3],
    media_type: &str,
    body: &str,
) -> String {
    let folder = folder.display();
    format!(
        "worker_processes 1;
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{http2} http2;
        listen 127.0.0.1:{tls} ssl http2;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        default_type {media_type};
        location /files/ {{ root {folder}; sendfile on; }}
        location / {{ return 200 '{body}'; }}
    }}
}}
"
    )
}
