//! `cargo xtask image`: the agent as a container image, by `deploy/Containerfile`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{build, command, packages};

/// What the manifests in `deploy/` call it.
pub const NAME: &str = concat!("localhost/meshtap:", env!("CARGO_PKG_VERSION"));

/// What `cargo xtask image` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the archive goes, for `podman load`, `docker load` and `ctr images import`
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    let agent = build::build(build::Options::STATIC)?;
    let archive = match &options.output {
        Some(output) => std::path::absolute(output)?,
        None => command::target().join("meshtap-image.tar"),
    };
    build(&Build {
        name: &options.name,
        containerfile: &containerfile(),
        program: &agent.program,
        archive: &archive,
    })?;
    eprintln!("{} is in {}", options.name, archive.display());
    Ok(())
}

/// The agent's recipe.
pub fn containerfile() -> PathBuf {
    command::workspace().join("deploy/Containerfile")
}

/// An image to build.
pub struct Build<'a> {
    /// With its tag.
    pub name: &'a str,
    /// The recipe.
    pub containerfile: &'a Path,
    /// The one file that the recipe copies.
    pub program: &'a Path,
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
