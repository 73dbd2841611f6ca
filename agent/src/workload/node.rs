//! The node's own addresses: what a kubelet's probe may come from.
//!
//! | address | from |
//! |---|---|
//! | `status.hostIPs` of this node's pods | the Kubernetes API |
//! | those of the agent's own network | the kernel: all of the node's when the agent is on the node's network; in a pod they are the agent's |
//! | the gateway of the agent's own network | the kernel: the node's end of a pod's network (a bridge, a veth pair) |
//! | 169.254.7.127, fd16:9254:7127:1337:ffff:ffff:ffff:ffff | istio-cni: what it gives all of the node that talks to a pod of an ambient mesh |
//!
//! The gateway of a network counts only in a pod: on the node it is a router, and may stand for
//! anyone. Nothing here says who on the node it is.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What istio-cni rewrites the source of every socket of the node to (`HOST_PROBE_SNAT_IP` and its
/// IPv6 peer).
const MESH: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 7, 127)),
    IpAddr::V6(Ipv6Addr::new(
        0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff,
    )),
];

/// What the agent sees of its own network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnNetwork {
    addresses: HashSet<IpAddr>,
    gateways: HashSet<IpAddr>,
}

impl OwnNetwork {
    /// As the kernel shows it now (proc(5), `/proc/net`). What cannot be read is not known.
    pub(crate) fn read() -> Self {
        let text = |file: &str| fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        Self {
            addresses: local_v4(&text("fib_trie"))
                .chain(local_v6(&text("if_inet6")))
                .filter(|ip| !ip.is_loopback())
                .collect(),
            gateways: gateways_v4(&text("route"))
                .chain(gateways_v6(&text("ipv6_route")))
                .collect(),
        }
    }
}

/// The node's addresses.
#[derive(Debug, Default)]
pub(crate) struct NodeAddresses {
    /// As the API gives them.
    reported: HashSet<IpAddr>,
    own: OwnNetwork,
}

impl NodeAddresses {
    /// The API reports addresses of this node.
    pub(crate) fn report(&mut self, addresses: &[IpAddr]) {
        self.reported.extend(addresses);
    }

    /// The API reports no others than these.
    pub(crate) fn report_all(&mut self, addresses: HashSet<IpAddr>) {
        self.reported = addresses;
    }

    /// The agent's own network is so.
    pub(crate) fn set_own(&mut self, own: OwnNetwork) {
        self.own = own;
    }

    /// Is this the node? What a mesh gives it is an address like others where no pod's socket has
    /// it at its other end.
    pub(crate) fn contain(&self, ip: IpAddr, is_at_pod: bool) -> bool {
        (is_at_pod && MESH.contains(&ip))
            || self.reported.contains(&ip)
            || (!self.is_in_pod() && self.own.addresses.contains(&ip))
            || (self.is_in_pod() && self.own.gateways.contains(&ip))
    }

    /// Is this the agent's alone?
    pub(crate) fn is_agent(&self, ip: IpAddr) -> bool {
        self.is_in_pod() && self.own.addresses.contains(&ip)
    }

    /// The agent has a network of its own on this node.
    fn is_in_pod(&self) -> bool {
        !self.reported.is_empty() && self.reported.is_disjoint(&self.own.addresses)
    }
}

/// `|-- ADDRESS` and, below it, `/32 host LOCAL`.
fn local_v4(fib_trie: &str) -> impl Iterator<Item = IpAddr> {
    let mut address = None;
    fib_trie.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse().ok();
            return None;
        }
        let is_local = line.starts_with("/32") && line.ends_with("LOCAL");
        address.filter(|_| is_local)
    })
}

/// `ADDRESS` in hexadecimal first.
fn local_v6(if_inet6: &str) -> impl Iterator<Item = IpAddr> {
    if_inet6
        .lines()
        .filter_map(|line| v6(line.split_whitespace().next()?))
}

/// `IFACE DESTINATION GATEWAY …`: 32-bit words of network order, printed as the machine's.
fn gateways_v4(route: &str) -> impl Iterator<Item = IpAddr> {
    route.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let word = |text| u32::from_str_radix(text, 16).ok();
        let gateway = word(gateway).filter(|gateway| *gateway != 0)?;
        (word(destination)? == 0).then(|| IpAddr::from(gateway.to_ne_bytes()))
    })
}

