//! The probes and lifecycle hooks that a pod's spec declares, as the requests that its containers
//! get. Pure.
//!
//! | declared | who sends it | request |
//! |---|---|---|
//! | `startupProbe`, `livenessProbe`, `readinessProbe`: `httpGet` | kubelet | `GET` of `path` at `port`, with `httpHeaders` |
//! | the same: `grpc` | kubelet | `POST /grpc.health.v1.Health/Check` at `port` |
//! | `lifecycle.postStart`, `lifecycle.preStop`: `httpGet` | kubelet | as a probe's |
//! | `ISTIO_KUBE_APP_PROBERS` of the sidecar | the sidecar, for the kubelet | the application's own, before the injector rewrote it |
//!
//! The injector rewrites an application's probes to `/app-health/CONTAINER/livez` and the like at
//! the sidecar's port (15020, 15021), and keeps the original in that variable of the sidecar's
//! container (istio.io, "Health Checking of Istio Services"). Probes with `scheme: HTTPS` are no
//! plain text at a socket, and `tcpSocket` and `exec` send none.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::watch::objects::{ContainerSpec, Handler, HttpGet};
use crate::http::RequestHead;

/// Probes kept of one pod: five of each of a dozen containers. The API has no bound but the size of
/// an object.
const MAX_PROBES: usize = 64;
/// What a kubelet's gRPC probe calls (grpc.health.v1).
const GRPC_PATH: &[u8] = b"/grpc.health.v1.Health/Check";
/// How a kubelet names itself in a probe that declares no other `User-Agent`.
pub(crate) const USER_AGENT: &[u8] = b"kube-probe/";
/// Fields that Envoy adds to every request that it passes on, whatever the client sent.
const ENVOY: [&str; 2] = ["x-request-id", "x-forwarded-proto"];

/// Who sends a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prober {
    /// The kubelet, from the node.
    Kubelet,
    /// The pod's sidecar, on behalf of the kubelet.
    Sidecar,
}

/// The value of a declared header field: it may be a credential, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
struct Hidden(Box<[u8]>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Probe {
    prober: Prober,
    port: u16,
    method: &'static [u8],
    /// The request-target, as it is sent.
    target: Box<[u8]>,
    /// Names in lower case.
    headers: Vec<(Box<str>, Hidden)>,
}

/// The probes of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probes(Vec<Probe>);

impl Probes {
    /// What the containers of a pod declare.
    pub(crate) fn declared<'a>(containers: impl Iterator<Item = &'a ContainerSpec>) -> Self {
        let mut probes = Self::default();
        for container in containers {
            for handler in container.handlers() {
                probes.add(Prober::Kubelet, handler, container);
            }
            let original = container.environment.app_probers.as_deref();
            for handler in original.map_or_else(Vec::new, app_probers) {
                probes.add(Prober::Sidecar, &handler, container);
            }
        }
        probes
    }

    fn add(&mut self, prober: Prober, handler: &Handler, container: &ContainerSpec) {
        if self.0.len() >= MAX_PROBES {
            return;
        }
        let probe = match (&handler.http_get, &handler.grpc) {
            (Some(get), _) => http(prober, get, container),
            (None, Some(grpc)) => u16::try_from(grpc.port).ok().map(|port| Probe {
                prober,
                port,
                method: b"POST",
                target: GRPC_PATH.into(),
                headers: Vec::new(),
            }),
            (None, None) => None,
        };
        self.0.extend(probe.filter(|probe| !self.0.contains(probe)));
    }

    /// Is this a request that the spec has the kubelet make?
    pub(crate) fn declare(&self, port: u16, head: &RequestHead) -> bool {
        self.matches(Prober::Kubelet, port, head)
    }

    /// Is this one that the spec has the pod's sidecar make for the kubelet? What comes from
    /// outside by way of the sidecar's Envoy has fields that Envoy adds; the sidecar passes the
    /// kubelet's name on.
    pub(crate) fn declare_to_sidecar(&self, port: u16, head: &RequestHead) -> bool {
        let is_kubelet = |agent: &[u8]| agent.starts_with(USER_AGENT);
        self.matches(Prober::Sidecar, port, head)
            && head.fields.get("user-agent").is_some_and(is_kubelet)
            && ENVOY.iter().all(|name| head.fields.get(name).is_none())
    }

    fn matches(&self, prober: Prober, port: u16, head: &RequestHead) -> bool {
        self.0.iter().any(|probe| {
            probe.prober == prober
                && probe.port == port
                && *probe.target == *head.target()
                && probe.method == head.method()
                && probe.has_headers(head)
        })
    }
}

