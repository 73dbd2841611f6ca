//! Kernels to boot: Debian's own, looked up by the suite that ships them, downloaded and unpacked,
//! never installed.
//!
//! Names of kernel packages move with every security fix, so the newest one is what the suite's
//! meta package depends on. A kernel that is in the cache is used as it is, until `--update`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use meshtap_parts::cache;

use crate::{command, packages};

/// A kernel series and the Debian suite that ships it.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    pub version: &'static str,
    suite: &'static str,
}

/// Oldest first.
pub const ALL: &[Series] = &[
    Series {
        version: "5.10",
        suite: "bullseye",
    },
    Series {
        version: "6.1",
        suite: "bookworm",
    },
    Series {
        version: "6.12",
        suite: "trixie",
    },
];

/// Small, no modules needed for what is tried, and what cloud machines run.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Debian's own name for "the archive near you", then where suites go when they retire.
const ARCHIVES: &[&str] = &[
    "http://deb.debian.org/debian",
    "http://archive.debian.org/debian",
];

impl Series {
    /// The kernel's image, from the cache or downloaded.
    pub fn image(&self, update: bool) -> Result<PathBuf> {
        let folder = cache::folder("kernels")?.join(self.version);
        if !update && let Some(image) = newest(&folder) {
            return Ok(image);
        }
        eprintln!(
            "looking up the newest {} kernel of Debian {}",
            self.version, self.suite
        );
        if !Path::new(KEYRING).exists() {
            packages::install(&["debian-archive-keyring"])?;
        }
        let mut failures = Vec::new();
        for archive in archives() {
            match self.download(&folder, &archive) {
                Ok(image) => return Ok(image),
                Err(error) => failures.push(format!("{archive}: {error:#}")),
            }
        }
        bail!(
            "no kernel {} from Debian {}:\n{}",
            self.version,
            self.suite,
            failures.join("\n")
        )
    }

    fn download(&self, folder: &Path, archive: &str) -> Result<PathBuf> {
        let apt = Apt::new(&folder.join("apt"), archive, self.suite)?;
        command::output(apt.command("apt-get").arg("update"))?;
        let depends = command::output(apt.command("apt-cache").args(["depends", META_PACKAGE]))?;
        let package = dependency(&depends, self.version).with_context(|| {
            format!(
                "{META_PACKAGE} of {} is no {} kernel:\n{depends}",
                self.suite, self.version
            )
        })?;
        let image = folder.join(format!(
            "vmlinuz-{}",
            package.trim_start_matches("linux-image-")
        ));
        cache::file(&image, |partial| {
            let scratch = folder.join("unpack");
            let _ = fs::remove_dir_all(&scratch);
            fs::create_dir_all(&scratch)?;
            command::run(
                apt.command("apt-get")
                    .args(["download", package])
                    .current_dir(&scratch),
            )?;
            let archive = only_file(&scratch, ".deb")?;
            command::run(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&archive)
                    .arg(&scratch),
            )?;
            fs::rename(only_file(&scratch.join("boot"), "vmlinuz-")?, partial)?;
            fs::remove_dir_all(&scratch)?;
            Ok(())
        })?;
        Ok(image)
    }
}

/// An apt configuration of its own: one suite of one archive, nothing of the machine's lists
/// touched.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: &Path, archive: &str, suite: &str) -> Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        fs::write(
            folder.join("sources.list"),
            format!("deb [arch=amd64 signed-by={KEYRING}] {archive} {suite} main\n"),
        )?;
        fs::write(folder.join("apt.conf"), configuration(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-qc").arg(self.folder.join("apt.conf"));
        command
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
APT::Architecture "amd64";
// The cache may be in a home folder that apt's own user cannot enter.
APT::Sandbox::User "";
// An archive without the suite is a failure, not a warning: the next one is asked.
APT::Update::Error-Mode "any";
// An archived suite is not signed anew.
Acquire::Check-Valid-Until "false";
// Names and versions of packages are all that is needed.
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Retries "3";
"#
    )
}

/// The machine's own Debian archive first.
fn archives() -> Vec<String> {
    let mut archives: Vec<String> = Vec::new();
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    for text in files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
    {
        archives.extend(archive(&text));
    }
    archives.extend(ARCHIVES.iter().map(|archive| (*archive).to_owned()));
    let mut seen = std::collections::HashSet::new();
    archives.retain(|archive| seen.insert(archive.clone()));
    archives
}

/// The first address in an apt source file that ends in `/debian`.
fn archive(text: &str) -> Option<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

/// The kernel package in what `apt-cache depends` says, when it is of the series.
fn dependency<'a>(depends: &'a str, version: &str) -> Option<&'a str> {
    let prefix = format!("linux-image-{version}.");
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with(&prefix))
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let images = fs::read_dir(folder).ok()?.flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("vmlinuz-") && !name.ends_with(".partial")
    });
    images
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())
        .map(|entry| entry.path())
}

/// The one file whose name holds `part`.
fn only_file(folder: &Path, part: &str) -> Result<PathBuf> {
    fs::read_dir(folder)?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().contains(part))
        .map(|entry| entry.path())
        .with_context(|| format!("nothing named *{part}* in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meta_package_names_the_newest_kernel() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.12.107+deb13-cloud-amd64\n  Suggests: firmware\n";
        assert_eq!(
            dependency(depends, "6.12"),
            Some("linux-image-6.12.107+deb13-cloud-amd64")
        );
        assert_eq!(dependency(depends, "6.1"), None);
    }

    #[test]
    fn the_machines_own_archive_is_found() {
        let deb822 = "Types: deb\n# http://snapshot.example.org/debian\nURIs: http://deb.example.org/debian/\nSuites: trixie\n";
        assert_eq!(
            archive(deb822).as_deref(),
            Some("http://deb.example.org/debian")
        );
        let list = "deb [arch=amd64] https://m.example.org/debian bookworm main\n";
        assert_eq!(
            archive(list).as_deref(),
            Some("https://m.example.org/debian")
        );
        assert_eq!(
            archive("deb https://m.example.org/debian-security bookworm main\n"),
            None
        );
    }
}
