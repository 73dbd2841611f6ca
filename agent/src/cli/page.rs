//! `--web`: the page in a browser.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::tap::duration;

/// Whether exchanges are shown on a page, and where.
#[derive(Clone, Debug, Args)]
pub struct PageArgs {
    /// Show the exchanges on a page in a browser. ADDRESS is where it listens, or a port alone
    /// [default: 127.0.0.1 and any free port].
    ///
    /// The whole address is printed. There is a random token in it: who has it sees everything.
    #[arg(
        long = "web",
        value_name = "ADDRESS",
        num_args = 0..=1,
        default_missing_value = "0",
        value_parser = address,
        conflicts_with_all = ["count", "interactive", "json"],
        help_heading = "Output"
    )]
    pub address: Option<SocketAddr>,

    /// Let --web listen on an address that other machines reach. Nothing is encrypted.
    #[arg(long = "web-remote", requires = "address", help_heading = "Output")]
    pub remote: bool,

    /// Close the page when no browser was there for so long.
    #[arg(
        long = "web-idle",
        value_name = "TIME",
        value_parser = duration,
        default_value = "30m",
        help_heading = "Output"
    )]
    pub idle: Duration,
}

impl PageArgs {
    /// Where the page listens, if there is one.
    ///
    /// # Errors
    /// When others could reach it and that was not asked for.
    pub fn listens(&self) -> Result<Option<SocketAddr>, String> {
        match self.address {
            Some(address) if !address.ip().is_loopback() && !self.remote => Err(format!(
                "--web {address} can be reached from other machines, and nothing is encrypted: \
                 add --web-remote if that is wanted, or forward the port with ssh -L"
            )),
            address => Ok(address),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is not an address; write for example 127.0.0.1:8080 or 8080");
    let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let text = text.strip_prefix("localhost").unwrap_or(text);
    let text = text.strip_prefix(':').unwrap_or(text);
    Ok((Ipv4Addr::LOCALHOST, port(text)?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<&str>| {
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(address(text).ok(), expected, "{text}");
        };
        check("8080", Some("127.0.0.1:8080"));
        check(":8080", Some("127.0.0.1:8080"));
        check("localhost:8080", Some("127.0.0.1:8080"));
        check("[::1]:80", Some("[::1]:80"));
        check("0.0.0.0:80", Some("0.0.0.0:80"));
        check("recording.meshtap", None);
        check("127.0.0.1", None);
        check("65536", None);
        check("", None);
    }

    #[test]
    fn others_reach_it_only_when_asked_for() {
        let check = |text: &str, remote: bool, expected: bool| {
            let args = PageArgs {
                address: Some(address(text).expect("an address")),
                remote,
                idle: Duration::ZERO,
            };
            assert_eq!(args.listens().is_ok(), expected, "{text}");
        };
        check("127.0.0.2:80", false, true);
        check("[::1]:80", false, true);
        check("0.0.0.0:80", false, false);
        check("[::]:80", false, false);
        check("10.0.0.1:80", false, false);
        check("10.0.0.1:80", true, true);
    }
}
