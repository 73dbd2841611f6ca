//! Who is at the other end: as proxies before a server's socket say, else as the socket itself
//! knows.

use std::io::Write as _;
use std::net::IpAddr;

use super::attributes::push_text;
use crate::flow::{Endpoint, Side};
use crate::redact::{Known, Sanitized};

/// Appends the address of the peer.
///
/// At the server's side, the pod of `x-envoy-peer-metadata-id` (`sidecar~IP~POD.NAMESPACE~…`) goes
/// before the first of `x-forwarded-for`, `x-envoy-external-address` and `x-real-ip` that is there,
/// and those before the socket. Headers speak of who called; at the client's side the peer is the
/// server that was dialled, which the socket knows.
pub(super) fn write(out: &mut Vec<u8>, sanitized: &Sanitized) {
    match claimed(sanitized) {
        Some(peer) => push_text(out, peer),
        None => push_ip(out, socket(sanitized).ip()),
    }
}

/// The client's address as headers claim it, or its pod.
fn claimed(sanitized: &Sanitized) -> Option<&[u8]> {
    if sanitized.exchange().peers.side == Side::Client {
        return None;
    }
    let metadata = sanitized.request_field(Known::PeerMetadataId).and_then(pod);
    metadata.or_else(|| forwarded(sanitized))
}

/// The client's address as headers claim it. Only of use at the server's side.
pub(super) fn forwarded(sanitized: &Sanitized) -> Option<&[u8]> {
    let value = |known| {
        let value = sanitized.request_field(known)?;
        let first = value.split(|&b| b == b',').next().unwrap_or(value);
        Some(first.trim_ascii()).filter(|first| !first.is_empty())
    };
    value(Known::ForwardedFor)
        .or_else(|| value(Known::ExternalAddress))
        .or_else(|| value(Known::RealIp))
}

/// `POD` of `sidecar~IP~POD.NAMESPACE~…`.
fn pod(id: &[u8]) -> Option<&[u8]> {
    let workload = id.split(|&b| b == b'~').nth(2)?;
    // A pod's name may have dots, a namespace's has none.
    let dot = workload.iter().rposition(|&b| b == b'.');
    let name = &workload[..dot.unwrap_or(workload.len())];
    (!name.is_empty()).then_some(name)
}

/// The other end of the socket; a client as a PROXY protocol preamble names it, which is a claim.
pub(super) fn socket(sanitized: &Sanitized) -> Endpoint {
    let peers = &sanitized.exchange().peers;
    match peers.side {
        Side::Server => *peers.caller(),
        Side::Client => peers.server,
    }
}

/// Appends an address.
pub(super) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (i, octet) in ip.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                if octet >= 100 {
                    out.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
        // Writing to memory does not fail.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    use super::*;
    use crate::flow::Peers;
    use crate::policy::fixture;
    use crate::redact::Config;
    use crate::redact::fixture::sanitize;

    fn check(side: Side, proxied: Option<&str>, headers: &str, expected: &str) {
        check_trust(side, (proxied, true), headers, expected);
    }

    fn check_trust(
        side: Side,
        (claimed, trusted): (Option<&str>, bool),
        headers: &str,
        expected: &str,
    ) {
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let mut exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
        let peers = Arc::make_mut(&mut exchange.peers);
        peers.side = side;
        peers.claimed_client = claimed.map(|ip| SocketAddr::new(ip.parse().unwrap(), 1).into());
        if trusted {
            Peers::trust_claim(&mut exchange.peers);
        }
        let kept = sanitize(&Config::default(), exchange);
        let mut out = Vec::new();
        write(&mut out, &kept);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{headers}");
    }

    #[test]
    fn the_first_header_that_is_there() {
        let all = "x-real-ip: 3.3.3.3\r\nx-envoy-external-address: 2.2.2.2\r\nx-forwarded-for: 1.1.1.1 , 9.9.9.9\r\n";
        check(Side::Server, None, all, "1.1.1.1");
        check(
            Side::Server,
            None,
            "x-real-ip: 3.3.3.3\r\nx-envoy-external-address: 2.2.2.2\r\n",
            "2.2.2.2",
        );
        check(Side::Server, None, "x-real-ip: 3.3.3.3\r\n", "3.3.3.3");
        check(
            Side::Server,
            None,
            "x-forwarded-for: \r\nx-real-ip: 3.3.3.3\r\n",
            "3.3.3.3",
        );
        check(
            Side::Server,
            None,
            &format!("{all}x-envoy-peer-metadata-id: sidecar~10.1.2.3~web-1.default~x\r\n"),
            "web-1",
        );
        check(
            Side::Server,
            None,
            "x-envoy-peer-metadata-id: sidecar~~web.v1.default~x\r\n",
            "web.v1",
        );
        check(
            Side::Server,
            None,
            &format!("{all}x-envoy-peer-metadata-id: odd\r\n"),
            "1.1.1.1",
        );
        check(
            Side::Server,
            None,
            &format!("{all}x-envoy-peer-metadata-id: a~b~~c\r\n"),
            "1.1.1.1",
        );
    }

    #[test]
    fn else_the_socket() {
        check(Side::Server, None, "", "10.0.0.9");
        check(Side::Client, None, "", "10.0.0.1");
        // A proxy's own request has headers that speak of who called the proxy.
        let headers = "x-forwarded-for: 203.0.113.9\r\nx-envoy-external-address: 2.2.2.2\r\nx-real-ip: 3.3.3.3\r\nx-envoy-peer-metadata-id: sidecar~10.1.2.3~web-1.default~x\r\n";
        check(Side::Client, None, headers, "10.0.0.1");
        check(Side::Client, Some("192.0.2.7"), headers, "10.0.0.1");
        check(Side::Server, Some("2001:db8::1"), "", "2001:db8::1");
        // Whoever connects can write a PROXY line.
        let forged = (Some("2001:db8::1"), false);
        check_trust(Side::Server, forged, "", "10.0.0.9");
        check(
            Side::Server,
            Some("192.0.2.7"),
            "x-real-ip: 3.3.3.3\r\n",
            "3.3.3.3",
        );
    }

    #[test]
    fn addresses() {
        for ip in ["0.0.0.0", "9.10.99.100", "255.254.101.209"] {
            let mut out = Vec::new();
            push_ip(&mut out, IpAddr::V4(ip.parse::<Ipv4Addr>().unwrap()));
            assert_eq!(String::from_utf8_lossy(&out), ip);
        }
    }
}
