//! The Debian package, built by dpkg-deb(1) as Debian's policy wants it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{Program, VERSION};
use crate::command;

/// What runs before and after files come and go (`deploy/package`).
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Writes the package into `output`.
///
/// # Errors
/// When dpkg-deb fails.
pub(super) fn build(tree: &Tree, program: &Program, epoch: u64, output: &Path) -> Result<PathBuf> {
    let stage = output.join("debian");
    tree.write(&stage)?;
    let control = stage.join("DEBIAN");
    fs::create_dir_all(&control)?;
    fs::set_permissions(&control, fs::Permissions::from_mode(0o755))?;
    let write = |name: &str, mode: u32, text: &str| -> Result<()> {
        let path = control.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {name}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    };
    write("control", 0o644, &control_file(program, tree.size()))?;
    write("conffiles", 0o644, &settings(tree))?;
    let sums = command::output(Command::new("sh").current_dir(&stage).args([
        "-c",
        "find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum",
    ]))?;
    write("md5sums", 0o644, &sums)?;
    for name in SCRIPTS {
        let script = command::workspace().join("deploy/package").join(name);
        write(name, 0o755, &fs::read_to_string(script)?)?;
    }
    let package = output.join(format!(
        "meshtap_{VERSION}_{}.deb",
        architecture(program.machine)
    ));
    command::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--threads-max=1", "--build"])
            .arg(&stage)
            .arg(&package)
            .env("SOURCE_DATE_EPOCH", epoch.to_string()),
    )?;
    fs::remove_dir_all(&stage)?;
    Ok(package)
}

fn settings(tree: &Tree) -> String {
    let mut text = String::new();
    for path in tree.settings() {
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "/{}", path.display());
    }
    text
}

/// What Debian calls a machine.
fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn control_file(program: &Program, size: usize) -> String {
    let depends = match program.is_static {
        true => "",
        false => "Depends: libc6, libgcc-s1\n",
    };
    let architecture = architecture(program.machine);
    format!(
        "Package: meshtap\n\
         Version: {VERSION}\n\
         Architecture: {architecture}\n\
         Maintainer: The meshtap authors <meshtap@meshtap.invalid>\n\
         Installed-Size: {size}\n\
         {depends}\
         Recommends: procps, systemd\n\
         Section: net\n\
         Priority: optional\n\
         Homepage: https://github.com/meshtap/meshtap\n\
         Description: shows and exports the HTTP traffic of a host\n \
         BPF programs copy what sockets carry, and meshtap makes HTTP exchanges of\n \
         it: lines in a terminal (meshtap tap), spans and metrics (meshtap run).\n \
         Applications and packets are left as they are.\n \
         .\n \
         The service is not started by itself: systemctl enable --now meshtap.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_asked_for_where_they_are_needed() {
        let control = |machine, is_static| {
            let program = Program {
                path: PathBuf::new(),
                machine,
                is_static,
            };
            control_file(&program, 7)
        };
        let control_static = control("aarch64", true);
        assert!(control_static.contains("Architecture: arm64\n"));
        assert!(control_static.contains("Installed-Size: 7\nRecommends: procps, systemd\n"));
        assert!(control("x86_64", false).contains("Depends: libc6, libgcc-s1\nRec"));
        for line in control_static.lines() {
            assert!(line.starts_with(' ') || line.contains(": "), "{line}");
        }
    }
}
