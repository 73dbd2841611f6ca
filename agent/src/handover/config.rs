//! Configuration of the hand-over.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// How an agent takes over from the one that runs on the node: an update then misses nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HandoverSection {
    /// A folder of the node in which the agents meet; only its owner may enter it. Null: an agent
    /// begins at once, and ends at once when it is asked to.
    pub folder: Option<PathBuf>,
}
