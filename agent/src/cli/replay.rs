//! `meshtap replay`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::tap::body_size;

/// Arguments of `meshtap replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// A file made by `meshtap tap --record`.
    pub file: PathBuf,

    /// Body bytes kept per message [default: as recorded].
    #[arg(long, value_name = "SIZE", value_parser = body_size)]
    pub max_body: Option<usize>,

    /// What is shown, and how.
    #[command(flatten)]
    pub output: OutputArgs,
}
