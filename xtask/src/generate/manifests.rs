//! `deploy/manifests/`: each variant of the chart, rendered by Helm, for `kubectl apply -k`.

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
        made.push(Made {
            path: folder.join("meshtap.yaml"),
            text: manifest(&values, &rendered),
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

/// Nobody manages these objects with Helm.
fn manifest(values: &str, rendered: &str) -> String {
    let owned = rendered.replace(
        "app.kubernetes.io/managed-by: Helm",
        "app.kubernetes.io/managed-by: kustomize",
    );
    format!("# Rendered from {values} by `helm template`.\n{owned}")
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
        let text = manifest("v.yaml", "a: 1\napp.kubernetes.io/managed-by: Helm\n");
        assert_eq!(
            text,
            "# Rendered from v.yaml by `helm template`.\na: 1\n\
             app.kubernetes.io/managed-by: kustomize\n"
        );
    }
}
