//! Labels as text, under Istio's names.

use std::fmt::Write as _;
use std::sync::Arc;

use super::labels::{End, UNKNOWN};

/// Names of the labels of an end.
pub(super) struct Names {
    workload: &'static str,
    namespace: &'static str,
    principal: &'static str,
    app: &'static str,
    version: &'static str,
    canonical_service: &'static str,
    canonical_revision: &'static str,
    cluster: &'static str,
}

pub(super) const SOURCE: Names = Names {
    workload: "source_workload",
    namespace: "source_workload_namespace",
    principal: "source_principal",
    app: "source_app",
    version: "source_version",
    canonical_service: "source_canonical_service",
    canonical_revision: "source_canonical_revision",
    cluster: "source_cluster",
};

pub(super) const DESTINATION: Names = Names {
    workload: "destination_workload",
    namespace: "destination_workload_namespace",
    principal: "destination_principal",
    app: "destination_app",
    version: "destination_version",
    canonical_service: "destination_canonical_service",
    canonical_revision: "destination_canonical_revision",
    cluster: "destination_cluster",
};

/// Label after label.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        // Writing to memory does not fail.
        let _ = write!(self.0, "{name}=\"");
        for char in value.chars() {
            match char {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                char => self.0.push(char),
            }
        }
        self.0.push('"');
    }

    pub(super) fn end(&mut self, end: &End, names: &Names, is_mutual: bool) {
        let principal = end.principal.as_deref().filter(|_| is_mutual);
        self.add(names.workload, &end.workload);
        self.add(names.namespace, &end.namespace);
        self.add(names.principal, principal.unwrap_or(UNKNOWN));
        self.add(names.app, &end.app);
        self.add(names.version, &end.version);
        self.add(names.canonical_service, &end.canonical_service);
        self.add(names.canonical_revision, &end.canonical_revision);
        self.add(names.cluster, &end.cluster);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    pub(super) fn finish(self) -> Arc<str> {
        self.0.into()
    }
}
