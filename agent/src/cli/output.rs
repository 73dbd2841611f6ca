//! What `tap` and `replay` have in common: which exchanges are shown, and how.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};

use super::{ExportArgs, PageArgs};
use crate::flow::Side;
use crate::http::pattern::check_whole_method;
use crate::tap::{Detail, Filter, HostPattern, PathPattern, StatusSet};

/// Which exchanges are shown, and how.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// Look at the exchanges on a screen: follow, filter, sort, open them, copy them as curl.
    ///
    /// `?` shows the keys.
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub interactive: bool,

    /// The page in a browser.
    #[command(flatten)]
    pub page: PageArgs,

    /// Write one JSON object per exchange and line.
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Show header fields; twice (-vv): bodies too.
    ///
    /// Applies to --json as well, where header fields are always there.
    #[arg(short, long = "verbose", action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// Show passwords, tokens and cookies as they are, instead of a hash of them.
    #[arg(long, help_heading = "Output")]
    pub no_redact: bool,

    /// Write the exchanges to a HAR file too, with their bodies, for browser developer tools and
    /// other readers.
    ///
    /// `-` is standard output, and then nothing else is printed there.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub har: Option<PathBuf>,

    /// When to colour. `auto`: when the output is a terminal and NO_COLOR is not set.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    pub color: ColourChoice,

    /// End after so many exchanges were shown.
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Output")]
    pub count: Option<u64>,

    /// Write the ledger of the run (exchanges, losses, CPU time) to a file, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub ledger_json: Option<PathBuf>,

    /// Where spans go, besides what is shown.
    #[command(flatten)]
    pub export: ExportArgs,

    /// Only connections with this port at either end.
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = port, help_heading = FILTERS)]
    pub port: Vec<u16>,

    /// Only sockets of this process.
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = pid, help_heading = FILTERS)]
    pub pid: Vec<u32>,

    /// Only this host; `*` stands for any characters (`*.example.com`). A port need not be given.
    #[arg(long, value_name = "HOST", value_delimiter = ',', help_heading = FILTERS)]
    pub host: Vec<HostPattern>,

    /// Only paths that begin with this, or match it as a whole when it has a `*` (`*/items`).
    ///
    /// The query is looked at only when the pattern has a `?`.
    #[arg(long, value_name = "PATH", value_delimiter = ',', help_heading = FILTERS)]
    pub path: Vec<PathPattern>,

    /// Only this method; upper or lower case.
    #[arg(long, value_name = "METHOD", value_delimiter = ',', value_parser = method, help_heading = FILTERS)]
    pub method: Vec<String>,

    /// Only this status: 200, 4xx, 400-499, or `none` for requests without a response.
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help_heading = FILTERS)]
    pub status: Vec<StatusSet>,

    /// Only requests that arrive at a socket of this machine (server), or leave from one (client).
    #[arg(long, value_enum, default_value_t, value_name = "SIDE", help_heading = FILTERS)]
    pub side: SideChoice,
}

fn count(text: &str) -> Result<u64, String> {
    number(text, "a count; write a number from 1 on")
}

fn port(text: &str) -> Result<u16, String> {
    number(text, "a port; write a number from 1 to 65535")
}

fn pid(text: &str) -> Result<u32, String> {
    number(text, "a process id; write a number from 1 on")
}

/// A number that is not zero; `wanted` completes the error.
fn number<T: FromStr + Default + PartialEq>(text: &str, wanted: &str) -> Result<T, String> {
    match text.parse::<T>() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(format!("`{text}` is not {wanted}")),
    }
}

/// A method is a token (RFC 9110 §9.1); nothing else is ever captured.
fn method(text: &str) -> Result<String, String> {
    check_whole_method(text).map(|()| text.to_owned())
}

/// Heading of the filters in the help.
const FILTERS: &str = "Filters (each can be repeated, or take a comma-separated list)";

impl OutputArgs {
    /// The filters.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter {
            ports: self.port.clone(),
            pids: self.pid.clone(),
            hosts: self.host.clone(),
            paths: self.path.clone(),
            methods: self.method.clone(),
            statuses: self.status.clone(),
            side: self.side.side(),
        }
    }

    /// How much is shown of each exchange.
    #[must_use]
    pub const fn detail(&self) -> Detail {
        if self.interactive || self.page.address.is_some() {
            return Detail::Bodies;
        }
        Detail::from_count(self.verbose)
    }
}

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColourChoice {
    /// When the output is a terminal and NO_COLOR is not set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--side`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SideChoice {
    /// Both; the two ends of one local connection are shown once.
    #[default]
    Both,
    /// Requests that arrive.
    Server,
    /// Requests that leave.
    Client,
}

impl SideChoice {
    /// The one side, if only one is wanted.
    #[must_use]
    pub const fn side(self) -> Option<Side> {
        match self {
            Self::Both => None,
            Self::Server => Some(Side::Server),
            Self::Client => Some(Side::Client),
        }
    }
}
