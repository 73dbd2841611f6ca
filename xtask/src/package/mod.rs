//! `cargo xtask package`: a Debian package, and an archive with the same files, for one host. Equal
//! inputs give equal bytes: nothing in them depends on the time or on who builds.

mod archive;
mod booted;
mod debian;
pub mod licences;
pub mod sbom;
mod tree;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{build, command, generate, packages};
use tree::Tree;

/// What `cargo xtask package` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Where the packages go; by default target/package
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Take this program instead of building one without shared libraries
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Build them twice and compare; install, verify and purge the package in a clean Debian
    #[arg(long)]
    trial: bool,
    /// With `--trial`: also boot that Debian under QEMU, with its own kernel and systemd, and
    /// start, reload, restart, kill and stop the unit
    #[arg(long, requires = "trial")]
    boot: bool,
}

/// What goes into the packages.
#[derive(Debug)]
struct Contents {
    program: Program,
    reference: generate::Reference,
    bill: String,
    licences: String,
}

/// The agent, and what its file says of it.
#[derive(Debug)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// `x86_64` or `aarch64`.
    pub machine: &'static str,
    /// It has no shared libraries.
    pub is_static: bool,
}

/// The version of everything in the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `cargo xtask package`.
///
/// # Errors
/// When a part does not build; with `--trial`, when something of it does not hold.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::PACKAGE)?;
    let program = match &options.program {
        Some(program) => std::path::absolute(program)?,
        None => build::build(build::Options::STATIC)?.program,
    };
    let program = Program::examine(&program)?;
    let components = sbom::components(program.is_static)?;
    let contents = Contents {
        bill: sbom::document(&components, epoch()?)?,
        licences: licences::text(&components)?,
        reference: generate::reference()?,
        program,
    };
    let output = match &options.output {
        Some(output) => std::path::absolute(output)?,
        None => command::target().join("package"),
    };
    let made = make(&contents, &output)?;
    if options.trial {
        packages::ensure(packages::TRIAL)?;
        trial::same_twice(&made, &make(&contents, &output.join("again"))?)?;
        if options.boot {
            packages::ensure(packages::BOOT)?;
        }
        trial::install(&made.debian, options.boot.then_some(output.as_path()))?;
    }
    for path in [&made.debian, &made.archive] {
        eprintln!("{}", path.display());
    }
    Ok(())
}

/// The packages.
#[derive(Debug)]
struct Made {
    debian: PathBuf,
    archive: PathBuf,
}

fn make(contents: &Contents, output: &Path) -> Result<Made> {
    fs::create_dir_all(output)?;
    let epoch = epoch()?;
    let tree = Tree::new(contents)?;
    let machine = contents.program.machine;
    Ok(Made {
        debian: debian::build(&tree, &contents.program, epoch, output)?,
        archive: archive::build(
            &tree,
            &format!("meshtap-{VERSION}-{machine}"),
            epoch,
            output,
        )?,
    })
}

/// The moment that files of a package carry: `SOURCE_DATE_EPOCH`, else the last commit's.
///
/// # Errors
/// When neither is there.
pub fn epoch() -> Result<u64> {
    let set = std::env::var("SOURCE_DATE_EPOCH");
    let text = match set {
        Ok(text) => text,
        Err(_) => command::output(
            std::process::Command::new("git")
                .current_dir(command::workspace())
                .args(["log", "-1", "--format=%ct"]),
        )
        .context("set SOURCE_DATE_EPOCH")?,
    };
    text.trim()
        .parse()
        .with_context(|| format!("SOURCE_DATE_EPOCH is no number: {text}"))
}

impl Program {
    /// Reads an ELF file's head (elf(5)).
    ///
    /// # Errors
    /// When it is none for a machine that the agent runs on.
    pub fn examine(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let elf = Elf(&bytes);
        let (machine, is_static) = elf
            .examine()
            .with_context(|| format!("{} is no program for Linux", path.display()))?;
        let machine = match machine {
            62 => "x86_64",
            183 => "aarch64",
            other => bail!("{} is for machine {other}", path.display()),
        };
        Ok(Self {
            path: path.to_owned(),
            machine,
            is_static,
        })
    }
}

/// A 64-bit little-endian ELF file.
struct Elf<'a>(&'a [u8]);

impl Elf<'_> {
    /// Segment that names the dynamic linker.
    const INTERPRETER: u32 = 3;

    /// The machine, and whether no dynamic linker is asked for.
    fn examine(&self) -> Option<(u16, bool)> {
        if self.0.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let first = usize::try_from(u64::from_le_bytes(self.at(32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(self.at(54)?));
        let count = usize::from(u16::from_le_bytes(self.at(56)?));
        let mut is_static = true;
        for index in 0..count {
            let kind = u32::from_le_bytes(self.at(first + index * size)?);
            is_static &= kind != Self::INTERPRETER;
        }
        Some((u16::from_le_bytes(self.at(18)?), is_static))
    }

    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..offset + N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_it_is() {
        let own = std::env::current_exe().unwrap();
        let program = Program::examine(&own).unwrap();
        assert_eq!(program.machine, std::env::consts::ARCH);
        assert!(!program.is_static, "tests have shared libraries");
        assert!(Program::examine(&command::workspace().join("LICENSE")).is_err());
        assert!(Elf(b"\x7fELF\x02\x01").examine().is_none());
    }
}
