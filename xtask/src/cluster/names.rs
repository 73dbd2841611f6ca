//! The names of services: CoreDNS, as a pod of the cluster.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What pods ask, one of the addresses of services.
pub const ADDRESS: &str = "10.96.0.10";

const OBJECTS: &str = include_str!("names.yaml");

/// Starts it; `kubectl` is one without words.
///
/// # Errors
/// When the cluster refuses it, or it does not become ready.
pub fn start(kubectl: impl Fn() -> Command) -> Result<()> {
    let mut apply = kubectl()
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("kubectl")?;
    let mut input = apply.stdin.take().context("a pipe")?;
    input.write_all(OBJECTS.as_bytes())?;
    drop(input);
    if !apply.wait()?.success() {
        bail!("the cluster refuses CoreDNS");
    }
    let mut status = kubectl();
    status.args(["--namespace", "kube-system", "rollout", "status"]);
    status.args(["deployment/coredns", "--timeout", "180s"]);
    crate::command::output(&mut status).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_has_the_address() {
        assert!(OBJECTS.contains(&format!("clusterIP: {ADDRESS}\n")));
    }
}
