//! The files of a package, where they go on a host.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Contents;
use crate::command;

/// Files below `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    mode: u32,
    bytes: Vec<u8>,
}

/// Of `deploy/meshtap.service`, and of a package.
const PROGRAMS: (&str, &str) = ("/usr/local/bin/meshtap", "/usr/bin/meshtap");

impl Tree {
    /// Everything that a host gets.
    pub(super) fn new(contents: &Contents) -> Result<Self> {
        let root = command::workspace();
        let text = |path: &str| {
            fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
        };
        let mut tree = Self::default();
        let program = fs::read(&contents.program.path)?;
        tree.add("usr/bin/meshtap", 0o755, program);
        tree.add(
            "usr/lib/systemd/system/meshtap.service",
            0o644,
            unit(&text("deploy/meshtap.service")?)?,
        );
        let configuration = text("deploy/package/config.yaml")?;
        tree.add("etc/meshtap/config.yaml", 0o644, configuration);
        for (name, page) in files(&contents.reference.manual())? {
            let path = format!("usr/share/man/man1/{name}.gz");
            tree.add(&path, 0o644, compressed(&page)?);
        }
        let completions = contents.reference.completions();
        for (shell, name, path) in [
            (
                "bash",
                "meshtap.bash",
                "usr/share/bash-completion/completions/meshtap",
            ),
            (
                "fish",
                "meshtap.fish",
                "usr/share/fish/vendor_completions.d/meshtap.fish",
            ),
            (
                "zsh",
                "_meshtap",
                "usr/share/zsh/vendor-completions/_meshtap",
            ),
        ] {
            tree.add(path, 0o644, fs::read(completions.join(shell).join(name))?);
        }
        let documents = "usr/share/doc/meshtap";
        let mut document =
            |name: &str, bytes| tree.add(&format!("{documents}/{name}"), 0o644, bytes);
        document("copyright", text("deploy/package/copyright")?.into_bytes());
        let changes = text("CHANGELOG.md")?;
        document("CHANGELOG.md.gz", compressed(changes.as_bytes())?);
        document("sbom.cdx.json", contents.bill.clone().into_bytes());
        let licences = compressed(contents.licences.as_bytes())?;
        document("third-party-licences.gz", licences);
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    fn add(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.files.push(File {
            path: path.into(),
            mode,
            bytes: bytes.into(),
        });
    }

    /// Writes the files below a folder, which it empties first. Modes do not depend on the caller's
    /// mask.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let _ = fs::remove_dir_all(folder);
        for file in &self.files {
            let path = folder.join(&file.path);
            let parent = path.parent().context("a file is in a folder")?;
            fs::create_dir_all(parent)?;
            fs::write(&path, &file.bytes)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
            for folder in parent.ancestors().take_while(|at| at.starts_with(folder)) {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }

    /// Paths below `/etc`, which are the owner's to change.
    pub(super) fn settings(&self) -> impl Iterator<Item = &Path> {
        let paths = self.files.iter().map(|file| file.path.as_path());
        paths.filter(|path| path.starts_with("etc"))
    }

    /// Kibibytes on a disk.
    pub(super) fn size(&self) -> usize {
        let sizes = self.files.iter().map(|file| file.bytes.len());
        sizes.map(|size| size.div_ceil(1024)).sum()
    }
}

/// The unit, for a program of the distribution's.
fn unit(text: &str) -> Result<String> {
    if !text.contains(PROGRAMS.0) {
        bail!("deploy/meshtap.service does not start {}", PROGRAMS.0);
    }
    Ok(text.replace(PROGRAMS.0, PROGRAMS.1))
}

/// Names and bytes of a folder's files.
fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push((name, fs::read(entry.path())?));
    }
    Ok(found)
}

/// As gzip(1) does it, with neither name nor time.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = Command::new("gzip")
        .args(["-9", "--no-name", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start gzip")?;
    let input = gzip.stdin.take().context("gzip has an input")?;
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut input = input;
            input.write_all(bytes)
        });
        let output = gzip.wait_with_output();
        (writer.join(), output)
    });
    let (Ok(Ok(())), Ok(output)) = written else {
        bail!("gzip does not take what it is given");
    };
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_the_packaged_program() {
        let unit = unit("ExecStart=/usr/local/bin/meshtap run\n").unwrap();
        assert_eq!(unit, "ExecStart=/usr/bin/meshtap run\n");
        assert!(super::unit("ExecStart=/bin/true\n").is_err());
    }

    #[test]
    fn modes_are_those_of_the_files() {
        let folder = std::env::temp_dir().join(format!("meshtap-tree-{}", std::process::id()));
        let mut tree = Tree::default();
        tree.add("usr/bin/a", 0o755, "a");
        tree.add("etc/a/b.yaml", 0o644, "b");
        tree.write(&folder).unwrap();
        let mode = |path: &str| {
            let metadata = fs::metadata(folder.join(path)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode("usr/bin/a"), 0o755);
        assert_eq!(mode("usr"), 0o755);
        assert_eq!(mode("etc/a/b.yaml"), 0o644);
        let settings: Vec<_> = tree.settings().collect();
        assert_eq!(settings, [Path::new("etc/a/b.yaml")]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_compressed_has_no_time() {
        let large = "a line\n".repeat(100_000);
        let once = compressed(large.as_bytes()).unwrap();
        assert_eq!(once[4..8], [0; 4]);
        assert_eq!(once, compressed(large.as_bytes()).unwrap());
        assert!(once.len() < large.len() / 10);
    }
}
