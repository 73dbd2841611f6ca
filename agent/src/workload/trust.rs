//! Whose word counts: proxies that the configuration says to trust. Pure.
//!
//! A PROXY protocol preamble and `x-forwarded-for` are claims: whoever connects can write them.
//! They say who is at the other end only where the one that connects is trusted, by its address or
//! by the labels of its pod. Without a rule nobody is.

use std::net::IpAddr;
use std::str::FromStr;

use super::config::TrustSection;
use super::selector::Selector;
use crate::exchange::Exchange;

/// The rules, compiled.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    proxies: Vec<Selector>,
    networks: Vec<Network>,
    sidecars: bool,
}

impl Trust {
    /// Compiles the rules.
    ///
    /// # Errors
    /// Names the key and what cannot be read of it.
    pub(crate) fn new(section: &TrustSection) -> Result<Self, String> {
        let selectors: Result<Vec<_>, _> =
            section.proxies.iter().map(|t| Selector::parse(t)).collect();
        let networks: Result<Vec<_>, _> = section.networks.iter().map(|t| t.parse()).collect();
        Ok(Self {
            proxies: selectors.map_err(|reason| format!("trust.proxies: {reason}"))?,
            networks: networks.map_err(|reason| format!("trust.networks: {reason}"))?,
            sidecars: section.sidecars,
        })
    }

    /// Nobody is trusted.
    pub(crate) const fn is_empty(&self) -> bool {
        self.proxies.is_empty() && self.networks.is_empty() && !self.sidecars
    }

    /// Labels of proxies that are pods.
    pub(crate) fn proxies(&self) -> &[Selector] {
        &self.proxies
    }

    /// A pod's own sidecar is trusted.
    pub(crate) const fn sidecars(&self) -> bool {
        self.sidecars
    }

    /// Is an address one of a trusted proxy?
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }
}

/// The client that the end that connects claims to speak for: of a PROXY protocol preamble, else
/// the last address of `x-forwarded-for`, which is the one that a proxy adds (its predecessors are
/// what the proxy was sent).
pub(crate) fn claimed_client(exchange: &Exchange) -> Option<IpAddr> {
    let proxied = exchange.peers.claimed_client.as_ref();
    proxied.map(|client| client.ip()).or_else(|| {
        let fields = &exchange.request.head.fields;
        last_address(fields.get_all("x-forwarded-for").last()?)
    })
}

fn last_address(value: &[u8]) -> Option<IpAddr> {
    let last = value.rsplit(|&byte| byte == b',').next()?;
    let text = str::from_utf8(last.trim_ascii()).ok()?;
    let ip: IpAddr = text.parse().ok()?;
    Some(ip.to_canonical())
}

/// An address, or all with the same beginning: `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32` (RFC
/// 4632, RFC 4291 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    fn contains(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                let differing = u32::from(first) ^ u32::from(ip);
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                let differing = u128::from(first) ^ u128::from(ip);
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32");
        let (address, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let first: IpAddr = address.trim().parse().map_err(|_| refuse())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().map_err(|_| refuse())?,
            None => most,
        };
        if bits > most {
            return Err(refuse());
        }
        Ok(Self { first, bits })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::policy::fixture;

    #[track_caller]
    fn check(network: &str, ip: &str, expected: bool) {
        let section = TrustSection {
            networks: vec![network.to_owned()],
            ..TrustSection::default()
        };
        let trust = Trust::new(&section).unwrap();
        assert!(!trust.is_empty());
        assert_eq!(
            trust.contains(ip.parse().unwrap()),
            expected,
            "{network} {ip}"
        );
    }

    #[test]
    fn networks() {
        check("192.0.2.0/24", "192.0.2.255", true);
        check("192.0.2.0/24", "192.0.3.0", false);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.6", false);
        check("0.0.0.0/0", "198.51.100.1", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        for text in [
            "",
            "x",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "2001:db8::/129",
            "1.2.3.4/a",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        assert!(Trust::new(&TrustSection::default()).unwrap().is_empty());
    }

    #[test]
    fn the_client_that_is_claimed() {
        let check = |lines: &str, proxied: Option<&str>, expected: Option<&str>| {
            let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
            let mut exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
            let proxied = proxied.map(|ip| SocketAddr::new(ip.parse().unwrap(), 1));
            let peers = std::sync::Arc::make_mut(&mut exchange.peers);
            peers.claimed_client = proxied.map(Into::into);
            let expected: Option<IpAddr> = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(claimed_client(&exchange), expected, "{lines}");
        };
        let line = "x-forwarded-for: 203.0.113.9, 10.0.0.8 , 10.0.0.77\r\n";
        check(line, None, Some("10.0.0.77"));
        check(line, Some("192.0.2.9"), Some("192.0.2.9"));
        let two = "x-forwarded-for: 10.0.0.77\r\nX-Forwarded-For: ::ffff:10.0.0.78\r\n";
        check(two, None, Some("10.0.0.78"));
        check("x-forwarded-for: 10.0.0.77, unknown\r\n", None, None);
        check("x-forwarded-for: \r\n", None, None);
        check("", None, None);
    }
}