impl Probe {
    fn has_headers(&self, head: &RequestHead) -> bool {
        self.headers.iter().all(|(name, value)| {
            let mut sent = head.fields.get_all(name);
            sent.any(|sent| sent.trim_ascii() == &*value.0)
        })
    }
}

fn http(prober: Prober, get: &HttpGet, container: &ContainerSpec) -> Option<Probe> {
    if get.scheme.as_deref().is_some_and(|scheme| scheme != "HTTP") {
        return None;
    }
    let headers = get.http_headers.iter().map(|field| {
        let value = field.value.as_bytes().trim_ascii();
        (field.name.to_ascii_lowercase().into(), Hidden(value.into()))
    });
    Some(Probe {
        prober,
        port: port(&get.port, container)?,
        method: b"GET",
        target: target(get.path.as_deref().unwrap_or_default()),
        headers: headers.collect(),
    })
}

/// A name stands for a port of the same container; a kubelet also takes a number in quotes.
fn port(port: &IntOrString, container: &ContainerSpec) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = container.ports.iter().find(|port| port.name == *name);
            let number =
                named.map_or_else(|| name.parse().ok(), |port| Some(port.container_port))?;
            u16::try_from(number).ok()
        }
    }
}

/// What a kubelet makes of a path: with a slash before it, without a fragment, and with what a URL
/// must not have escaped (net/url).
fn target(path: &str) -> Box<[u8]> {
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    let mut target = Vec::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push(b'/');
    }
    for byte in path.bytes() {
        let must_not = byte <= b' ' || byte >= 0x7f || br#""<>\^`{|}"#.contains(&byte);
        if must_not {
            target.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            target.push(byte);
        }
    }
    target.into()
}

