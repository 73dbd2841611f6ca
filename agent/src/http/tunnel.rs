//! What opens a tunnel, and what a CONNECT says of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{RequestHead, ResponseHead};
use crate::flow::{TunnelClaims, TunnelSource};

/// Kubernetes' names have at most so many characters (RFC 1123 §2.1), and its labels' values less.
const MAX_NAME: usize = 253;
/// Members of a `baggage` that are looked at; ztunnel sends eight.
const MAX_MEMBERS: usize = 64;

/// Addresses and workloads that it names. What is neither says nothing here.
pub(crate) fn claims(head: &RequestHead) -> TunnelClaims {
    let target = head.host().and_then(text);
    let target = target.and_then(|authority| authority.parse::<SocketAddr>().ok());
    TunnelClaims {
        target: target.map(Into::into),
        forwarded: head.fields.get("forwarded").and_then(forwarded),
        source: head.fields.get("baggage").and_then(source),
    }
}

/// The workload that HBONE's `baggage` (W3C Baggage §3.2) names: `k8s.namespace.name=shop,
/// k8s.deployment.name=web,service.name=web`.
fn source(value: &[u8]) -> Option<Arc<TunnelSource>> {
    let mut source = TunnelSource::default();
    for member in text(value)?.split(',').take(MAX_MEMBERS) {
        // What follows a semicolon is about the member.
        let pair = member.split(';').next().unwrap_or_default();
        let Some((key, value)) = pair.split_once('=') else {
            continue;
        };
        let Some(value) = name(value.trim()) else {
            continue;
        };
        match key.trim() {
            "k8s.cluster.name" => source.cluster = Some(value),
            "k8s.namespace.name" => source.namespace = Some(value),
            "service.name" => source.service = Some(value),
            "service.version" => source.version = Some(value),
            key => {
                let kind = key
                    .strip_prefix("k8s.")
                    .and_then(|key| key.strip_suffix(".name"));
                if let Some(kind) = kind.and_then(name) {
                    (source.kind, source.workload) = (Some(kind), Some(value));
                }
            }
        }
    }
    (source != TunnelSource::default()).then(|| Arc::new(source))
}

/// What Kubernetes allows as a name or a label's value.
fn name(text: &str) -> Option<Box<str>> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_name = (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_allowed);
    is_name.then(|| text.into())
}

/// The address of the first `for` (RFC 7239 §4, §6): `for=192.0.2.43`, `For="[2001:db8::1]:4711"`.
fn forwarded(value: &[u8]) -> Option<IpAddr> {
    let first = text(value)?.split(',').next()?;
    let node = first.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim())
    })?;
    let node = node
        .strip_prefix('"')
        .and_then(|node| node.strip_suffix('"'))
        .unwrap_or(node);
    let bare = node
        .strip_prefix('[')
        .and_then(|node| node.strip_suffix(']'));
    let address = bare.unwrap_or(node).parse::<IpAddr>().ok();
    address.or_else(|| Some(node.parse::<SocketAddr>().ok()?.ip()))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The response switches its connection to the protocol of this name (RFC 9110 §7.8).
pub(crate) fn switches_to(head: &ResponseHead, protocol: &[u8]) -> bool {
    let names_it = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(protocol);
    head.status == 101 && head.fields.get_all("upgrade").any(names_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_tunnel_is_for() {
        let check = |value: &str, expected: Option<&str>| {
            let found = forwarded(value.as_bytes()).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{value}");
        };
        check("for=192.0.2.43", Some("192.0.2.43"));
        check(
            "proto=http; For=192.0.2.43:80 ;by=10.0.0.1",
            Some("192.0.2.43"),
        );
        check(
            r#"for="[2001:db8::1]:4711", for=192.0.2.1"#,
            Some("2001:db8::1"),
        );
        check(r#"for="[2001:db8::1]""#, Some("2001:db8::1"));
        check("for=_hidden", None);
        check("for=unknown, for=192.0.2.1", None);
        check("by=192.0.2.1", None);
        check("", None);
        check("for", None);
        assert_eq!(forwarded(b"for=\xff"), None);
    }

    #[test]
    fn whose_tunnel_it_is() {
        let check = |value: &str, expected: &[(&str, &str)]| {
            let found = source(value.as_bytes());
            let found: Vec<_> = found.iter().flat_map(|source| source.iter()).collect();
            assert_eq!(found, expected, "{value}");
        };
        check(
            "k8s.cluster.name=c1,k8s.namespace.name=shop,k8s.deployment.name=web,service.name=web,\
             service.version=v1.2,cloud.region=,cloud.availability_zone=eu-1a",
            &[
                ("cluster", "c1"),
                ("namespace", "shop"),
                ("kind", "deployment"),
                ("workload", "web"),
                ("service", "web"),
                ("version", "v1.2"),
            ],
        );
        check(
            " k8s.namespace.name = shop ;p=1 , k8s.pod.name=a",
            &[("namespace", "shop"), ("kind", "pod"), ("workload", "a")],
        );
        // No names: nothing of a request that is none of these goes any further.
        check(
            "k8s.namespace.name=a b,service.name=%20,service.version=",
            &[],
        );
        check(&format!("service.name={}", "a".repeat(254)), &[]);
        check("k8s..name=x,k8s.name=x,password=secret,k8s.a/b.name=c", &[]);
        check("", &[]);
        check(",,=,;", &[]);
        check(&format!("{}service.name=late", "a=b,".repeat(64)), &[]);
        assert_eq!(source(b"service.name=\xff"), None);
    }
}
