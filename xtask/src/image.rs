//! `cargo xtask image`: the agent as a container image, by `deploy/Containerfile`. One program
//! gives one digest: files and image carry the moment of the commit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::package::{self, Program, licences, sbom};
use crate::{build, command, packages};

/// What the manifests in `deploy/` call it.
pub const NAME: &str = concat!("localhost/meshtap:", env!("CARGO_PKG_VERSION"));

/// What `cargo xtask image` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the archive goes, for `podman load`, `docker load` and `ctr images import`
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take this program, which has no shared libraries, instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Build the image twice, and fail when the archives differ
    #[arg(long)]
    twice: bool,
    /// What the image is called in it
    #[arg(long, value_name = "NAME:TAG", default_value = NAME)]
    name: String,
}

/// Builds the static agent, and the image.
///
/// # Errors
/// When one does not build.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::IMAGE)?;
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None => build::build(build::Options::STATIC)?.program,
    };
    let archive = match &options.output {
        Some(output) => std::path::absolute(output)?,
        None => command::target().join("meshtap-image.tar"),
    };
    agent(&options.name, &program, &archive)?;
    if options.twice {
        let again = archive.with_extension("again.tar");
        agent(&options.name, &program, &again)?;
        let is_same = fs::read(&archive)? == fs::read(&again)?;
        fs::remove_file(&again)?;
        if !is_same {
            bail!("two builds of {} differ", options.name);
        }
        eprintln!("built twice, equal");
    }
    let digest = command::output(Command::new("sha256sum").arg(&archive))?;
    eprintln!("{}: {}", options.name, digest.trim_end());
    Ok(())
}

/// Builds the agent's image, by its own recipe.
///
/// # Errors
/// When the program needs shared libraries, which an empty image has not; when it does not build.
pub fn agent(name: &str, program: &Path, archive: &Path) -> Result<()> {
    let examined = Program::examine(program)?;
    if !examined.is_static {
        bail!("{} needs shared libraries", program.display());
    }
    let components = sbom::components(true)?;
    build(&Build {
        name,
        containerfile: &containerfile(),
        program,
        documents: &[
            (
                "sbom.cdx.json",
                sbom::document(&components, package::epoch()?)?,
            ),
            ("third-party-licences.txt", licences::text(&components)?),
        ],
        machine: examined.machine,
        archive,
    })
}

fn containerfile() -> PathBuf {
    command::workspace().join("deploy/Containerfile")
}

/// An image to build.
pub struct Build<'a> {
    /// With its tag.
    pub name: &'a str,
    /// The recipe.
    pub containerfile: &'a Path,
    /// The program that the recipe copies.
    pub program: &'a Path,
    /// Names and texts of what it copies besides.
    pub documents: &'a [(&'a str, String)],
    /// `x86_64` or `aarch64`.
    pub machine: &'a str,
    /// Where the image goes.
    pub archive: &'a Path,
}

/// Builds an image. No daemon, no registry, and nothing is left in a store.
///
/// # Errors
/// When buildah cannot.
pub fn build(build: &Build<'_>) -> Result<()> {
    let mut folder = build.archive.as_os_str().to_owned();
    folder.push(format!(".{}", std::process::id()));
    let folder = PathBuf::from(folder);
    let outcome = build_in(&folder, build);
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn build_in(folder: &Path, build: &Build<'_>) -> Result<()> {
    let context = folder.join("context");
    fs::create_dir_all(&context)?;
    let name = build.program.file_name().context("a program has a name")?;
    fs::copy(build.program, context.join(name))
        .with_context(|| format!("cannot copy {}", build.program.display()))?;
    let mut modes = vec![(context.join(name), 0o755)];
    for (name, text) in build.documents {
        let path = context.join(name);
        fs::write(&path, text)?;
        modes.push((path, 0o644));
    }
    // They do not depend on the caller's mask.
    for (path, mode) in modes {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command
            .arg("--root")
            .arg(folder.join("store"))
            .arg("--runroot")
            .arg(folder.join("run"))
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        command
    };
    command::output(
        buildah(&[
            "bud",
            "--isolation",
            "chroot",
            "--timestamp",
            &package::epoch()?.to_string(),
            "--arch",
            match build.machine {
                "aarch64" => "arm64",
                _ => "amd64",
            },
            "--tag",
            build.name,
            "--file",
        ])
        .arg(build.containerfile)
        .arg(&context),
    )?;
    let _ = fs::remove_file(build.archive);
    let mut target = std::ffi::OsString::from("docker-archive:");
    target.push(build.archive);
    target.push(format!(":{}", build.name));
    command::output(buildah(&["push", build.name]).arg(target))?;
    Ok(())
}
