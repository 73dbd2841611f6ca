//! `deploy/manifests/`: each variant of the chart, rendered by Helm, for `kubectl apply -k`.
//!
//! A manifest's first lines have a digest of what it was rendered from and of itself: where there
//! is no Helm, that says whether it is stale.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Made;
use crate::command;

/// Renders every variant.
///
/// # Errors
/// When Helm refuses one.
pub(super) fn render(helm: &Path, chart: &Path) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for variant in variants(chart)? {
        let values = format!("deploy/helm/meshtap/variants/{variant}.yaml");
        let rendered = command::output(
            Command::new(helm)
                .current_dir(command::workspace())
                .args(["template", "meshtap", "deploy/helm/meshtap"])
                .args(["--namespace", "meshtap", "--skip-tests"])
                .args(["--set", "namespace.create=true", "--values", &values]),
        )?;
        let folder = PathBuf::from("deploy/manifests").join(&variant);
        let sources = sources(chart, &variant)?;
        made.push(Made {
            path: folder.join("meshtap.yaml"),
            text: manifest(&values, &sources, &rendered),
        });
        made.push(Made {
            path: folder.join("kustomization.yaml"),
            text: KUSTOMIZATION.to_owned(),
        });
    }
    Ok(made)
}

const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\n\
                             kind: Kustomization\nresources: [meshtap.yaml]\n";

/// Names of the files in the chart's `variants`, in order.
pub(super) fn variants(chart: &Path) -> Result<Vec<String>> {
    let folder = chart.join("variants");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_yaml = path.extension().is_some_and(|end| end == "yaml");
            is_yaml.then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
        .collect();
    names.sort();
    Ok(names)
}

/// Those that are not what would be rendered now, or not what was, as far as their digests say.
///
/// # Errors
/// When a file of the chart cannot be read.
pub(super) fn stale(root: &Path, chart: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for variant in variants(chart)? {
        let path = format!("deploy/manifests/{variant}/meshtap.yaml");
        let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
        if !is_current(&text, &sources(chart, &variant)?) {
            stale.push(path);
        }
    }
    Ok(stale)
}

/// The text of everything that a variant is rendered from.
fn sources(chart: &Path, variant: &str) -> Result<String> {
    let mut paths = vec![
        chart.join("Chart.yaml"),
        chart.join("values.yaml"),
        chart.join("variants").join(format!("{variant}.yaml")),
    ];
    let templates = chart.join("templates");
    let entries = fs::read_dir(&templates).with_context(|| templates.display().to_string())?;
    // Tests have a folder of their own, and are not rendered.
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.extend(files.filter(|path| path.is_file()));
    paths.sort();
    let mut text = meshtap_parts::helm::VERSION.to_owned();
    for path in paths {
        text.push_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    }
    Ok(text)
}

/// Nobody manages these objects with Helm.
fn manifest(values: &str, sources: &str, rendered: &str) -> String {
    let owned = rendered.replace(
        "app.kubernetes.io/managed-by: Helm",
        "app.kubernetes.io/managed-by: kustomize",
    );
    let digest = digest(sources, &owned);
    format!("# Rendered from {values} by `helm template`.\n{DIGEST}{digest}\n{owned}")
}

const DIGEST: &str = "# Digest of the chart and of this file: ";

/// A manifest says what it was rendered from, and nobody has changed it since.
fn is_current(manifest: &str, sources: &str) -> bool {
    let mut parts = manifest.splitn(3, '\n').skip(1);
    let (Some(second), Some(rest)) = (parts.next(), parts.next()) else {
        return false;
    };
    second.strip_prefix(DIGEST) == Some(digest(sources, rest).as_str())
}

/// FNV-1a: nobody has a reason to forge it.
fn digest(sources: &str, rendered: &str) -> String {
    let bytes = sources.bytes().chain([0]).chain(rendered.bytes());
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_its_manifest() {
        let root = command::workspace();
        let variants = variants(&root.join("deploy/helm/meshtap")).unwrap();
        assert!(variants.len() >= 4, "{variants:?}");
        for variant in variants {
            let folder = root.join("deploy/manifests").join(&variant);
            assert!(folder.join("kustomization.yaml").is_file(), "{variant}");
        }
    }

    #[test]
    fn a_manifest_names_its_source() {
        let rendered = "a: 1\napp.kubernetes.io/managed-by: Helm\n";
        let text = manifest("v.yaml", "chart", rendered);
        assert!(text.starts_with("# Rendered from v.yaml by `helm template`.\n# Digest"));
        assert!(text.ends_with("\na: 1\napp.kubernetes.io/managed-by: kustomize\n"));
    }

    #[test]
    fn what_is_stale_is_known_without_helm() {
        let text = manifest("v.yaml", "chart", "a: 1\n");
        assert!(is_current(&text, "chart"));
        for (text, sources) in [
            (text.as_str(), "chart, changed"),
            (&text.replace("a: 1", "a: 2"), "chart"),
            (&text.replace(DIGEST, ""), "chart"),
            ("a: 1\n", "chart"),
            ("", "chart"),
        ] {
            assert!(!is_current(text, sources), "{text}");
        }
        let root = command::workspace();
        let stale = stale(&root, &root.join("deploy/helm/meshtap")).unwrap();
        assert!(stale.is_empty(), "{stale:?}: run `cargo xtask generate`");
    }
}
