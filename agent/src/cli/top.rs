//! `meshtap top`.

use clap::Args;

use super::TapArgs;
use crate::views::By;

/// Arguments of `meshtap top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// What the lines of the table are of.
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHAT",
        help_heading = "Table"
    )]
    pub by: By,

    /// Print the table once, after --duration (10 s by default) or --count, and end.
    #[arg(long, conflicts_with = "interactive", help_heading = "Table")]
    pub once: bool,

    /// What is captured, and which exchanges count.
    #[command(flatten)]
    pub tap: TapArgs,
}
