//! Runs h2load at a steady rate, and reads how long each request took.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load<'a> {
    pub(super) url: &'a str,
    pub(super) http2: bool,
    pub(super) clients: u64,
    /// Requests at a time of each, with HTTP/2.
    pub(super) streams: u64,
    /// Requests a second of all clients; none: as many as there can be.
    pub(super) rate: Option<u64>,
    pub(super) seconds: u64,
    /// A file that is sent as the body of each request.
    pub(super) body: Option<&'a Path>,
    pub(super) fields: &'a [&'a str],
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// Microseconds that half of the requests stayed under, and that 99 % did.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

impl Load<'_> {
    /// Starts it. It ends by itself.
    pub(super) fn start(&self, log: &Path) -> Result<Child> {
        let _ = fs::remove_file(log);
        let mut command = Command::new(command::find("h2load").context("no h2load")?);
        command
            .args(["--threads", "1", "--log-file"])
            .arg(log)
            .args(["--clients", &self.clients.to_string()])
            .args(["--max-concurrent-streams", &self.streams.to_string()])
            .args(["--duration", &self.seconds.to_string()]);
        if !self.http2 {
            command.arg("--h1");
        }
        if let Some(rate) = self.rate {
            command.args(["--rps", &(rate / self.clients).to_string()]);
        }
        if let Some(body) = self.body {
            command.arg("--data").arg(body);
        }
        for field in self.fields {
            command.args(["--header", field]);
        }
        command.arg(self.url);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start h2load")
    }

    /// Runs it to its end.
    pub(super) fn run(&self, log: &Path) -> Result<Outcome> {
        let status = self.start(log)?.wait()?;
        if !status.success() {
            bail!("h2load ended with {status}");
        }
        let text = fs::read_to_string(log).with_context(|| log.display().to_string())?;
        // Gigabytes, if it runs for long.
        let _ = fs::remove_file(log);
        parse(&text).context("h2load wrote no times")
    }
}

/// One line for each request: when it began, its status, its microseconds.
fn parse(text: &str) -> Option<Outcome> {
    let mut errors = 0;
    let mut times: Vec<u32> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1);
        let status: i32 = words.next()?.parse().ok()?;
        match status {
            200..=399 => times.push(words.next()?.parse().ok()?),
            _ => errors += 1,
        }
    }
    times.sort_unstable();
    let part = |part: f64| times.get((times.len() as f64 * part) as usize).copied();
    Some(Outcome {
        requests: times.len() as u64,
        errors,
        p50_us: part(0.5)?.into(),
        p99_us: part(0.99)?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let mut text = String::new();
        for n in 1..=100 {
            text += &format!("1732654000000000\t200\t{n}\n");
        }
        text += "1732654000000000\t-1\t7\n1732654000000000\t503\t9\n";
        let expected = Outcome {
            requests: 100,
            errors: 2,
            p50_us: 51.0,
            p99_us: 100.0,
        };
        assert_eq!(parse(&text), Some(expected));
        assert_eq!(parse(""), None);
    }
}
