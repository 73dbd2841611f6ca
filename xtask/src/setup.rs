//! `cargo xtask setup`: installs what builds the BPF programs, where that is missing.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::toolchain::{self, BPF_LINKER, LLVM, Toolchain};
use crate::{command, packages};

/// A compiler, its cargo and the sources of its library, newer than the distribution's own.
const RUST_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// What `bpf-linker` is built against.
const LLVM_PACKAGES: &[&str] = &[
    "llvm-22-dev",
    "libpolly-22-dev",
    "libclang-22-dev",
    "zlib1g-dev",
    "g++",
];

/// Everything the build of the BPF programs needs.
#[derive(Clone, Debug)]
pub struct Tools {
    pub toolchain: Toolchain,
    pub linker: std::path::PathBuf,
}

/// Finds the tools; installs what is missing when nobody needs to be asked (root on Debian or
/// Ubuntu).
///
/// # Errors
/// When something is missing and cannot be installed: which, and what to do.
pub fn ensure() -> Result<Tools> {
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(error) => {
            install_packages(RUST_PACKAGES).with_context(|| error.to_string())?;
            toolchain::find()?
        }
    };
    let linker = match toolchain::linker() {
        Some(linker) => linker,
        None => install_linker()?,
    };
    Ok(Tools { toolchain, linker })
}

/// `cargo xtask setup`.
///
/// # Errors
/// As [`ensure`].
pub fn run() -> Result<()> {
    let tools = ensure()?;
    eprintln!(
        "kernel programs are built with rustc {} ({}) and {}",
        tools.toolchain.version.release,
        tools.toolchain.rustc.display(),
        tools.linker.display(),
    );
    Ok(())
}

fn install_packages(packages: &[&str]) -> Result<()> {
    if !command::is_root() || command::find("apt-get").is_none() {
        bail!(
            "only root on Debian or Ubuntu can have it installed: `sudo apt-get install --no-install-recommends {}`",
            packages.join(" ")
        );
    }
    packages::install(packages)
}

/// Builds the pinned linker into the cache.
fn install_linker() -> Result<std::path::PathBuf> {
    let llvm = format!("/usr/lib/llvm-{LLVM}");
    if !std::path::Path::new(&llvm).join("include/llvm").exists() {
        install_packages(LLVM_PACKAGES).with_context(|| {
            format!("bpf-linker {BPF_LINKER} is missing, and LLVM {LLVM} to build it with")
        })?;
    }
    let root = toolchain::linker_root()?;
    // Any recent compiler will do; this one is there, and the workspace's own may be pinned
    // elsewhere.
    let mut install = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    install
        .args(["install", "bpf-linker", "--locked", "--version", BPF_LINKER])
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{LLVM}"))
        .arg("--root")
        .arg(&root)
        .env(format!("LLVM_SYS_{LLVM}1_PREFIX"), &llvm)
        .env("LLVM_PREFIX", &llvm)
        .env_remove("CARGO_TARGET_DIR");
    command::run(&mut install).with_context(|| format!("cannot build bpf-linker {BPF_LINKER}"))?;
    toolchain::linker().with_context(|| {
        format!(
            "bpf-linker was built into {} and is not there",
            root.display()
        )
    })
}
