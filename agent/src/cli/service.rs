//! `meshtap run` and `meshtap config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ExportArgs;

/// Arguments of `meshtap run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The configuration file. Without one, defaults and what is set below.
    #[arg(long, short, value_name = "FILE", env = "MESHTAP_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set one key of the configuration, for example limits.body=16KiB. Overrides the file and
    /// MESHTAP_* variables.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Where spans go.
    #[command(flatten)]
    pub export: ExportArgs,

    /// Send passwords, tokens and cookies as they are, instead of a hash of them.
    #[arg(long)]
    pub no_redact: bool,

    /// Write the ledger of the run to a file at its end, as JSON.
    #[arg(long, value_name = "FILE")]
    pub ledger_json: Option<PathBuf>,
}

/// Arguments of `meshtap config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether a file can be used, and if not, which line is wrong. MESHTAP_* and OTEL_*
    /// variables count.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the JSON schema of the file, for editors.
    Schema,
}
