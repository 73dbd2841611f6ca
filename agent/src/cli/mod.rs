//! The command line. One file per command.

mod check;
mod explain;
mod export;
mod output;
mod page;
mod replay;
mod service;
mod tap;
mod top;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

pub use check::CheckArgs;
pub use explain::{ExplainArgs, PodName};
pub use export::ExportArgs;
pub use output::{ColourChoice, OutputArgs, SideChoice};
pub use page::PageArgs;
pub use replay::ReplayArgs;
pub use service::{ConfigArgs, ConfigCommand, RunArgs};
pub use tap::{MarkArg, TapArgs, TlsChoice, ZtunnelChoice};
pub use top::TopArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default());

/// Shows the HTTP traffic of this machine, request by request, without touching it.
///
/// meshtap reads the plaintext of TCP connections in the kernel (eBPF), pairs each HTTP request
/// with its own response, and shows or exports them. Applications, proxies and packets are left as
/// they are.
#[derive(Debug, Parser)]
#[command(name = "meshtap", version, styles = STYLES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show HTTP exchanges live, as they end.
    Tap(TapArgs),
    /// Show totals by service and route, live: rate, errors, durations, bytes.
    Top(TopArgs),
    /// Show the exchanges of a recording. Needs no privileges.
    Replay(ReplayArgs),
    /// Capture as a service: policy, spans, export, metrics.
    Run(RunArgs),
    /// Say what this machine can do, and what it lacks: kernel, rights, API, collectors.
    Check(CheckArgs),
    /// Say for live sockets why they are, or are not, captured.
    Explain(ExplainArgs),
    /// Check a configuration, or print its schema.
    Config(ConfigArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, expected: bool) {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert_eq!(parsed.is_ok(), expected, "{line}: {parsed:?}");
    }

    #[test]
    fn what_is_accepted() {
        check("meshtap tap", true);
        check("meshtap tap -vv --json --count 3 --duration 1m30s", true);
        check(
            "meshtap tap --port 80,8080 --port 9000 --status 4xx,500-503,none",
            true,
        );
        check(
            "meshtap tap --max-body 1 --ring-size 1MiB --ignore-mark 0x539/0xfff",
            true,
        );
        check("meshtap tap --max-body 16MiB --ignore-mark none", true);
        check("meshtap replay file --side client --color never", true);
        check(
            "meshtap run --config f --set limits.body=1 --profile semconv",
            true,
        );
        check(
            "meshtap run --otlp http://a --otlp-protocol http/json",
            true,
        );
        check("meshtap config check file", true);
        check("meshtap config schema", true);
        check(
            "meshtap check --config f --json --set a.b=c --otlp http://a",
            true,
        );
        check("meshtap explain --port 80,8080 --for 2s --json", true);
        check("meshtap explain --pid 1", true);
        check("meshtap tap -i --port 80", true);
        check("meshtap tap --web", true);
        check("meshtap tap --web 8080 --har f --port 80", true);
        check(
            "meshtap tap --web 0.0.0.0:80 --web-remote --web-idle 1h",
            true,
        );
        check("meshtap replay file --web", true);
        check("meshtap replay file --interactive", true);
        check("meshtap top --by client --port 80", true);
        check("meshtap top --once --json --duration 3s", true);
        check("meshtap explain --pod shop/cart-1", true);
    }

    #[test]
    fn what_is_refused() {
        check("meshtap", false);
        check("meshtap tap --port 0", false);
        check("meshtap tap --port 65536", false);
        check("meshtap tap --max-body 0", false);
        check("meshtap tap --max-body 17MiB", false);
        check("meshtap tap --ring-size 100000", false);
        check("meshtap tap --ring-size 2GiB", false);
        check("meshtap tap --count 0", false);
        check("meshtap tap --duration soon", false);
        check("meshtap tap --duration 0s", false);
        check("meshtap tap --status 99", false);
        check("meshtap tap --pid 0", false);
        check("meshtap tap --host=", false);
        check("meshtap tap --path=", false);
        check("meshtap tap --method=", false);
        check("meshtap tap --method G/T", false);
        check("meshtap tap --method P*", false);
        check("meshtap tap --method GET,", false);
        check("meshtap tap --path /a#b", false);
        check("meshtap tap --path /a,", false);
        check("meshtap tap --path a", false);
        check("meshtap tap --host http://a/", false);
        check("meshtap tap --host a:http", false);
        check("meshtap tap --host [::1", false);
        check("meshtap tap --duration -1s", false);
        check("meshtap tap --side left", false);
        check("meshtap tap --ignore-mark x", false);
        check("meshtap replay", false);
        check("meshtap config", false);
        check("meshtap explain", false);
        check("meshtap explain --port 0", false);
        check("meshtap tap -i --json", false);
        check("meshtap tap --web --json", false);
        check("meshtap tap --web -i", false);
        check("meshtap tap --web --count 3", false);
        check("meshtap tap --web-remote", false);
        check("meshtap replay --web file", false);
        check("meshtap top --by path", false);
        check("meshtap explain --pod cart-1", false);
        check("meshtap explain --pod shop/", false);
        check("meshtap run --otlp-protocol grpc", false);
        check("meshtap run --otlp http://a --otlp-protocol thrift", false);
        check("meshtap replay file --port 80 --duration 3s", false);
    }

    #[test]
    fn an_error_says_what_to_write() {
        for (line, expected) in [
            (
                "tap --port http",
                "`http` is not a port; write a number from 1 to 65535",
            ),
            ("tap --port 80,0", "`0` is not a port"),
            (
                "tap --pid nginx",
                "`nginx` is not a process id; write a number",
            ),
            ("tap --count many", "`many` is not a count; write a number"),
        ] {
            let parsed = Cli::try_parse_from(["meshtap"].into_iter().chain(line.split(' ')));
            let error = parsed.unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
