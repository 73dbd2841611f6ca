//! The OpenTelemetry Collector, put together by its own builder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::{cache, go};

/// The release; not every release's modules are to be had.
pub const VERSION: &str = "0.145.0";
/// Its configuration providers have a version of their own.
const PROVIDERS: &str = "1.51.0";

/// The program, built where it is not there yet. `None`: there is no Go toolchain to build it with.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    let folder = cache::folder(&format!("collector-{VERSION}"))?;
    go::made_once(&folder.join("otelcol"), |go, partial| {
        build(&folder, go, partial)
    })
}

fn build(folder: &Path, go: &Path, partial: &Path) -> Result<()> {
    let builder = format!("go.opentelemetry.io/collector/cmd/builder@v{VERSION}");
    go::run(
        Command::new(go)
            .args(["install", &builder])
            .env("GOBIN", folder),
    )?;
    let manifest = folder.join("builder.yaml");
    fs::write(&manifest, modules(folder))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut search = vec![go.parent().unwrap_or(Path::new("/")).to_owned()];
    search.extend(std::env::split_paths(&path));
    go::run(
        Command::new(folder.join("builder"))
            .arg("--config")
            .arg(&manifest)
            .env("PATH", std::env::join_paths(search)?)
            // No C library: the same program runs in an empty image.
            .env("CGO_ENABLED", "0"),
    )?;
    fs::rename(folder.join("out/otelcol"), partial)?;
    fs::remove_dir_all(folder.join("out"))?;
    Ok(())
}

fn modules(folder: &Path) -> String {
    format!(
        "dist: {{ name: otelcol, output_path: '{}/out' }}
receivers:
- gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v{VERSION}
exporters:
- gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v{VERSION}
providers:
- gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v{PROVIDERS}
- gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v{PROVIDERS}
",
        folder.display()
    )
}
