//! `meshtap check`.

use std::path::PathBuf;

use clap::Args;

use super::{ExportArgs, RunArgs};

/// Arguments of `meshtap check`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit code: 0 when everything is there; 1 when something that the configuration asks for is missing and capture works without it; 2 when nothing can be captured, or the configuration cannot be used."
)]
pub struct CheckArgs {
    /// The configuration file that `meshtap run` is to have. Without one, defaults and what is set
    /// below.
    #[arg(long, short, value_name = "FILE", env = "MESHTAP_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set one key of the configuration, for example capture.tls.enabled=true.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Where spans are to go.
    #[command(flatten)]
    pub export: ExportArgs,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl CheckArgs {
    /// What `meshtap run` would be called with.
    #[must_use]
    pub fn run(&self) -> RunArgs {
        RunArgs {
            config: self.config.clone(),
            set: self.set.clone(),
            export: self.export.clone(),
            no_redact: false,
            ledger_json: None,
        }
    }
}
