//! Runs wrk and reads its report.

use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// What one run of wrk measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Responses.
    pub requests: u64,
    /// Responses a second.
    pub rate: f64,
    /// Latency in microseconds that half the requests stay under.
    pub p50_us: f64,
    /// Latency in microseconds that 99 % of the requests stay under.
    pub p99_us: f64,
    /// Responses that were not 2xx or 3xx, and socket errors.
    pub errors: u64,
}

/// One thread, for a server of one worker on two cores, and enough connections to keep that worker
/// busy.
pub fn run(url: &str, seconds: u64) -> Result<Load> {
    let report = command::output(
        Command::new("wrk")
            .args([
                "--threads",
                "1",
                "--connections",
                "32",
                "--latency",
                "--duration",
            ])
            .arg(format!("{seconds}s"))
            .arg(url),
    )?;
    parse(&report).with_context(|| format!("cannot read wrk's report:\n{report}"))
}

fn parse(report: &str) -> Option<Load> {
    let after = |mark: &str| {
        let line = report
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(mark))?;
        line.split_whitespace().next()
    };
    let requests = report.lines().find(|line| line.contains(" requests in "))?;
    Some(Load {
        requests: requests.split_whitespace().next()?.parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        p50_us: microseconds(after("50%")?)?,
        p99_us: microseconds(after("99%")?)?,
        errors: errors(report),
    })
}

/// `Non-2xx or 3xx responses: 3` and `Socket errors: connect 0, read 1, write 0, timeout 2`.
fn errors(report: &str) -> u64 {
    report
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("Non-2xx or 3xx responses:")
                .or_else(|| line.strip_prefix("Socket errors:"))
        })
        .flat_map(|counts| counts.split([' ', ',']))
        .filter_map(|word| word.parse::<u64>().ok())
        .sum()
}

fn microseconds(text: &str) -> Option<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 60e6)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 3s test @ http://127.0.0.1:18080/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   397.62us  122.16us   5.45ms   91.24%
    Req/Sec    80.11k     4.43k   86.30k    83.87%
  Latency Distribution
     50%  383.00us
     75%  430.00us
     90%  480.00us
     99%    1.25ms
  247053 requests in 3.10s, 288.67MB read
Requests/sec:  79697.45
Transfer/sec:     93.12MB
";

    #[test]
    fn the_report_is_read() {
        let expected = Load {
            requests: 247_053,
            rate: 79_697.45,
            p50_us: 383.0,
            p99_us: 1250.0,
            errors: 0,
        };
        assert_eq!(parse(REPORT), Some(expected));
        let failing = format!(
            "{REPORT}  Socket errors: connect 0, read 1, write 0, timeout 2\n  Non-2xx or 3xx responses: 4\n"
        );
        assert_eq!(parse(&failing).unwrap().errors, 7);
        assert_eq!(parse("unable to connect to 127.0.0.1:1"), None);
    }
}
