//! etcd, which the API server keeps everything in.

use std::path::PathBuf;

use anyhow::Result;

use crate::go::{self, Module};

/// The release.
pub const VERSION: &str = "3.6.4";

/// The program, built where it is not there yet. `None`: there is no Go toolchain to build it with.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    go::program(&Module {
        folder: &format!("etcd-{VERSION}"),
        manifest: include_str!("etcd/go.mod"),
        sums: include_str!("etcd/go.sum"),
        package: "go.etcd.io/etcd/server/v3",
        program: "etcd",
        ldflags: "-s -w",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let required = format!("go.etcd.io/etcd/server/v3 v{VERSION}");
        assert!(include_str!("etcd/go.mod").contains(&required));
    }
}
