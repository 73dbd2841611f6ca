//! A server and a client of gRPC, by grpc-go.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::cache;
use crate::go::{self, Module};

/// The library's release.
pub const VERSION: &str = "1.78.0";

/// Raise it when the program changes: it is kept by this name.
const FOLDER: &str = "grpc-1.78.0-2";

/// The program, built where it is not there yet; its source says what its arguments are. `None`:
/// there is no Go toolchain.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    let source = cache::folder(FOLDER)?.join("module");
    fs::create_dir_all(&source)?;
    let main = source.join("main.go");
    let text = include_str!("grpc/main.go");
    cache::file(&main, |partial| Ok(fs::write(partial, text)?))?;
    go::program(&Module {
        folder: FOLDER,
        manifest: include_str!("grpc/go.mod"),
        sums: include_str!("grpc/go.sum"),
        package: ".",
        program: "grpc",
        ldflags: "-s -w",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let required = format!("google.golang.org/grpc v{VERSION}");
        assert!(include_str!("grpc/go.mod").contains(&required));
        assert!(FOLDER.contains(VERSION));
    }
}
