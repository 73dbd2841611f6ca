//! Go's own HTTP server, in a program of a few lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cache;
use crate::go::{made_once, run};

const SOURCE: &str = include_str!("plain/main.go");

/// Raise it when the program changes: it is kept by this name.
const FOLDER: &str = "go-http-1";

/// The program, built where it is not there yet; its argument is the port. `None`: there is no Go
/// toolchain.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    let folder = cache::folder(FOLDER)?;
    made_once(&folder.join("server"), |go: &Path, partial: &Path| {
        let source = folder.join("main.go");
        fs::write(&source, SOURCE)?;
        run(Command::new(go)
            .args(["build", "-trimpath", "-o"])
            .arg(partial)
            .arg(&source)
            .env("CGO_ENABLED", "0"))
    })
}
