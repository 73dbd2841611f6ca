//! Images for the cluster. Nothing is pulled: each is built from a program that is here, on
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::programs::Programs;
use crate::image;

/// The process that holds a pod's namespaces.
pub const PAUSE: &str = "localhost/pause:test";
/// What the tests of Kubernetes run in pods: a server and client of HTTP.
const AGNHOST: &str = "localhost/agnhost:test";
/// The OpenTelemetry Collector.
const COLLECTOR: &str = "localhost/otelcol:test";

/// Names of services.
const COREDNS: &str = "localhost/coredns:test";
/// A client that sends a fixed number of requests.
const LOAD: &str = "localhost/load:test";

/// Builds what is not the agent; archives that containerd takes.
///
/// # Errors
/// When one does not build.
pub fn parts(folder: &Path, programs: &Programs) -> Result<Vec<PathBuf>> {
    let images = images(folder)?;
    let one = |name: &str, program: &Path, entry: &str| -> Result<PathBuf> {
        let file = program
            .file_name()
            .context("a program has a name")?
            .to_string_lossy();
        let containerfile = images.join(format!("Containerfile.{file}"));
        fs::write(
            &containerfile,
            format!("FROM scratch\nCOPY {file} /{file}\nENTRYPOINT {entry}\n"),
        )?;
        let archive = images.join(format!("{}.tar", name.replace(['/', ':'], "-")));
        image::build(&image::Build {
            name,
            containerfile: &containerfile,
            program,
            documents: &[],
            machine: std::env::consts::ARCH,
            archive: &archive,
        })?;
        Ok(archive)
    };
    Ok(vec![
        one(PAUSE, &programs.agnhost, r#"["/agnhost", "pause"]"#)?,
        one(AGNHOST, &programs.agnhost, r#"["/agnhost"]"#)?,
        one(COLLECTOR, &programs.collector, r#"["/otelcol"]"#)?,
        one(COREDNS, &programs.coredns, r#"["/coredns"]"#)?,
        one(LOAD, &programs.load, r#"["/load"]"#)?,
    ])
}

/// Builds the agent's, by its own recipe.
///
/// # Errors
/// When it does not build.
pub fn agent(folder: &Path, program: &Path) -> Result<PathBuf> {
    let archive = images(folder)?.join("meshtap.tar");
    image::agent(image::NAME, program, &archive)?;
    Ok(archive)
}

fn images(folder: &Path) -> Result<PathBuf> {
    let images = folder.join("images");
    fs::create_dir_all(&images)?;
    Ok(images)
}
