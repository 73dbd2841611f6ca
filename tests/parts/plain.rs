//! Go's own HTTP server, in a program of a few lines.

use std::path::PathBuf;

use anyhow::Result;

use crate::go;

/// The program, built where it is not there yet; its argument is the port. `None`: there is no Go
/// toolchain.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    go::single("go-http-1", "server", include_str!("plain/main.go"))
}
