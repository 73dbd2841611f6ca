//! `meshtap replay`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::tap::body_size;

/// Arguments of `meshtap replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// A file made by `meshtap tap --record`, or a packet capture (pcap or pcapng); `-` for
    /// standard input.
    pub file: PathBuf,

    /// Body bytes kept per message [default: as recorded, 64k for a packet capture].
    #[arg(long, value_name = "SIZE", value_parser = body_size)]
    pub max_body: Option<usize>,

    /// What is shown, and how.
    #[command(flatten)]
    pub output: OutputArgs,
}
