//! Helm, which renders and checks the chart.

use std::path::PathBuf;

use anyhow::Result;

use crate::go::{self, Module};

/// The release.
pub const VERSION: &str = "3.19.0";

/// What upstream's own build sets: the release, and which Kubernetes `helm template` renders for.
const LDFLAGS: &str = "-s -w -X helm.sh/helm/v3/internal/version.version=vVERSION \
    -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
    -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34 \
    -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 \
    -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=34";

/// The program, built where it is not there yet (two minutes). `None`: there is no Go toolchain to
/// build it with.
///
/// # Errors
/// When it does not build.
pub fn program() -> Result<Option<PathBuf>> {
    go::program(&Module {
        folder: &format!("helm-{VERSION}"),
        manifest: include_str!("helm/go.mod"),
        sums: include_str!("helm/go.sum"),
        package: "helm.sh/helm/v3/cmd/helm",
        program: "helm",
        ldflags: &LDFLAGS.replace("VERSION", VERSION),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let required = format!("helm.sh/helm/v3 v{VERSION}");
        assert!(include_str!("helm/go.mod").contains(&required));
    }
}