/// `{"/app-health/CONTAINER/livez": {"httpGet": …}, …}`. What cannot be read declares nothing.
fn app_probers(json: &str) -> Vec<Handler> {
    let probers: Result<BTreeMap<String, Handler>, _> = serde_json::from_str(json);
    probers.unwrap_or_default().into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::fixture;

    fn probes(containers: Value) -> Probes {
        let containers: Vec<ContainerSpec> = serde_json::from_value(containers).unwrap();
        Probes::declared(containers.iter())
    }

    /// Whether a request is the kubelet's or the sidecar's, as `"kubelet"`, `"sidecar"` or `""`.
    #[track_caller]
    fn check(containers: Value, port: u16, request: &str, expected: &str) {
        let probes = probes(containers);
        let exchange = fixture::exchange(format!("{request}\r\n"), "HTTP/1.1 200 X\r\n\r\n");
        let head = &exchange.request.head;
        let found = match (
            probes.declare(port, head),
            probes.declare_to_sidecar(port, head),
        ) {
            (true, false) => "kubelet",
            (false, true) => "sidecar",
            (false, false) => "",
            (true, true) => "both",
        };
        assert_eq!(found, expected, "{port} {request}");
    }

    fn one(handler: Value) -> Value {
        json!([{"name": "app", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}], "readinessProbe": handler}])
    }

    #[test]
    fn port_path_and_method() {
        let get = one(json!({"httpGet": {"path": "/healthz", "port": 8080}}));
        check(get.clone(), 8080, "GET /healthz HTTP/1.1\r\n", "kubelet");
        check(get.clone(), 8081, "GET /healthz HTTP/1.1\r\n", "");
        check(get.clone(), 8080, "GET /healthz?x HTTP/1.1\r\n", "");
        check(get.clone(), 8080, "GET /healthz/ HTTP/1.1\r\n", "");
        check(get, 8080, "POST /healthz HTTP/1.1\r\n", "");
        // Without a path it is the root; with a query, and odd characters.
        let get = |path: Value| one(json!({"httpGet": {"path": path, "port": 8080}}));
        for (path, target) in [
            (Value::Null, "/"),
            (json!(""), "/"),
            (json!("ready"), "/ready"),
            (json!("/ready?deep=1#no"), "/ready?deep=1"),
            (json!("/a b\u{e9}%20"), "/a%20b%C3%A9%20"),
        ] {
            check(
                get(path),
                8080,
                &format!("GET {target} HTTP/1.1\r\n"),
                "kubelet",
            );
        }
    }

    #[test]
    fn every_kind_of_handler() {
        let get = json!({"httpGet": {"path": "/x", "port": 8080}});
        let request = "GET /x HTTP/1.1\r\n";
        for key in ["startupProbe", "livenessProbe", "readinessProbe"] {
            check(json!([{"name": "a", key: get}]), 8080, request, "kubelet");
        }
        for key in ["postStart", "preStop"] {
            let container = json!([{"name": "a"}, {"name": "b", "lifecycle": {key: get}}]);
            check(container, 8080, request, "kubelet");
        }
        for other in [
            json!({"tcpSocket": {"port": 8080}}),
            json!({"exec": {"command": ["/x"]}}),
            json!({"httpGet": {"path": "/x", "port": 8080, "scheme": "HTTPS"}}),
            Value::Null,
        ] {
            check(one(other), 8080, request, "");
        }
        let grpc = one(json!({"grpc": {"port": 8080, "service": "x"}}));
        let call = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\n";
        check(grpc, 8080, call, "kubelet");
    }

    #[test]
    fn named_ports() {
        for (port, number) in [
            (json!("http"), 8080),
            (json!("8081"), 8081),
            (json!(8082), 8082),
        ] {
            let get = one(json!({"httpGet": {"path": "/x", "port": port}}));
            check(get, number, "GET /x HTTP/1.1\r\n", "kubelet");
        }
        // Another container's name, and what is no port.
        for port in [json!("admin"), json!(70_000), json!(-1)] {
            let get = one(json!({"httpGet": {"path": "/x", "port": port}}));
            assert_eq!(probes(get), Probes::default());
        }
    }

    #[test]
    fn declared_headers_must_be_there() {
        let get = one(
            json!({"httpGet": {"path": "/x", "port": 8080, "httpHeaders": [
                {"name": "Host", "value": "probe.local"}, {"name": "X-Token", "value": "s3cret"},
            ]}}),
        );
        let request = |fields: &str| format!("GET /x HTTP/1.1\r\n{fields}");
        let both = request("host: probe.local\r\nx-token: s3cret\r\n");
        check(get.clone(), 8080, &both, "kubelet");
        check(get.clone(), 8080, &request("host: probe.local\r\n"), "");
        let other = request("host: probe.local\r\nx-token: other\r\n");
        check(get.clone(), 8080, &other, "");
        assert!(!format!("{:?}", probes(get)).contains("s3cret"));
    }

    #[test]
    fn what_the_injector_rewrote() {
        let original = json!({
            "/app-health/app/livez": {"httpGet": {"path": "/live", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1},
            "/app-health/app/readyz": {"tcpSocket": {"port": 8080}},
        });
        let containers = json!([
            {"name": "app", "livenessProbe": {"httpGet": {"path": "/app-health/app/livez", "port": 15020}}},
            {"name": "istio-proxy", "env": [
                {"name": "TOKEN", "value": "s3cret"},
                {"name": "ISTIO_KUBE_APP_PROBERS", "value": original.to_string()},
            ]},
        ]);
        let live = "GET /live HTTP/1.1\r\n";
        let kubelet = "user-agent: kube-probe/1.34\r\n";
        check(
            containers.clone(),
            8080,
            &format!("{live}{kubelet}"),
            "sidecar",
        );
        check(containers.clone(), 8080, live, "");
        // What a client sends by way of Envoy.
        for field in ["x-request-id: 1\r\n", "x-forwarded-proto: http\r\n"] {
            let request = format!("{live}{kubelet}{field}");
            check(containers.clone(), 8080, &request, "");
        }
        let rewritten = "GET /app-health/app/livez HTTP/1.1\r\n";
        check(containers, 15020, rewritten, "kubelet");
        let broken = json!([{"name": "istio-proxy", "env": [{"name": "ISTIO_KUBE_APP_PROBERS", "value": "{"}]}]);
        assert_eq!(probes(broken), Probes::default());
    }

    #[test]
    fn they_are_bounded() {
        let containers: Vec<_> = (1..200)
            .map(|port| json!({"name": "a", "livenessProbe": {"httpGet": {"port": port}}}))
            .collect();
        assert_eq!(probes(json!(containers)).0.len(), MAX_PROBES);
    }
}
