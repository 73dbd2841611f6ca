//! Building programs from Go modules.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cache;

/// What to say when there is no toolchain.
pub const NO_TOOLCHAIN: &str = "there is no Go toolchain (go1.24 or newer) to build it with";

/// A program of a module that another module, written for the purpose, names with everything that
/// it depends on.
pub(crate) struct Module<'a> {
    /// Its folder in the cache.
    pub(crate) folder: &'a str,
    /// `go.mod`.
    pub(crate) manifest: &'a str,
    /// `go.sum`.
    pub(crate) sums: &'a str,
    /// What to build.
    pub(crate) package: &'a str,
    /// What to call it.
    pub(crate) program: &'a str,
    /// For the linker.
    pub(crate) ldflags: &'a str,
}

/// The toolchain's `go`.
pub(crate) fn toolchain() -> Option<PathBuf> {
    let places = ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"];
    places.iter().map(PathBuf::from).find(|go| {
        let output = Command::new(go).arg("version").output();
        output.is_ok_and(|output| output.status.success())
    })
}

/// The program, built where it is not there yet. `None`: no toolchain.
pub(crate) fn program(module: &Module<'_>) -> Result<Option<PathBuf>> {
    let folder = cache::folder(module.folder)?;
    let program = folder.join(module.program);
    made_once(&program, |go, partial| {
        let source = folder.join("module");
        fs::create_dir_all(&source)?;
        fs::write(source.join("go.mod"), module.manifest)?;
        fs::write(source.join("go.sum"), module.sums)?;
        run(Command::new(go)
            .current_dir(&source)
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
            .args([module.ldflags, "-o"])
            .arg(partial)
            .arg(module.package)
            // No C library: the same program runs on any machine and in an empty image.
            .env("CGO_ENABLED", "0"))
    })
}

/// A program of one file, built where it is not there yet. `folder` of the cache is raised when the
/// source changes: the program is kept by it. `None`: no toolchain.
pub(crate) fn single(folder: &str, name: &str, source: &str) -> Result<Option<PathBuf>> {
    let folder = cache::folder(folder)?;
    made_once(&folder.join(name), |go, partial| {
        let file = folder.join("main.go");
        fs::write(&file, source)?;
        run(Command::new(go)
            .args(["build", "-trimpath", "-o"])
            .arg(partial)
            .arg(&file)
            .env("CGO_ENABLED", "0"))
    })
}

/// Gives `program`, made by `make` when it is not there yet: one process at a time, the others wait
/// and find it made.
pub(crate) fn made_once(
    program: &Path,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<Option<PathBuf>> {
    if program.exists() {
        return Ok(Some(program.to_owned()));
    }
    let Some(go) = toolchain() else {
        return Ok(None);
    };
    let folder = program.parent().unwrap_or(Path::new("/"));
    let lock = File::create(folder.join(".lock"))?;
    lock.lock().context("cannot lock the cache")?;
    cache::file(program, |partial| {
        // Not `eprintln!`, which the test runner keeps to itself: this takes minutes, once.
        let _ = writeln!(std::io::stderr(), "building {}", program.display());
        make(&go, partial)
    })?;
    Ok(Some(program.to_owned()))
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}", output.status, errors.trim_end());
    }
    Ok(())
}
