//! The server under load: nginx with one worker, responding with 1 KiB from memory over kept-alive
//! connections.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::certificate;

/// Size of a response's body.
pub const BODY_BYTES: usize = 1024;

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
    ///
    /// A socket stays in the cgroup that its process was in when it was made, and so do those that
    /// it accepts: nginx is started within `cgroup`.
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
            Some(cgroup) => {
                let mut command = Command::new("sh");
                command
                    .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
                    .arg(cgroup.join("cgroup.procs"))
                    .arg(nginx);
                command
            }
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
        nginx.ready()?;
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

    fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Some(status) = self.master.try_wait()? {
                bail!("nginx ended at once: {status}");
            }
            if Instant::now() > deadline {
                bail!("nginx does not accept connections");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
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
