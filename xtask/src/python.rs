//! What tests read payloads with: the official Python package of OpenTelemetry's protocol, in an
//! environment of its own that is kept by version.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use meshtap_parts::cache;

use crate::{command, packages};

/// The package.
const OTLP: &str = "1.45.2";

/// The runtime that its generated code calls.
const PROTOBUF: &str = "7.36.2";

/// The interpreter of an environment that has the package, made when it is missing.
pub fn ensure() -> Result<PathBuf> {
    let folder = cache::folder("python")?.join(format!("opentelemetry-proto-{OTLP}-{PROTOBUF}"));
    cache::file(&folder, |partial| {
        if !makes_environments() {
            if !command::is_root() || command::find("apt-get").is_none() {
                bail!(
                    "python3 cannot make environments. On Debian or Ubuntu: sudo apt-get install --no-install-recommends python3-venv"
                );
            }
            packages::install(&["python3-venv"])?;
        }
        command::run(Command::new("python3").args(["-m", "venv"]).arg(partial))?;
        // The interpreter, not `pip` itself: that names the folder that it was made in.
        let mut pip = Command::new(partial.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("opentelemetry-proto=={OTLP}"))
            .arg(format!("protobuf=={PROTOBUF}"));
        command::run(&mut pip)
    })
    .with_context(|| format!("no Python with opentelemetry-proto {OTLP}"))?;
    Ok(folder.join("bin/python"))
}

/// Debian's `python3` comes without the module that puts `pip` into an environment.
fn makes_environments() -> bool {
    let mut python = Command::new("python3");
    command::output(python.args(["-c", "import ensurepip, venv"])).is_ok()
}
