//! A client of HTTP that sends a fixed number of requests, and counts the responses.

use std::path::PathBuf;

use anyhow::Result;

use crate::go;

/// The program, built where it is not there yet; `load/main.go` says what it takes. `None`: there
/// is no Go toolchain.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    go::single("go-load-1", "load", include_str!("load/main.go"))
}
