//! A program that stands for ztunnel: rustls over aws-lc, and HTTP/2 by `h2`, as it has them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;

/// Raise it when the program changes: it is kept by this name.
const FOLDER: &str = "ztunnel-1";

/// The program, built where it is not there yet; its source says what its arguments are. It is no
/// part of the workspace: what is built there would have aws-lc beside ring.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<PathBuf> {
    let folder = cache::folder(FOLDER)?;
    let program = folder.join("ztunnel");
    let lock = File::create(folder.join(".lock"))?;
    lock.lock().context("cannot lock the cache")?;
    cache::file(&program, |partial| {
        let source = folder.join("package");
        fs::create_dir_all(&source)?;
        for (name, text) in [
            ("Cargo.toml", include_str!("ztunnel/Cargo.toml")),
            ("Cargo.lock", include_str!("ztunnel/Cargo.lock")),
            ("main.rs", include_str!("ztunnel/main.rs")),
        ] {
            fs::write(source.join(name), text)?;
        }
        let target = folder.join("target");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        crate::go::run(
            Command::new(cargo)
                .current_dir(&source)
                .args(["build", "--release", "--locked", "--target-dir"])
                .arg(&target),
        )?;
        fs::copy(target.join("release/ztunnel"), partial)?;
        Ok(fs::remove_dir_all(&target)?)
    })?;
    Ok(program)
}
