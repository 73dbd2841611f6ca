//! The package on a machine of its own that systemd brings up: the unit started, reloaded,
//! restarted and stopped, and what it captured meanwhile.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::vm::guest::{Guest, Machine};
use crate::vm::kernel;

/// Of the suite that the root is of.
const KERNEL: &str = "6.1";
/// The root is in memory twice while the kernel unpacks it.
const MEMORY: u32 = 3072;
/// It takes a minute or two on an idle machine: the processor is emulated.
const TIMEOUT: Duration = Duration::from_secs(900);
/// What begins a line that the script says.
const MARK: &str = "@trial ";

/// Boots `root`, in which the package is installed, and runs `booted.sh` in it.
///
/// # Errors
/// Names the steps that failed, and where the console's text is.
pub(super) fn run(root: &Path, folder: &Path) -> Result<()> {
    prepare(root)?;
    let initramfs = folder.join("trial.cpio");
    pack(root, &initramfs)?;
    let series = kernel::ALL.iter().find(|series| series.version == KERNEL);
    let image = series.context("no such kernel")?.image(false)?;
    eprintln!("booting Debian with systemd under {}", image.display());
    let mut guest = Guest::start(&Machine {
        kernel: &image,
        initramfs: &initramfs,
        memory: MEMORY,
    })?;
    let mut console = Console::default();
    let in_time = guest.listen(TIMEOUT, |line| console.line(line))?;
    drop(guest);
    fs::remove_file(&initramfs)?;
    let log = folder.join("trial-console.txt");
    fs::write(&log, console.all.join("\n"))?;
    if !in_time || !console.ended || !console.failed.is_empty() {
        bail!(
            "under systemd: failed: {:?}, came to its end: {}; its console: {}",
            console.failed,
            console.ended,
            log.display()
        );
    }
    eprintln!("under systemd: {}", console.passed.join(", "));
    Ok(())
}

/// What the script needs, and a unit that runs it.
fn prepare(root: &Path) -> Result<()> {
    let busybox = command::find("busybox").context("no busybox")?;
    let trial = root.join("trial");
    fs::create_dir_all(trial.join("www"))?;
    fs::copy(busybox, trial.join("busybox"))?;
    fs::write(trial.join("www/hello"), "hello\n")?;
    let script = trial.join("run");
    fs::write(&script, include_str!("booted.sh"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("trial.service"), include_str!("booted.service"))?;
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("../trial.service", wanted.join("trial.service"))?;
    // The kernel starts this one.
    symlink("/usr/lib/systemd/systemd", root.join("init"))?;
    Ok(())
}

fn pack(root: &Path, initramfs: &Path) -> Result<()> {
    let made = fs::File::create(initramfs).with_context(|| initramfs.display().to_string())?;
    let mut cpio = Command::new("sh")
        .args([
            "-c",
            "find . -xdev -print0 | cpio --null --create --quiet --format=newc",
        ])
        .current_dir(root)
        .stdout(made)
        .spawn()?;
    if !cpio.wait()?.success() {
        bail!("cpio failed");
    }
    Ok(())
}

/// What the guest said.
#[derive(Debug, Default)]
struct Console {
    passed: Vec<String>,
    failed: Vec<String>,
    ended: bool,
    all: Vec<String>,
}

impl Console {
    /// Takes a line; whether the script came to its end.
    fn line(&mut self, line: &str) -> bool {
        let line = line.trim_end();
        self.all.push(line.to_owned());
        if let Some((_, said)) = line.split_once(MARK) {
            match said.split_once(' ') {
                Some(("ok", step)) => self.passed.push(step.to_owned()),
                Some(("failed", step)) => self.failed.push(step.to_owned()),
                _ if said == "end" => self.ended = true,
                _ => {}
            }
        }
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named() {
        let mut console = Console::default();
        assert!(!console.line("[    4.2] @trial ok active\r"));
        assert!(!console.line("@trial failed reload"));
        assert!(!console.line("@trial | why"));
        assert!(console.line("@trial end"));
        assert_eq!(console.passed, ["active"]);
        assert_eq!(console.failed, ["reload"]);
    }
}
