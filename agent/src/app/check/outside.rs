//! What is asked of others: the Kubernetes API and the collectors.

use super::row::{Need, Row};
use crate::config::KubernetesSection;
use crate::workload::Access;

/// The rows of the API: whether it responds, the node's name, and each right.
pub(super) fn api(access: &Access, section: &KubernetesSection) -> Vec<Row> {
    let name = "kubernetes api";
    match access {
        Access::Off(reason) => vec![Row::idle(name, reason.clone())],
        Access::Unreachable(reason) => vec![Row::missing(
            name,
            Need::Feature,
            reason.clone(),
            "until it responds, pods are named by container ids",
        )],
        Access::Reached { version, rights } => {
            let mut rows = vec![Row::ok(name, version.clone()), node(section)];
            for (right, found) in rights {
                let name = format!("right {} {}", right.verb, right.resource);
                rows.push(match found {
                    Ok(true) => Row::ok(&name, "allowed"),
                    _ if !right.is_used => Row::idle(&name, "kubernetes.peers is not cluster"),
                    Ok(false) => Row::missing(
                        &name,
                        Need::Feature,
                        "not allowed to this service account",
                        "add it to the ClusterRole; deploy/README.md says what it is for",
                    ),
                    Err(error) => Row::missing(
                        &name,
                        Need::Feature,
                        format!("not known: {error}"),
                        "look at the API server",
                    ),
                });
            }
            rows
        }
    }
}

fn node(section: &KubernetesSection) -> Row {
    let name = "kubernetes.node";
    match &section.node {
        Some(node) => Row::ok(name, node.clone()),
        None => Row::missing(
            name,
            Need::Feature,
            "not set: pods of this node cannot be distinguished from others",
            "set MESHTAP_KUBERNETES__NODE from spec.nodeName",
        ),
    }
}

/// The row of a collector.
pub(super) fn collector(name: &str, greeting: &Result<String, String>) -> Row {
    let name = format!("collector {name}");
    match greeting {
        Ok(url) => Row::ok(&name, format!("{url} took a request without spans")),
        Err(error) => Row::missing(
            &name,
            Need::Feature,
            error.clone(),
            "look at the address, the protocol (4317: grpc, 4318: http/protobuf) and the credentials",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Presence;
    use super::*;
    use crate::workload::Right;

    const LESS: Presence = Presence::Missing(Need::Feature);

    fn presences(rows: &[Row]) -> Vec<Presence> {
        rows.iter().map(|row| row.presence).collect()
    }

    #[test]
    fn each_right_has_a_row() {
        let right = |resource, is_used| Right {
            group: "",
            verb: "list",
            resource,
            is_used,
        };
        let access = Access::Reached {
            version: "v1.34.3".to_owned(),
            rights: vec![
                (right("pods", true), Ok(true)),
                (right("namespaces", true), Ok(false)),
                (right("services", false), Ok(false)),
                (right("services", true), Err("timeout".to_owned())),
            ],
        };
        let section = KubernetesSection::default();
        let rows = api(&access, &section);
        let expected = [
            Presence::Ok,
            LESS,
            Presence::Ok,
            LESS,
            Presence::NotApplicable,
            LESS,
        ];
        assert_eq!(presences(&rows), expected);
        assert_eq!(rows[3].name, "right list namespaces");
        assert!(rows[5].why.contains("timeout"));
        let section = KubernetesSection {
            node: Some("worker-1".to_owned()),
            ..section
        };
        assert_eq!(api(&access, &section)[1].presence, Presence::Ok);
    }

    #[test]
    fn an_api_that_nobody_asks_is_not_missed() {
        let section = KubernetesSection::default();
        let rows = |access| presences(&api(&access, &section));
        let off = Access::Off("kubernetes.mode is off".to_owned());
        assert_eq!(rows(off), [Presence::NotApplicable]);
        let gone = Access::Unreachable("connection refused".to_owned());
        assert_eq!(rows(gone), [LESS]);
    }

    #[test]
    fn collectors() {
        let row = collector("otlp-0", &Ok("http://a:4317".to_owned()));
        assert_eq!(
            (row.presence, &*row.name),
            (Presence::Ok, "collector otlp-0")
        );
        let row = collector("otlp-0", &Err("connection refused".to_owned()));
        assert_eq!(row.presence, LESS);
        assert!(row.why.contains("refused"));
    }
}
