//! The components of Kubernetes, and what its own tests put into pods.

use std::path::PathBuf;

use anyhow::Result;

use crate::go::{self, Module};

/// The release.
pub const VERSION: &str = "1.34.3";

/// A program of the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `kube-apiserver`.
    ApiServer,
    /// `kube-controller-manager`.
    ControllerManager,
    /// `kube-scheduler`.
    Scheduler,
    /// `kube-proxy`.
    Proxy,
    /// `kubelet`.
    Kubelet,
    /// `kubectl`.
    Kubectl,
    /// `agnhost`: what the release's own tests run in pods: an HTTP server and client, and `pause`.
    Agnhost,
}

impl Component {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Proxy,
        Self::Kubelet,
        Self::Kubectl,
        Self::Agnhost,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Proxy => "kube-proxy",
            Self::Kubelet => "kubelet",
            Self::Kubectl => "kubectl",
            Self::Agnhost => "agnhost",
        }
    }

    fn package(self) -> String {
        let folder = match self {
            Self::Agnhost => "test/images",
            _ => "cmd",
        };
        format!("k8s.io/kubernetes/{folder}/{}", self.name())
    }

    /// The program, built where it is not there yet. `None`: there is no Go toolchain to build it
    /// with.
    ///
    /// # Errors
    /// When it does not build.
    pub fn program(self) -> Result<Option<PathBuf>> {
        go::program(&Module {
            folder: &format!("kubernetes-{VERSION}"),
            manifest: include_str!("kubernetes/go.mod"),
            sums: include_str!("kubernetes/go.sum"),
            package: &self.package(),
            program: self.name(),
            ldflags: &ldflags(),
        })
    }
}

/// Components refuse to run when they do not know their own version.
fn ldflags() -> String {
    let mut numbers = VERSION.split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    [
        "-s -w",
        &set("gitVersion", &format!("v{VERSION}")),
        &set("gitMajor", major),
        &set("gitMinor", minor),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_module() {
        let manifest = include_str!("kubernetes/go.mod");
        assert!(manifest.contains(&format!("k8s.io/kubernetes v{VERSION}")));
        let (_, staging) = VERSION.split_once('.').unwrap();
        let replaced: Vec<&str> = manifest
            .lines()
            .filter(|line| line.contains("=>"))
            .collect();
        assert_eq!(replaced.len(), 31);
        for line in replaced {
            assert!(line.ends_with(&format!(" v0.{staging}")), "{line}");
        }
        for component in Component::ALL {
            assert!(manifest.contains(&component.package()), "{component:?}");
        }
    }

    #[test]
    fn a_component_has_its_version() {
        assert_eq!(
            ldflags(),
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.3 -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=34"
        );
    }
}
