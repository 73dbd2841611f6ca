//! What part a pod plays in a mesh, and which of its traffic is the mesh's own. Pure.
//!
//! A proxy talks to itself: its agent asks its admin interface, passes on the kubelet's probes, and
//! serves its own metrics. That is no traffic of the mesh's users, and it is excluded and counted
//! ([`is_internal`]).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::watch::objects::PodSpec;

/// Set by the sidecar injector.
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";
/// Set by istio-cni on a pod whose traffic goes through ztunnel.
const REDIRECTION: &str = "ambient.istio.io/redirection";
/// Container of a sidecar, a gateway, a waypoint, and of ztunnel.
const PROXY: &str = "istio-proxy";
/// Ports of a proxy itself (istio.io, "Ports used by Istio"): Envoy's admin interface, merged
/// metrics and the agent's health, the kubelet's probes, Envoy's metrics.
const PROXY_PORTS: [u16; 4] = [15000, 15020, 15021, 15090];

/// What part a pod plays in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// None of its own, whether or not it is in the mesh.
    Application,
    /// An application beside a proxy that all its traffic goes through.
    Sidecar,
    /// A gateway or a waypoint: an application in its own right.
    Gateway,
    /// The node's proxy: what it carries is emitted at the applications.
    Ztunnel,
}

impl Role {
    /// The role of a pod. The name `istio-proxy` alone says nothing: ztunnel's container has it as
    /// well.
    pub(crate) fn of(
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        spec: &PodSpec,
    ) -> Self {
        if labels.get("app").is_some_and(|app| app == "ztunnel") {
            return Self::Ztunnel;
        }
        let mut regular = spec.containers.iter().map(|container| &*container.name);
        let mut native = spec
            .init_containers
            .iter()
            .map(|container| &*container.name);
        let has_proxy =
            regular.clone().any(|name| name == PROXY) || native.any(|name| name == PROXY);
        if !has_proxy {
            return Self::Application;
        }
        // A gateway made from the injector's template has the annotation, too, but nothing beside
        // its proxy.
        if annotations.contains_key(SIDECAR_STATUS) && regular.any(|name| name != PROXY) {
            return Self::Sidecar;
        }
        if spec.containers.len() == 1 {
            Self::Gateway
        } else {
            Self::Application
        }
    }

    /// Is the traffic of such a pod authenticated by the mesh?
    pub(crate) fn is_in_mesh(self, annotations: &BTreeMap<String, String>) -> bool {
        matches!(self, Self::Sidecar | Self::Gateway)
            || annotations
                .get(REDIRECTION)
                .is_some_and(|value| value == "enabled")
    }

    /// Is this container a proxy whose exchanges are emitted at the applications?
    pub(crate) fn is_transparent_proxy(self, container: Option<&str>) -> bool {
        match self {
            Self::Ztunnel => true,
            Self::Sidecar => container == Some(PROXY),
            Self::Application | Self::Gateway => false,
        }
    }

    /// Is this container a proxy that is a server or a client in its own right?
    pub(crate) fn is_gateway_proxy(self, container: Option<&str>) -> bool {
        self == Self::Gateway && container == Some(PROXY)
    }
}

/// Is a request at a socket of a gateway's or waypoint's proxy its own business? `server` is the
/// end that responds, `peer` the socket's other end. A waypoint that ztunnel hands traffic to over
/// loopback gets a PROXY protocol preamble with it (`is_proxied`): that is the mesh's traffic.
pub(crate) fn is_internal(server_port: u16, peer: IpAddr, is_proxied: bool) -> bool {
    PROXY_PORTS.contains(&server_port) || (peer.is_loopback() && !is_proxied)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::pod::tests::pod;
    use super::*;

    #[track_caller]
    fn check(labels: Value, annotations: Value, containers: [&[&str]; 2], expected: Role) {
        let named =
            |names: &[&str]| -> Vec<_> { names.iter().map(|n| json!({"name": n})).collect() };
        let pod = pod(json!({
            "metadata": {"name": "p", "uid": "u", "labels": labels, "annotations": annotations},
            "spec": {"containers": named(containers[0]), "initContainers": named(containers[1])},
        }));
        assert_eq!(pod.role, expected);
    }

    #[test]
    fn roles() {
        let injected = || json!({"sidecar.istio.io/status": "{}"});
        let none = || json!({});
        check(none(), none(), [&["app"], &[]], Role::Application);
        let ztunnel = json!({"app": "ztunnel"});
        check(ztunnel, none(), [&["istio-proxy"], &[]], Role::Ztunnel);
        check(
            none(),
            injected(),
            [&["app", "istio-proxy"], &["istio-init"]],
            Role::Sidecar,
        );
        check(
            none(),
            injected(),
            [&["app"], &["istio-init", "istio-proxy"]],
            Role::Sidecar,
        );
        check(none(), injected(), [&["istio-proxy"], &[]], Role::Gateway);
        let waypoint = json!({"gateway.istio.io/managed": "istio.io-mesh-controller"});
        check(waypoint, none(), [&["istio-proxy"], &[]], Role::Gateway);
        // Somebody's own container of that name.
        check(
            none(),
            none(),
            [&["app", "istio-proxy"], &[]],
            Role::Application,
        );
        check(none(), injected(), [&["app"], &[]], Role::Application);
    }

    #[test]
    fn only_the_proxy_of_a_sidecar_is_transparent() {
        assert!(Role::Sidecar.is_transparent_proxy(Some("istio-proxy")));
        assert!(!Role::Sidecar.is_transparent_proxy(Some("app")));
        assert!(!Role::Sidecar.is_transparent_proxy(None));
        assert!(Role::Ztunnel.is_transparent_proxy(None));
        assert!(!Role::Gateway.is_transparent_proxy(Some("istio-proxy")));
        assert!(Role::Gateway.is_gateway_proxy(Some("istio-proxy")));
        assert!(!Role::Gateway.is_gateway_proxy(Some("app")));
        assert!(!Role::Application.is_gateway_proxy(Some("istio-proxy")));
    }

    #[test]
    fn what_a_proxy_does_for_itself() {
        let internal = |port, peer: &str, is_proxied, expected| {
            let found = is_internal(port, peer.parse().unwrap(), is_proxied);
            assert_eq!(found, expected, "{port} {peer} {is_proxied}");
        };
        for port in [15000, 15020, 15021, 15090] {
            internal(port, "10.0.0.9", false, true);
            internal(port, "10.0.0.9", true, true);
        }
        internal(8080, "127.0.0.1", false, true);
        internal(8080, "::1", false, true);
        internal(8080, "127.0.0.1", true, false);
        internal(8080, "10.0.0.9", false, false);
        internal(15008, "10.0.0.9", false, false);
    }
}
