//! Whose exchanges are shown by what ztunnel decrypts and encrypts. Pure.

use std::collections::BTreeMap;

use super::mesh::Role;
use super::pod::{Pod, says};
use crate::glob::Glob;

/// The annotation of a pod, the sockets of which are not those of this kernel.
const FLOWS: &str = "meshtap.dev/flows";

/// What is read of ztunnel. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct ZtunnelChoice {
    is_read: bool,
    /// Runtime classes of pods whose exchanges are emitted as ztunnel has them.
    flows: Option<Vec<Glob>>,
}

impl ZtunnelChoice {
    /// How exchanges of applications are secured.
    #[must_use]
    pub fn identity() -> Self {
        Self {
            is_read: true,
            flows: None,
        }
    }

    /// And the exchanges of pods with one of these runtime classes, with `*` for any run of
    /// characters, or an annotation.
    #[must_use]
    pub fn flows(runtime_classes: &[String]) -> Self {
        let globs = runtime_classes.iter().map(|class| Glob::new(class));
        Self {
            is_read: true,
            flows: Some(globs.collect()),
        }
    }

    /// This pod is a ztunnel that is read.
    pub(crate) fn reads(&self, pod: &Pod) -> bool {
        self.is_read && pod.role == Role::Ztunnel && pod.capture != Some(false)
    }

    /// Exchanges of such a pod are emitted as ztunnel has them. Its annotation goes before its
    /// class.
    pub(crate) fn shows(
        &self,
        annotations: &BTreeMap<String, String>,
        runtime_class: Option<&str>,
    ) -> bool {
        let Some(classes) = &self.flows else {
            return false;
        };
        let of_class = || {
            let class = runtime_class.unwrap_or_default();
            classes.iter().any(|glob| glob.matches(class.as_bytes()))
        };
        says(annotations, FLOWS).unwrap_or_else(of_class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_whose_sockets_are_not_seen() {
        let classes = ["kata*".to_owned(), "gvisor".to_owned()];
        let check = |choice: &ZtunnelChoice, annotation: Option<&str>, class, expected| {
            let annotation = annotation.map(|value| (FLOWS.to_owned(), value.to_owned()));
            let found = choice.shows(&annotation.into_iter().collect(), class);
            assert_eq!(found, expected, "{class:?}");
        };
        let flows = ZtunnelChoice::flows(&classes);
        check(&flows, None, None, false);
        check(&flows, None, Some("runc"), false);
        check(&flows, None, Some("kata-qemu"), true);
        check(&flows, None, Some("gvisor"), true);
        check(&flows, Some("false"), Some("gvisor"), false);
        check(&flows, Some("true"), None, true);
        for choice in [ZtunnelChoice::identity(), ZtunnelChoice::default()] {
            check(&choice, Some("true"), Some("gvisor"), false);
        }
    }
}
