//! `meshtap tap`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use meshtap_common::DEFAULT_RING_BYTES;

use super::OutputArgs;
use crate::capture::kernel::is_ring_size;
use crate::engine::is_body_size;
use crate::units::ByteSize;

/// Arguments of `meshtap tap`.
#[derive(Clone, Debug, Args)]
pub struct TapArgs {
    /// What is shown, and how.
    #[command(flatten)]
    pub output: OutputArgs,

    /// End after this long, for example 30s or 5m.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Output")]
    pub duration: Option<Duration>,

    /// Also write the raw kernel events to a file, for `meshtap replay`. It holds plaintext
    /// traffic.
    ///
    /// `-` is standard output, and then nothing else is printed there. Only --cgroup, --side,
    /// --ignore-mark and --port narrow a recording (--port not with a client's port, or more than
    /// 16); --max-body bounds the bodies in it. The other filters narrow what is shown.
    #[arg(long, value_name = "FILE", help_heading = "Capture")]
    pub record: Option<PathBuf>,

    /// Capture only the sockets of this cgroup v2 folder and those below it [default: the root,
    /// found by itself].
    #[arg(long, value_name = "DIR", help_heading = "Capture")]
    pub cgroup: Option<PathBuf>,

    /// Size of the ring buffer between kernel and meshtap: a power of two from 64KiB to 1GiB
    /// [default: 16MiB].
    #[arg(long, value_name = "SIZE", value_parser = ring_size, default_value_t = DEFAULT_RING_BYTES, hide_default_value = true, help_heading = "Capture")]
    pub ring_size: u32,

    /// Body bytes captured per message, 1 to 16MiB; true sizes are shown all the same.
    #[arg(long, value_name = "SIZE", value_parser = body_size, default_value = "64KiB", help_heading = "Capture")]
    pub max_body: usize,

    /// Show an exchange that takes longer than this as it stands, marked `max_age`: a stream, a
    /// long poll.
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        default_value = "5m",
        help_heading = "Capture"
    )]
    pub max_exchange_age: Duration,

    /// Exclude sockets with this SO_MARK: VALUE, VALUE/MASK or `none`. Istio's ztunnel sets
    /// 0x539/0xfff; any container with CAP_NET_RAW can set it, too.
    #[arg(
        long,
        value_name = "MARK",
        default_value = "none",
        help_heading = "Capture"
    )]
    pub ignore_mark: MarkArg,

    /// Which programs that end TLS themselves are read, where they decrypt and encrypt: those with
    /// OpenSSL or BoringSSL, such as nginx, curl and Envoy; with --pid, of those processes alone.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHICH",
        help_heading = "Capture"
    )]
    pub tls: TlsChoice,

    /// What is read of ztunnel, and of other programs with rustls over aws-lc, where they decrypt
    /// and encrypt. Off by default: it has not been measured enough.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHAT",
        help_heading = "Capture"
    )]
    pub ztunnel: ZtunnelChoice,

    /// Show diagnostics of the BPF programs on stderr.
    #[arg(long, help_heading = "Capture")]
    pub log: bool,
}

/// `--tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TlsChoice {
    /// Every program that can be read, where the privileges allow it.
    #[default]
    Auto,
    /// None.
    Off,
}

/// `--ztunnel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ZtunnelChoice {
    /// Nothing.
    #[default]
    Off,
    /// Whether exchanges of applications came over mTLS, and with whom.
    Identity,
    /// And exchanges that no socket of an application shows.
    Flows,
}

/// `--ignore-mark`: sockets with `mark & mask == value`. A mask of zero ignores none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkArg {
    /// The mark.
    pub value: u32,
    /// The bits of it that count.
    pub mask: u32,
}

impl FromStr for MarkArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => text.parse(),
        };
        let wrong = |_| format!("`{text}` is not a mark; write for example 0x539/0xfff or none");
        if text == "none" {
            return Ok(Self { value: 0, mask: 0 });
        }
        let (value, mask) = match text.split_once('/') {
            Some((value, mask)) => (number(value).map_err(wrong)?, number(mask).map_err(wrong)?),
            None => (number(text).map_err(wrong)?, u32::MAX),
        };
        if value & !mask != 0 {
            return Err(format!(
                "no mark can match `{text}`: it has bits outside its mask"
            ));
        }
        Ok(Self { value, mask })
    }
}

fn ring_size(text: &str) -> Result<u32, String> {
    let size: ByteSize = text.parse()?;
    if !is_ring_size(size) {
        return Err("the size must be a power of two from 64KiB to 1GiB".to_owned());
    }
    u32::try_from(size.0).map_err(|error| error.to_string())
}

pub(super) fn body_size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse()?;
    if !is_body_size(size) {
        return Err("the size must be from 1 byte to 16MiB".to_owned());
    }
    Ok(size.bytes())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!(
            "`{text}` is not a time; write for example 500ms, 30s or 1m30s"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let check = |text: &str, expected: Option<(u32, u32)>| {
            let mark = text.parse::<MarkArg>().ok();
            assert_eq!(mark.map(|m| (m.value, m.mask)), expected, "{text}");
        };
        check("0x539", Some((0x539, u32::MAX)));
        check("1337", Some((1337, u32::MAX)));
        check("0x539/0xfff", Some((0x539, 0xfff)));
        check("none", Some((0, 0)));
        check("0x1539/0xfff", None);
        check("", None);
        check("0x", None);
        check("-1", None);
    }
}
