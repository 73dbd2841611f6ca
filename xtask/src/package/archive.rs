//! `meshtap-VERSION-MACHINE.tar.gz`: the files of the Debian package below one folder. Unpacked at
//! `/` without that folder, they are where the package puts them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::tree::Tree;
use crate::command;

/// Writes the archive into `output`.
///
/// # Errors
/// When tar or gzip fail.
pub(super) fn build(tree: &Tree, name: &str, epoch: u64, output: &Path) -> Result<PathBuf> {
    let stage = output.join("archive");
    tree.write(&stage.join(name))?;
    let tar = output.join(format!("{name}.tar"));
    command::run(
        Command::new("tar")
            .args(["--create", "--format=gnu", "--sort=name"])
            .args(["--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{epoch}"))
            .arg("--directory")
            .arg(&stage)
            .arg("--file")
            .arg(&tar)
            .arg(name),
    )?;
    command::run(
        Command::new("gzip")
            .args(["-9", "--no-name", "--force"])
            .arg(&tar),
    )?;
    fs::remove_dir_all(&stage)?;
    Ok(output.join(format!("{name}.tar.gz")))
}
