//! `meshtap run`, measured.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::process::accepts;

/// Longest wait until it accepts.
const READY: Duration = Duration::from_secs(30);

/// A running agent; killed when it is dropped without [`Service::stop`].
pub(super) struct Service {
    process: Child,
    ledger: PathBuf,
    log: PathBuf,
}

impl Service {
    /// Starts it with this configuration, and waits until it captures.
    pub(super) fn start(agent: &Path, folder: &Path, config: &str) -> Result<Self> {
        // Freed at the end of the statement, for the agent to take.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let file = folder.join("meshtap.yaml");
        fs::write(
            &file,
            format!("telemetry: {{listen: '127.0.0.1:{port}'}}\n{config}"),
        )?;
        let (ledger, log) = (folder.join("ledger.json"), folder.join("meshtap.log"));
        let _ = fs::remove_file(&ledger);
        let process = Command::new(agent)
            .args(["run", "--config"])
            .arg(&file)
            .arg("--ledger-json")
            .arg(&ledger)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", agent.display()))?;
        let mut service = Self {
            process,
            ledger,
            log,
        };
        service.ready(port)?;
        Ok(service)
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Reads its configuration again.
    pub(super) fn reload(&self) -> Result<()> {
        super::signal(&self.process, "HUP")
    }

    /// Takes the processor away from it for so long.
    pub(super) fn starve(&self, time: Duration) -> Result<()> {
        super::signal(&self.process, "STOP")?;
        std::thread::sleep(time);
        super::signal(&self.process, "CONT")
    }

    /// It attaches its hooks before it listens.
    fn ready(&mut self, port: u16) -> Result<()> {
        let log = &self.log;
        let said = || fs::read_to_string(log).unwrap_or_default();
        accepts(&mut self.process, port, READY, "the agent", said)
    }

    /// Waits until its log holds this.
    pub(super) fn says(&self, part: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.said().contains(part) {
            if Instant::now() > deadline {
                bail!("the agent does not say {part:?}:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it in good order; its ledger. It must have delivered everything.
    pub(super) fn stop(self) -> Result<Value> {
        let (status, ledger, said) = self.end()?;
        if !status.success() {
            bail!("the agent ended with {status}:\n{said}");
        }
        Ok(ledger)
    }

    /// The same where a destination was away: that not everything was delivered is no error then.
    pub(super) fn stop_with_losses(self) -> Result<Value> {
        let (status, ledger, said) = self.end()?;
        let is_undelivered =
            status.code() == Some(1) && said.contains("not everything was delivered");
        if !status.success() && !is_undelivered {
            bail!("the agent ended with {status}:\n{said}");
        }
        Ok(ledger)
    }

    fn end(mut self) -> Result<(ExitStatus, Value, String)> {
        super::signal(&self.process, "TERM")?;
        let status = self.process.wait()?;
        let said = self.said();
        let text = fs::read_to_string(&self.ledger).with_context(|| {
            format!("no ledger in {}, {status}:\n{said}", self.ledger.display())
        })?;
        Ok((status, serde_json::from_str(&text)?, said))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
