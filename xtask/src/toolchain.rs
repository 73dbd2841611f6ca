//! What builds the BPF programs: a Rust compiler with the sources of its library (the `bpf` target
//! has no prebuilt one), and `bpf-linker`, which turns its LLVM bitcode into an eBPF object and so
//! must know that LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use meshtap_parts::cache;

use crate::command;

/// Pinned: the linker decides what the verifier gets to see.
pub const BPF_LINKER: &str = "0.13.0";

/// LLVM that the linker is built with; it reads bitcode of this version and older.
pub const LLVM: u32 = 22;

/// Oldest compiler: the workspace's `rust-version`.
const RUSTC: (u32, u32) = (1, 95);

/// The distribution's compiler, which comes with sources and never moves under one's feet.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A compiler that can build for the `bpf` target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    /// What `rustc --version` calls it.
    pub version: Version,
}

/// What a compiler says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// `1.96.0`, `1.97.0-nightly`.
    pub release: String,
    /// Major version of its LLVM.
    pub llvm: u32,
}

impl Version {
    /// Building a library needs what only nightly compilers allow unasked.
    pub fn is_nightly(&self) -> bool {
        self.release.contains("nightly") || self.release.contains("dev")
    }

    fn is_recent(&self) -> bool {
        let mut numbers = self.release.split(['.', '-']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= RUSTC,
            _ => false,
        }
    }
}

/// Finds a usable compiler: a rustup nightly with `rust-src`, then any other of rustup's with it,
/// then the distribution's.
///
/// # Errors
/// When there is none; the message says what was found instead, and what to install.
pub fn find() -> Result<Toolchain> {
    let mut rejected = Vec::new();
    for rustc in candidates() {
        match examine(&rustc) {
            Ok(toolchain) => return Ok(toolchain),
            Err(reason) => rejected.push(format!("  {}: {reason:#}", rustc.display())),
        }
    }
    if rejected.is_empty() {
        rejected.push("  no Rust compiler at all".to_owned());
    }
    bail!(
        "no Rust compiler here can build the kernel programs:\n{}\n\
         On Debian or Ubuntu, as root: `cargo xtask setup`. Elsewhere: `rustup toolchain install nightly --component rust-src` \
         (Rust {}.{} or newer, with LLVM {LLVM} or older)",
        rejected.join("\n"),
        RUSTC.0,
        RUSTC.1,
    )
}

/// The pinned linker: the one in `~/.cargo/bin` or `PATH` when it is that version, else the
/// cache's.
pub fn linker() -> Option<PathBuf> {
    command::find("bpf-linker")
        .into_iter()
        .chain(cached_linker().ok())
        .find(|linker| {
            command::output(Command::new(linker).arg("--version"))
                .is_ok_and(|version| is_pinned(&version))
        })
}

/// Where setup puts the linker.
pub fn cached_linker() -> Result<PathBuf> {
    Ok(linker_root()?.join("bin/bpf-linker"))
}

/// What `cargo install --root` gets.
pub fn linker_root() -> Result<PathBuf> {
    Ok(cache::folder("tools")?.join(format!("bpf-linker-{BPF_LINKER}-llvm-{LLVM}")))
}

fn is_pinned(version: &str) -> bool {
    version.split_whitespace().nth(1) == Some(BPF_LINKER)
}

/// Compilers, best first.
fn candidates() -> Vec<PathBuf> {
    let listed = command::output(Command::new("rustup").args(["toolchain", "list", "--verbose"]))
        .unwrap_or_default();
    let mut found = rustup_toolchains(&listed);
    found.push(SYSTEM_RUSTC.into());
    found.retain(|rustc| rustc.is_file());
    found
}

/// Compilers named by `rustup toolchain list --verbose`: name, marks in brackets, folder. Nightlies
/// first.
fn rustup_toolchains(listed: &str) -> Vec<PathBuf> {
    let mut toolchains: Vec<(bool, PathBuf)> = listed
        .lines()
        .filter_map(|line| {
            let name = line.split_whitespace().next()?;
            let folder = line.get(line.find(" /")?..)?.trim();
            Some((
                !name.starts_with("nightly"),
                Path::new(folder).join("bin/rustc"),
            ))
        })
        .collect();
    toolchains.sort_by_key(|(is_other, _)| *is_other);
    toolchains.into_iter().map(|(_, rustc)| rustc).collect()
}

fn examine(rustc: &Path) -> Result<Toolchain> {
    let version = parse_version(&command::output(Command::new(rustc).arg("-vV"))?)
        .context("does not say its version")?;
    if !version.is_recent() {
        bail!("{} is too old", version.release);
    }
    if version.llvm > LLVM {
        bail!("its LLVM {} is newer than the linker's", version.llvm);
    }
    let sysroot = command::output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !sources.is_file() {
        bail!("has no library sources (rust-src)");
    }
    let cargo = rustc.with_file_name("cargo");
    if !cargo.is_file() {
        bail!("has no cargo beside it");
    }
    Ok(Toolchain {
        rustc: rustc.to_owned(),
        cargo,
        version,
    })
}

/// Reads `rustc -vV`.
fn parse_version(text: &str) -> Option<Version> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    Some(Version {
        release: field("release:")?.to_owned(),
        llvm: field("LLVM version:")?.split('.').next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u32, bool, bool)>) {
        let version = parse_version(text);
        let seen = version.as_ref().map(|version| {
            (
                version.release.as_str(),
                version.llvm,
                version.is_nightly(),
                version.is_recent(),
            )
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn versions() {
        check(
            "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n",
            Some(("1.96.0", 22, false, true)),
        );
        check(
            "release: 1.97.0-nightly\nLLVM version: 22.1.2\n",
            Some(("1.97.0-nightly", 22, true, true)),
        );
        check(
            "release: 1.63.0\nLLVM version: 14.0.6\n",
            Some(("1.63.0", 14, false, false)),
        );
        check("release: 1.96.0\n", None);
    }

    #[test]
    fn nightlies_come_first() {
        let listed = "stable-x86_64-unknown-linux-gnu (active, default) /root/.rustup/toolchains/stable\n\
                      nightly-x86_64-unknown-linux-gnu /root/with space/nightly\n\
                      no toolchain here\n";
        assert_eq!(
            rustup_toolchains(listed),
            [
                Path::new("/root/with space/nightly/bin/rustc"),
                Path::new("/root/.rustup/toolchains/stable/bin/rustc"),
            ]
        );
    }

    #[test]
    fn only_the_pinned_linker_is_used() {
        assert!(is_pinned(&format!("bpf-linker {BPF_LINKER}\n")));
        assert!(!is_pinned("bpf-linker 0.9.13\n"));
        assert!(!is_pinned(""));
    }
}
