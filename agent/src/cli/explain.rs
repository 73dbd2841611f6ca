//! `meshtap explain`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::tap::duration;

/// Arguments of `meshtap explain`.
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("sockets").required(true)),
    after_help = "Exit code: 0 when something was said of every socket that was found, captured or not, and when there is none; 1 when nothing could be said; 2 when the arguments cannot be used."
)]
pub struct ExplainArgs {
    /// Sockets with this port, local or remote.
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..), group = "sockets")]
    pub port: Vec<u16>,

    /// Sockets of this process.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..), group = "sockets")]
    pub pid: Option<u32>,

    /// Sockets of this pod of the node. Asks the Kubernetes API for the pod.
    #[arg(long, value_name = "NAMESPACE/NAME", group = "sockets")]
    pub pod: Option<PodName>,

    /// How long to look at the traffic where no agent runs.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "3s")]
    pub time: Duration,

    /// The configuration file of the agent: what to capture where none runs, and how to ask the
    /// Kubernetes API.
    #[arg(long, short, value_name = "FILE", env = "MESHTAP_CONFIG")]
    pub config: Option<PathBuf>,

    /// Set one key of the configuration, for example kubernetes.kubeconfig=FILE.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A pod by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its own name.
    pub name: String,
}

impl FromStr for PodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("write NAMESPACE/NAME, for example shop/cart-7d9f".to_owned()),
        }
    }
}
