//! The server under load: nginx with one worker, responding with 1 KiB from memory over kept-alive
//! connections.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Size of a response's body.
pub const BODY_BYTES: usize = 1024;

/// A running nginx; stopped when this is gone.
pub struct Nginx {
    master: Child,
    port: u16,
}

impl Nginx {
    /// Starts it with everything that it writes in `folder`, and waits until it accepts.
    pub fn start(folder: &Path) -> Result<Self> {
        // Freed at the end of the statement, for nginx to take.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        fs::create_dir_all(folder)?;
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, port))?;
        let master = Command::new(crate::command::find("nginx").context("no nginx")?)
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.join("error.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start nginx")?;
        let mut nginx = Self { master, port };
        nginx.ready()?;
        Ok(nginx)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
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

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let body = "x".repeat(BODY_BYTES);
    format!(
        "worker_processes 1;
daemon off;
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
        default_type text/plain;
        location / {{ return 200 \"{body}\"; }}
    }}
}}
"
    )
}
