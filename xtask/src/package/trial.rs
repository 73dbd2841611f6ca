//! What a package is tried with: built twice, and installed, verified and purged in a clean Debian.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use meshtap_parts::cache;

use super::{Made, booted};
use crate::command;

/// Debian's stable before the newest one: what runs there runs on newer ones.
const SUITE: &str = "bookworm";
const ARCHIVE: &str = "http://deb.debian.org/debian";
/// What a host has besides the smallest Debian.
const INCLUDED: &str = "systemd,procps";
const UNIT: &str = "meshtap.service";

/// The same contents give the same bytes.
///
/// # Errors
/// Names the file that differs.
pub(super) fn same_twice(first: &Made, second: &Made) -> Result<()> {
    for (one, other) in [
        (&first.debian, &second.debian),
        (&first.archive, &second.archive),
    ] {
        if fs::read(one)? != fs::read(other)? {
            bail!("{} and {} differ", one.display(), other.display());
        }
        let digest = command::output(Command::new("sha256sum").arg(one))?;
        eprintln!("built twice, equal: {}", digest.trim_end());
    }
    Ok(())
}

/// Installs the package in a clean root, runs the program and the checks there, and purges it. With
/// a folder for what it leaves, also boots such a root, and runs the unit in it.
///
/// # Errors
/// Says which step fails, or which files stay.
pub(super) fn install(package: &Path, booted: Option<&Path>) -> Result<()> {
    if !command::is_root() {
        bail!("only root can install into another root");
    }
    let root = Root::new("root")?;
    let before = root.files()?;
    root.install(package)?;
    root.run(&["meshtap", "--version"])?;
    root.run(&["meshtap", "config", "check", "/etc/meshtap/config.yaml"])?;
    root.run(&["dpkg", "--verify", "meshtap"])?;
    unit(&root)?;
    if let Some(folder) = booted {
        let machine = Root::new("machine")?;
        machine.install(package)?;
        booted::run(&machine.path, folder)?;
    }
    root.run(&["dpkg", "--remove", "meshtap"])?;
    if !root.path.join("etc/meshtap/config.yaml").is_file() {
        bail!("the configuration does not survive the removal of the package");
    }
    root.run(&["dpkg", "--purge", "meshtap"])?;
    let left: Vec<_> = root.files()?.difference(&before).cloned().collect();
    if !left.is_empty() {
        bail!("after the purge there are still {left:?}");
    }
    eprintln!("installed and purged in Debian {SUITE}: nothing stays");
    Ok(())
}

/// The unit is one that systemd understands, and what it is still exposed to.
fn unit(root: &Root) -> Result<()> {
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.args(arguments).arg(UNIT);
        command
    };
    let at = format!("--root={}", root.path.display());
    command::run(&mut analyze(&["verify", "--man=no", &at]))?;
    let table = command::output(&mut analyze(&[
        "security",
        "--no-pager",
        "--offline=true",
        &at,
    ]))?;
    let exposure = table.lines().last().unwrap_or_default();
    eprintln!("{exposure}");
    Ok(())
}

/// A Debian of its own, removed at the end.
struct Root {
    path: PathBuf,
}

impl Root {
    /// Unpacks the one that was bootstrapped once.
    fn new(name: &str) -> Result<Self> {
        let packed = cache::folder("debian")?.join(format!("{SUITE}-systemd.tar"));
        cache::file(&packed, |partial| {
            let folder = scratch("bootstrap")?;
            let made = command::run(
                Command::new("debootstrap")
                    .arg("--variant=minbase")
                    .arg(format!("--include={INCLUDED}"))
                    .arg(SUITE)
                    .arg(&folder)
                    .arg(ARCHIVE),
            );
            let packed = made.and_then(|()| {
                command::run(
                    Command::new("tar")
                        .args(["--create", "--numeric-owner", "--one-file-system"])
                        .args([
                            "--exclude=./proc/*",
                            "--exclude=./sys/*",
                            "--exclude=./dev/*",
                        ])
                        .arg("--directory")
                        .arg(&folder)
                        .arg("--file")
                        .arg(partial)
                        .arg("."),
                )
            });
            let _ = fs::remove_dir_all(&folder);
            packed
        })?;
        let root = Self {
            path: scratch(name)?,
        };
        command::run(
            Command::new("tar")
                .args(["--extract", "--numeric-owner", "--file"])
                .arg(&packed)
                .arg("--directory")
                .arg(&root.path),
        )?;
        // Scripts of packages write there.
        fs::write(root.path.join("dev/null"), "")?;
        Ok(root)
    }

    fn install(&self, package: &Path) -> Result<()> {
        fs::copy(package, self.path.join("tmp/meshtap.deb"))?;
        self.run(&["dpkg", "--install", "/tmp/meshtap.deb"])?;
        fs::remove_file(self.path.join("tmp/meshtap.deb"))?;
        Ok(())
    }

    fn run(&self, program: &[&str]) -> Result<()> {
        command::run(
            Command::new("chroot")
                .arg(&self.path)
                .args(program)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("LC_ALL", "C.UTF-8"),
        )
    }

    /// Paths of everything in it, but for dpkg's own database and log.
    fn files(&self) -> Result<BTreeSet<String>> {
        let listed = command::output(
            Command::new("find")
                .arg(&self.path)
                .args(["-path", "*/var/lib/dpkg", "-prune", "-o"])
                .args(["-path", "*/var/log", "-prune", "-o"])
                .args(["-printf", "/%P\n"]),
        )?;
        Ok(listed.lines().map(str::to_owned).collect())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn scratch(name: &str) -> Result<PathBuf> {
    let name = format!("meshtap-package-{name}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
