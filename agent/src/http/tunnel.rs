//! What a CONNECT says of the tunnel that it opens.

use std::net::{IpAddr, SocketAddr};

use super::RequestHead;
use crate::flow::TunnelClaims;

/// Addresses that it names. What is no address says nothing here.
pub(crate) fn claims(head: &RequestHead) -> TunnelClaims {
    let target = head.host().and_then(text);
    let target = target.and_then(|authority| authority.parse::<SocketAddr>().ok());
    TunnelClaims {
        target: target.map(Into::into),
        forwarded: head.fields.get("forwarded").and_then(forwarded),
    }
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
}
