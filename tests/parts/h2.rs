//! Servers and clients of HTTP/2 in the languages that most are written in.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cache, go};

/// Whose library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Go's own.
    Go,
    /// Node's own.
    Node,
    /// `h2` for Python.
    Python,
}

/// Python's libraries. Raise it when the list changes: they are kept by this name.
const FOLDER: &str = "python-h2-4.4.1-httpx-0.28.1";
const PACKAGES: &[&str] = &["h2==4.4.1", "hpack==4.2.0", "httpx==0.28.1"];

/// The program, `h2/peer.py` says what its arguments are. `None`: the language is not there.
///
/// # Errors
/// When it cannot be made.
pub fn program(peer: Peer) -> Result<Option<Command>> {
    match peer {
        Peer::Go => {
            let program = go::single("go-h2-1", "h2", include_str!("h2/main.go"))?;
            Ok(program.map(Command::new))
        }
        Peer::Node => interpreted("node".into(), "peer.mjs", include_str!("h2/peer.mjs")),
        Peer::Python => match python()? {
            Some(python) => interpreted(python, "peer.py", include_str!("h2/peer.py")),
            None => Ok(None),
        },
    }
}

/// A program that its interpreter reads from a file.
fn interpreted(interpreter: PathBuf, name: &str, text: &str) -> Result<Option<Command>> {
    let is_there = Command::new(&interpreter).arg("--version").output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    // By what it says: another clone may have another one.
    let folder = cache::folder("h2-peers")?;
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let file = folder.join(format!("{sum:016x}-{name}"));
    cache::file(&file, |partial| Ok(fs::write(partial, text)?))?;
    let mut command = Command::new(interpreter);
    command.arg(file);
    Ok(Some(command))
}

/// The interpreter of an environment that has the libraries.
fn python() -> Result<Option<PathBuf>> {
    let makes = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output();
    if !makes.is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let root = cache::folder("python")?;
    let folder = root.join(FOLDER);
    let lock = File::create(root.join(".lock"))?;
    lock.lock().context("cannot lock the cache")?;
    cache::file(&folder, |partial| {
        go::run(Command::new("python3").args(["-m", "venv"]).arg(partial))?;
        // The interpreter, not `pip` itself: that names the folder that it was made in.
        let mut pip = Command::new(partial.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        go::run(pip.args(PACKAGES))
    })?;
    Ok(Some(folder.join("bin/python")))
}
