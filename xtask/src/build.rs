//! `cargo xtask build`: the kernel programs for their own target, then `meshtap` with them inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{command, setup};

/// The kernel programs are built for little-endian machines; the agent runs on nothing else.
const BPF_TARGET: &str = "bpfel-unknown-none";

/// What `cargo xtask build` takes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Options {
    /// Optimised, into target/release/meshtap
    #[arg(long)]
    release: bool,
    /// With no shared libraries, for images and virtual machines: into target/static
    #[arg(long = "static")]
    is_static: bool,
}

impl Options {
    /// `--release`.
    pub const RELEASE: Self = Self {
        release: true,
        is_static: false,
    };

    /// `--release --static`.
    pub const STATIC: Self = Self {
        release: true,
        is_static: true,
    };
}

/// What a build leaves.
#[derive(Clone, Debug)]
pub struct Built {
    /// The `meshtap` binary.
    pub program: PathBuf,
    /// The eBPF object that is inside it.
    pub ebpf: PathBuf,
}

/// `cargo xtask build`.
///
/// # Errors
/// When a part does not build, or what builds it is missing.
pub fn run(options: Options) -> Result<()> {
    let built = build(options)?;
    eprintln!("{}", built.program.display());
    Ok(())
}

/// Builds the BPF programs and the agent.
///
/// # Errors
/// As [`run`].
pub fn build(options: Options) -> Result<Built> {
    let ebpf = bpf_programs()?;
    let program = agent(options, &ebpf)?;
    Ok(Built { program, ebpf })
}

/// Builds the kernel programs, when their sources have changed.
///
/// # Errors
/// As [`run`].
pub fn bpf_programs() -> Result<PathBuf> {
    let tools = setup::ensure()?;
    let target = command::target().join("bpf");
    let mut cargo = Command::new(&tools.toolchain.cargo);
    cargo
        .current_dir(command::workspace())
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "meshtap-ebpf",
        ])
        .args([
            "-Z",
            "build-std=core",
            "--target",
            BPF_TARGET,
            "--target-dir",
        ])
        .arg(&target)
        .env("RUSTC", &tools.toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(&tools.linker)?)
        // BTF is made from debug information.
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        // The calling cargo's settings are for the host.
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        // Units of an incremental build are optimised apart: the verifier gives up on the outcome.
        .env("CARGO_INCREMENTAL", "0");
    // Likewise with other levels, or checks of overflows.
    for (name, _) in std::env::vars_os() {
        let profile = name
            .to_str()
            .is_some_and(|n| n.starts_with("CARGO_PROFILE_"));
        if profile && name != "CARGO_PROFILE_RELEASE_STRIP" {
            cargo.env_remove(name);
        }
    }
    if !tools.toolchain.version.is_nightly() {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    command::run(&mut cargo).context("the BPF programs do not build")?;
    built(target.join(BPF_TARGET).join("release/meshtap-ebpf"))
}

/// Compiler flags, as cargo wants them: separated by 0x1f.
///
/// `v3` is the instruction set with 32-bit arithmetic and jumps (Linux 5.1): shorter programs, and
/// bounds that the verifier can follow. Debug information is what BTF is made of, and so what makes
/// the verifier's log readable.
fn flags(linker: &Path) -> Result<String> {
    let Some(linker) = linker.to_str() else {
        bail!("the path of bpf-linker is not UTF-8: {}", linker.display());
    };
    let linker = format!("linker={linker}");
    let flags = [
        "-C",
        &linker,
        "-C",
        "target-cpu=v3",
        "-C",
        "debuginfo=2",
        "-C",
        "link-arg=--btf",
    ];
    Ok(flags.join("\u{1f}"))
}

fn agent(options: Options, ebpf: &Path) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo
        .args([
            "build",
            "--locked",
            "--package",
            "meshtap",
            "--bin",
            "meshtap",
        ])
        .env("MESHTAP_EBPF", ebpf);
    if options.release {
        cargo.arg("--release");
    }
    let mut folder = command::target();
    if options.is_static {
        // A target of its own even on the same machine: build scripts and procedural macros cannot
        // be linked statically.
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        folder.push("static");
        cargo
            .args(["--target", &triple, "--target-dir"])
            .arg(&folder)
            .env("RUSTFLAGS", "-C target-feature=+crt-static");
        folder.push(triple);
    }
    command::run(&mut cargo).context("the agent does not build")?;
    folder.push(if options.release { "release" } else { "debug" });
    built(folder.join("meshtap"))
}

fn built(path: PathBuf) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cargo said that it built {}", path.display()))
}
