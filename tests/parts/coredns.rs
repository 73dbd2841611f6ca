//! CoreDNS, which gives services of a cluster their names.

use std::path::PathBuf;

use anyhow::Result;

use crate::go::{self, Module};

/// The release, one of the line that goes with Kubernetes 1.34.
pub const VERSION: &str = "1.12.4";

/// The program, built where it is not there yet (three minutes). `None`: there is no Go toolchain
/// to build it with.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    go::program(&Module {
        folder: &format!("coredns-{VERSION}"),
        manifest: include_str!("coredns/go.mod"),
        sums: include_str!("coredns/go.sum"),
        package: "github.com/coredns/coredns",
        program: "coredns",
        ldflags: "-s -w",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let required = format!("github.com/coredns/coredns v{VERSION}");
        assert!(include_str!("coredns/go.mod").contains(&required));
    }
}
