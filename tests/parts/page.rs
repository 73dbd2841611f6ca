//! What drives a browser and looks for what shuts people out: Playwright and axe-core, of pinned
//! versions, in a folder of their own. The browser is the machine's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cache;
use crate::go::run;

/// What to say when they cannot be had.
pub const NO_NODE: &str = "there is no Node.js with npm to install Playwright with";

const MANIFEST: &str = include_str!("../page/modules/package.json");
const LOCK: &str = include_str!("../page/modules/package-lock.json");

/// Raise it when the lock changes: they are kept by this name.
const FOLDER: &str = "playwright-1.65.1-axe-4.14.1";

/// The folder with `node_modules`, made where it is not there yet. `None`: no Node.js, or no npm.
///
/// # Errors
/// When npm fails.
pub fn modules() -> Result<Option<PathBuf>> {
    let works = |name: &str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works("node") || !works("npm") {
        return Ok(None);
    }
    let folder = cache::folder("page")?.join(FOLDER);
    cache::file(&folder, |partial| {
        fs::create_dir_all(partial)?;
        fs::write(partial.join("package.json"), MANIFEST)?;
        fs::write(partial.join("package-lock.json"), LOCK)?;
        // Nothing of theirs is run, and no browser is downloaded.
        let options = [
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
        ];
        run(Command::new("npm").args(options).current_dir(partial))
    })?;
    Ok(Some(folder))
}
