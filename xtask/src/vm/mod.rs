//! `cargo xtask vm`: the agent on other kernels. Boots each under QEMU without KVM, with nothing
//! but busybox, OpenSSL's programs, Envoy and the agent in it, and checks that every program was
//! attached and that exchanges were captured, plain and through TLS.

mod console;
mod cpio;
pub mod guest;
pub mod kernel;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use meshtap_parts::envoy;
use serde_json::json;

use self::console::{BODY, Console};
use self::guest::{Guest, Machine};
use self::kernel::Series;
use crate::progress::Step;
use crate::{build, certificate, command, packages};

/// A guest is done in ten seconds on an idle machine. Emulated on a busy one it takes many times
/// that.
const TIMEOUT: Duration = Duration::from_secs(1500);

/// MiB: what the agent and Envoy in the initramfs, that file itself, and the agent's 16 MiB ring
/// buffer take, with room.
const MEMORY: u32 = 2048;

/// What `cargo xtask vm` takes.
#[derive(Args, Debug)]
pub struct Options {
    /// Kernel series: 5.10, 6.1, 6.12, or all
    #[arg(default_value = "all")]
    series: Vec<String>,
    /// Look the newest kernels up again instead of using those in the cache
    #[arg(long)]
    update: bool,
    /// Use this static agent instead of building one
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
}

/// What came of one kernel.
struct Verdict {
    series: Series,
    release: String,
    attached: usize,
    captured: usize,
    seconds: f64,
    problems: Vec<String>,
}

/// Boots the kernels asked for, one after the other; fails when one of them does.
pub fn run(options: &Options) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "the kernel matrix is of x86_64 kernels, and so is the agent in it: run it on x86_64"
        );
    }
    let matrix = matrix(&options.series)?;
    packages::ensure(packages::VM)?;
    let agent = match &options.agent {
        Some(agent) => agent.clone(),
        None => build::build(build::Options::STATIC)?.program,
    };
    let folder = command::target().join("vm");
    fs::create_dir_all(&folder)?;
    let initramfs = folder.join("initramfs.cpio");
    let flood = folder.join("flood");
    build_flood(&flood)?;
    write_initramfs(&initramfs, &agent, &flood)?;
    let mut verdicts = Vec::new();
    for series in matrix {
        let image = series.image(options.update)?;
        verdicts.push(boot(series, &image, &initramfs, &folder)?);
    }
    report(&verdicts, &folder.join("verdict.json"))
}

fn matrix(names: &[String]) -> Result<Vec<Series>> {
    if names.iter().any(|name| name == "all") {
        return Ok(kernel::ALL.to_vec());
    }
    let find = |name: &String| {
        let series = kernel::ALL.iter().find(|series| series.version == name);
        series
            .copied()
            .with_context(|| format!("no kernel series {name}: 5.10, 6.1, 6.12 or all"))
    };
    names.iter().map(find).collect()
}

/// The guest's own traffic, as one static file.
fn build_flood(path: &Path) -> Result<()> {
    let source = command::workspace().join("xtask/src/vm/flood.rs");
    command::run(
        Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
            ])
            .args(["--target", "x86_64-unknown-linux-gnu", "-o"])
            .arg(path)
            .arg(source),
    )
}

