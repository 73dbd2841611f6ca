//! The service that a request is for, as its `Host` says where nothing else does. A host is the
//! client's word: it names a service within the destination's namespace, and no other workload.

use std::sync::Arc;

use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};

use super::labels::{Service, ServiceLabels, UNKNOWN};
use crate::hash::Keyed;
use crate::http::target::without_port;

/// Longest name of a host (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Hosts that were seen, and the services that they stand for.
#[derive(Debug)]
pub(super) struct Hosts {
    known: HashMap<HostKey, Arc<ServiceLabels>, Keyed>,
    limit: usize,
    /// Requests whose host found no room.
    overflowed: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HostKey {
    host: Box<[u8]>,
    namespace: Box<str>,
}

#[derive(Hash)]
struct HostRef<'a> {
    host: &'a [u8],
    namespace: &'a str,
}

impl Equivalent<HostKey> for HostRef<'_> {
    fn equivalent(&self, key: &HostKey) -> bool {
        *self.host == *key.host && *self.namespace == *key.namespace
    }
}

impl From<&HostRef<'_>> for HostKey {
    fn from(host: &HostRef<'_>) -> Self {
        Self {
            host: host.host.into(),
            namespace: host.namespace.into(),
        }
    }
}

impl Hosts {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            known: HashMap::default(),
            limit,
            overflowed: 0,
        }
    }

    /// The service of a host, as one in `namespace` means it. `None`: it is no name, or there is no
    /// room.
    pub(super) fn service(&mut self, host: &[u8], namespace: &str) -> Option<&Arc<ServiceLabels>> {
        let host = without_port(host);
        let is_full = self.known.len() >= self.limit;
        match self.known.entry_ref(&HostRef { host, namespace }) {
            EntryRef::Occupied(entry) => Some(entry.into_mut()),
            EntryRef::Vacant(entry) => {
                let service = service(host, namespace)?;
                if is_full {
                    self.overflowed += 1;
                    return None;
                }
                Some(entry.insert(ServiceLabels::new(service)))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) const fn overflowed(&self) -> u64 {
        self.overflowed
    }
}

/// What a host says. `name`, `name.namespace`, `name.namespace.svc` and
/// `name.namespace.svc.DOMAIN` are a service of the cluster (kubernetes.io, "DNS for Services and
/// Pods"), in `namespace` alone; any other name is what Istio makes of it: itself.
fn service(host: &[u8], namespace: &str) -> Option<Service> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > MAX_HOST || !host.iter().all(is_name) {
        return None;
    }
    let host = str::from_utf8(host).ok()?.trim_end_matches('.');
    let host = host.to_ascii_lowercase();
    let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if host.is_empty() || is_address {
        return None;
    }
    let is_known = namespace != UNKNOWN;
    let mut parts = host.splitn(3, '.');
    let (name, space, rest) = (parts.next()?, parts.next(), parts.next());
    let is_service = rest.is_none_or(|rest| rest == "svc" || rest.starts_with("svc."));
    match space {
        None if is_known => Some(of(name, namespace, None)),
        Some(space) if is_service && space == namespace => {
            let domain = rest.and_then(|rest| rest.strip_prefix("svc."));
            Some(of(name, namespace, domain))
        }
        _ => Some(Service {
            host: host.as_str().into(),
            name: host.as_str().into(),
            namespace: namespace.into(),
        }),
    }
}

/// A service of the cluster.
fn of(name: &str, namespace: &str, domain: Option<&str>) -> Service {
    let domain = domain.unwrap_or("cluster.local");
    Service {
        host: format!("{name}.{namespace}.svc.{domain}").into(),
        name: name.into(),
        namespace: namespace.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, namespace: &str, expected: Option<(&str, &str)>) {
        let mut hosts = Hosts::new(10);
        let found = hosts.service(host.as_bytes(), namespace);
        let found = found.map(|service| (&*service.value().host, &*service.value().name));
        assert_eq!(found, expected, "{host}");
    }

    #[test]
    fn what_a_host_means() {
        let cart = Some(("cart.shop.svc.cluster.local", "cart"));
        for host in [
            "cart",
            "cart:8080",
            "CART.shop",
            "cart.shop.svc",
            "cart.shop.svc.cluster.local.",
        ] {
            check(host, "shop", cart);
        }
        check(
            "cart.shop.svc.k8s.test",
            "shop",
            Some(("cart.shop.svc.k8s.test", "cart")),
        );
        // Of another namespace: only a name.
        check(
            "cart.shop.svc",
            "other",
            Some(("cart.shop.svc", "cart.shop.svc")),
        );
        check(
            "www.example.com",
            "shop",
            Some(("www.example.com", "www.example.com")),
        );
        check("cart", UNKNOWN, Some(("cart", "cart")));
        for host in [
            "",
            "10.0.0.1:80",
            "[::1]:80",
            "a b",
            "a\"b",
            &"a".repeat(254),
        ] {
            check(host, "shop", None);
        }
    }

    #[test]
    fn hosts_are_bounded() {
        let mut hosts = Hosts::new(3);
        let found = (0..10).filter(|n| hosts.service(format!("h{n}").as_bytes(), "x").is_some());
        assert_eq!(found.count(), 3);
        assert_eq!((hosts.len(), hosts.overflowed()), (3, 7));
        assert!(hosts.service(b"h0", "x").is_some());
    }
}
