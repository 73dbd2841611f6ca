//! `cargo xtask generate`: what is made of something else and committed: the schema of the chart's
//! values, the configuration reference, the manifests.
//!
//! The manual pages and the completions of shells are made too, into `target/reference`: packages
//! have them, and nothing that is not committed can be stale.

mod configuration;
mod manifests;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::command;

/// What `cargo xtask generate` takes.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Options {
    /// Write nothing; fail when a file is stale
    #[arg(long)]
    pub check: bool,
}

/// A file that is made.
#[derive(Debug)]
struct Made {
    /// Below the workspace.
    path: PathBuf,
    text: String,
}

/// What the program says of itself, in a folder.
#[derive(Debug)]
pub struct Reference(PathBuf);

impl Reference {
    /// Manual pages: `meshtap.1`, and one for each command.
    pub fn manual(&self) -> PathBuf {
        self.0.join("man")
    }

    /// Completions: `bash`, `fish` and `zsh`, each with one file.
    pub fn completions(&self) -> PathBuf {
        self.0.join("completions")
    }

    /// The schema of the configuration.
    fn schema(&self) -> Result<Value> {
        let path = self.0.join("config.schema.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Has the agent's library write its reference.
///
/// # Errors
/// When it does not build.
pub fn reference() -> Result<Reference> {
    let folder = command::target().join("reference");
    let _ = fs::remove_dir_all(&folder);
    command::run(
        command::cargo()
            .args(["run", "--quiet", "--locked", "--package", "meshtap"])
            .args(["--example", "reference", "--"])
            .arg(&folder)
            // Help text names the value of a variable that is set.
            .env_remove("MESHTAP_CONFIG"),
    )?;
    Ok(Reference(folder))
}

/// `cargo xtask generate`.
///
/// # Errors
/// With `--check`, when a file is stale: which.
pub fn run(options: Options) -> Result<()> {
    let root = command::workspace();
    let schema = reference()?.schema()?;
    let chart = root.join("deploy/helm/meshtap");
    let values = fs::read_to_string(chart.join("values.yaml"))?;
    let mut made = vec![
        Made {
            path: "deploy/helm/meshtap/values.schema.json".into(),
            text: values::schema(&values, &schema)?,
        },
        Made {
            path: "docs/configuration.md".into(),
            text: configuration::page(
                &fs::read_to_string(root.join("docs/configuration.md"))?,
                &schema,
            )?,
        },
    ];
    // Helm refuses values that the schema refuses, so the schema comes first.
    let mut stale = settle(&root, &made, options.check)?;
    let helm =
        meshtap_parts::helm::program().and_then(|helm| helm.context(meshtap_parts::NO_TOOLCHAIN));
    match helm {
        Ok(helm) => made = manifests::render(&helm, &chart)?,
        // Where Helm cannot be built, for want of Go or of a network, their digests are compared.
        Err(error) if options.check => {
            eprintln!("warning: MANIFESTS NOT RENDERED, their digests are compared: {error:#}");
            made.clear();
            stale.extend(manifests::stale(&root, &chart)?);
        }
        Err(error) => return Err(error),
    }
    stale.extend(settle(&root, &made, options.check)?);
    if options.check && !stale.is_empty() {
        bail!("stale: {}; run `cargo xtask generate`", stale.join(", "));
    }
    Ok(())
}

/// Writes what has changed, or only names it.
fn settle(root: &Path, made: &[Made], check: bool) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for file in made {
        let path = root.join(&file.path);
        let name = file.path.display().to_string();
        if fs::read_to_string(&path).is_ok_and(|found| found == file.text) {
            continue;
        }
        if !check {
            fs::write(&path, &file.text).with_context(|| format!("cannot write {name}"))?;
            eprintln!("{name}");
        }
        stale.push(name);
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_writes_nothing() {
        let folder = std::env::temp_dir().join(format!("meshtap-settle-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let made = [Made {
            path: "a.txt".into(),
            text: "new".to_owned(),
        }];
        let read = || fs::read_to_string(folder.join("a.txt")).ok();
        assert_eq!(settle(&folder, &made, true).unwrap(), ["a.txt"]);
        assert_eq!(read(), None);
        assert_eq!(settle(&folder, &made, false).unwrap(), ["a.txt"]);
        assert_eq!(read().as_deref(), Some("new"));
        assert!(settle(&folder, &made, true).unwrap().is_empty());
        fs::remove_dir_all(&folder).unwrap();
    }
}