fn write_initramfs(path: &Path, agent: &Path, flood: &Path) -> Result<()> {
    let busybox = command::find("busybox").context("no busybox")?;
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let file =
        fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut archive = cpio::Archive::new(std::io::BufWriter::new(file));
    let openssl = command::find("openssl").context("no openssl")?;
    // An agent that is not static has libraries too.
    let envoy = envoy::program(envoy::VERSION)?;
    let libraries = libraries(&[&openssl, &envoy, agent])?;
    let mut folders = BTreeSet::from(["bin", "dev", "www", "tls"].map(PathBuf::from));
    for library in &libraries {
        let above = library.ancestors().skip(1);
        folders.extend(above.filter(|path| path.parent().is_some()).map(inside));
    }
    // Those above come first.
    for folder in &folders {
        archive.folder(&folder.to_string_lossy())?;
    }
    for library in &libraries {
        archive.program(&inside(library).to_string_lossy(), &read(library)?)?;
    }
    archive.program("bin/openssl", &read(&openssl)?)?;
    archive.program("bin/envoy", &read(&envoy)?)?;
    archive.program("tls/envoy.yaml", include_bytes!("envoy.yaml"))?;
    let folder = path.parent().context("no folder")?;
    certificate::make(folder)?;
    for name in ["cert.pem", "key.pem"] {
        archive.program(&format!("tls/{name}"), &read(&folder.join(name))?)?;
    }
    // The kernel opens it for the first process, before that can mount anything.
    archive.device("dev/console", 5, 1)?;
    archive.program("init", include_bytes!("init.sh"))?;
    archive.program("bin/busybox", &read(&busybox)?)?;
    archive.program("bin/meshtap", &read(agent)?)?;
    archive.program("bin/flood", &read(flood)?)?;
    archive.program("www/hello", BODY.as_bytes())?;
    archive.finish()?;
    Ok(())
}

/// What a program needs to run: the files that `ldd` lists.
fn libraries(programs: &[&Path]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for program in programs {
        // A static one has none, and `ldd` says so with its exit status.
        let output = Command::new("ldd").arg(program).output()?;
        let list = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = list.split_whitespace().filter(|word| word.starts_with('/'));
        found.extend(paths.map(PathBuf::from));
    }
    Ok(found)
}

/// The same place in the guest, as the archive names it.
fn inside(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn boot(series: Series, image: &Path, initramfs: &Path, folder: &Path) -> Result<Verdict> {
    eprintln!("booting {}", image.display());
    let began = Instant::now();
    let _step = Step::of(format!("kernel {}", series.version));
    let mut console = Console::default();
    let mut guest = Guest::start(&Machine {
        kernel: image,
        initramfs,
        memory: MEMORY,
    })?;
    let in_time = guest.listen(TIMEOUT, |line| {
        console.line(line);
        console.ended
    })?;
    let log = folder.join(format!("console-{}.txt", series.version));
    fs::write(&log, console.all.join("\n"))?;
    let mut problems = console.problems(series.version);
    if !in_time {
        problems.push(format!("no end within {} s", TIMEOUT.as_secs()));
    }
    if !problems.is_empty() {
        problems.push(format!("its console: {}", log.display()));
    }
    Ok(Verdict {
        series,
        attached: console.attached(),
        captured: console.captured(),
        release: console.release.unwrap_or_else(|| "-".to_owned()),
        seconds: began.elapsed().as_secs_f64(),
        problems,
    })
}

fn report(verdicts: &[Verdict], file: &Path) -> Result<()> {
    let json: Vec<_> = verdicts
        .iter()
        .map(|verdict| {
            json!({
                "series": verdict.series.version,
                "release": verdict.release,
                "programs_attached": verdict.attached,
                "exchanges_captured": verdict.captured,
                "seconds": verdict.seconds,
                "problems": verdict.problems,
            })
        })
        .collect();
    fs::write(file, serde_json::to_string_pretty(&json)?)?;
    println!(
        "{:<7} {:<32} {:>8} {:>9} {:>8}  verdict",
        "kernel", "release", "attached", "exchanges", "seconds"
    );
    for verdict in verdicts {
        let word = if verdict.problems.is_empty() {
            "ok"
        } else {
            "FAILED"
        };
        println!(
            "{:<7} {:<32} {:>8} {:>9} {:>8.1}  {word}",
            verdict.series.version,
            verdict.release,
            verdict.attached,
            verdict.captured,
            verdict.seconds
        );
        for problem in &verdict.problems {
            println!("        {problem}");
        }
    }
    let failed = verdicts
        .iter()
        .filter(|verdict| !verdict.problems.is_empty())
        .count();
    if failed > 0 {
        bail!(
            "{failed} of {} kernels failed (details: {})",
            verdicts.len(),
            file.display()
        );
    }
    Ok(())
}