/// `DESTINATION LENGTH SOURCE LENGTH NEXT-HOP …`, in hexadecimal.
fn gateways_v6(route: &str) -> impl Iterator<Item = IpAddr> {
    route.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().take(5).collect();
        let [_, "00", _, _, next_hop] = fields[..] else {
            return None;
        };
        v6(next_hop).filter(|hop| !hop.is_unspecified())
    })
}

fn v6(hex: &str) -> Option<IpAddr> {
    let bits = u128::from_str_radix(hex, 16).ok()?;
    (hex.len() == 32).then(|| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.244.1.0\n        /24 link UNICAST\n\
        Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.244.1.7\n        /32 host LOCAL\n     |-- 10.244.1.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";

    fn ips(texts: &[&str]) -> HashSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_the_kernel_shows() {
        let found: HashSet<_> = local_v4(TRIE).collect();
        assert_eq!(found, ips(&["10.244.1.7", "127.0.0.1"]));
        let table = "fd000000000000000000000000000007 02 40 00 80     eth0\nbroken\n";
        assert_eq!(local_v6(table).collect::<HashSet<_>>(), ips(&["fd00::7"]));
        // 10.244.1.1 in network order.
        let word = u32::from_ne_bytes([10, 244, 1, 1]);
        let table = format!(
            "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t{word:08X}\t0003\neth0\t0001F40A\t00000000\t0001\n"
        );
        assert_eq!(
            gateways_v4(&table).collect::<HashSet<_>>(),
            ips(&["10.244.1.1"])
        );
        let none = "0".repeat(32);
        let hop = "fd000000000000000000000000000001";
        let table = format!(
            "{none} 00 {none} 00 {hop} 00000400 1 0 3 eth0\n{none} 00 {none} 00 {none} ffffffff 1 0 200200 lo\n{hop} 40 {none} 00 {hop} 1\n"
        );
        assert_eq!(
            gateways_v6(&table).collect::<HashSet<_>>(),
            ips(&["fd00::1"])
        );
        // The test's own network has an address or none, and is read without an error.
        assert!(
            !OwnNetwork::read()
                .addresses
                .contains(&IpAddr::from([127, 0, 0, 1]))
        );
    }

    #[track_caller]
    fn check(reported: &[&str], ip: &str, expected: bool) {
        let mut node = NodeAddresses::default();
        node.report_all(ips(reported));
        node.set_own(OwnNetwork {
            addresses: ips(&["10.244.1.7"]),
            gateways: ips(&["10.244.1.1"]),
        });
        let ip = ip.parse().unwrap();
        assert_eq!(node.contain(ip, true), expected, "{reported:?} {ip}");
        let is_mesh = MESH.contains(&ip);
        assert_eq!(node.contain(ip, false), expected && !is_mesh, "{ip}");
        let is_agent = reported == ["192.0.2.1"] && ip == IpAddr::from([10, 244, 1, 7]);
        assert_eq!(node.is_agent(ip), is_agent, "{reported:?} {ip}");
    }

    #[test]
    fn what_is_the_node() {
        let mesh = ["169.254.7.127", "fd16:9254:7127:1337:ffff:ffff:ffff:ffff"];
        for ip in mesh {
            check(&[], ip, true);
        }
        check(&[], "169.254.7.128", false);
        check(&["192.0.2.1"], "192.0.2.1", true);
        check(&["192.0.2.1"], "192.0.2.2", false);
        check(&["192.0.2.1"], "10.244.1.1", true);
        check(&["192.0.2.1"], "10.244.1.7", false);
        check(&["192.0.2.1", "10.244.1.7"], "10.244.1.7", true);
        check(&[], "10.244.1.7", true);
        // On the node's own network the gateway is a router, also while the API has said nothing.
        check(&["192.0.2.1", "10.244.1.7"], "10.244.1.1", false);
        check(&[], "10.244.1.1", false);
    }
}
