//! Which proxy the requests to a destination go through: the configured one, else the one of the
//! usual variables.
//!
//! `HTTP_PROXY` is for `http://` endpoints, `HTTPS_PROXY` for `https://` ones; `NO_PROXY` lists
//! hosts that are reached without. Each may be in lower case, which goes first, as with curl. Like
//! Go, and so like most that runs in a cluster, loopback is always reached directly.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};

use super::environment::{self, Lookup, percent_decoded};

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Host name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// `Proxy-Authorization`, marked sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The proxy for `url`, if there is one. `configured` is `none`, or the proxy's URL.
///
/// # Errors
/// When the proxy's URL cannot be used; names where it comes from.
pub(super) fn choose(
    configured: Option<&str>,
    url: &Uri,
    env: Lookup<'_>,
) -> Result<Option<Proxy>, String> {
    match configured.map(str::trim) {
        Some("none") => return Ok(None),
        Some(text) => {
            return parse(text)
                .map(Some)
                .map_err(|reason| format!("proxy: {reason}"));
        }
        None => {}
    }
    let names: &[&'static str] = match url.scheme_str() {
        Some("https") => &["https_proxy", "HTTPS_PROXY"],
        _ => &["http_proxy", "HTTP_PROXY"],
    };
    let Some((name, text)) = environment::first(env, names) else {
        return Ok(None);
    };
    let exceptions = environment::first(env, &["no_proxy", "NO_PROXY"]);
    let exceptions = exceptions.map_or_else(String::new, |(_, text)| text);
    if is_direct(url, &exceptions) {
        return Ok(None);
    }
    parse(&text)
        .map(Some)
        .map_err(|reason| format!("{name}: {reason}"))
}

fn parse(text: &str) -> Result<Proxy, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(format!(
            "the scheme `{scheme}` is not http, the only one that is supported"
        ));
    }
    // The text is not repeated in messages: it may hold a password.
    let uri: Uri = format!("http://{rest}")
        .parse()
        .map_err(|_| "not a URL such as `http://proxy:3128`".to_owned())?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err("there is no host".to_owned());
    }
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let names_port = place
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let port = match (uri.port_u16(), names_port) {
        (Some(port @ 1..), _) => port,
        (None, false) => 80,
        _ => return Err("the port is not a number from 1 to 65535".to_owned()),
    };
    Ok(Proxy {
        host: host.to_owned(),
        port,
        authorization: authorization(user)?,
    })
}

/// RFC 7617: user and password, whose percent-encoding is removed first.
fn authorization(user: &str) -> Result<Option<HeaderValue>, String> {
    if user.is_empty() {
        return Ok(None);
    }
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = percent_decoded(name).zip(percent_decoded(password));
    let (name, password) = decoded.ok_or_else(|| "user and password are not UTF-8".to_owned())?;
    let token = STANDARD.encode(format!("{name}:{password}"));
    let value = HeaderValue::from_str(&format!("Basic {token}"));
    let mut value = value.map_err(|_| "user and password cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Loopback, or one of the exceptions: `*`, names (with those below them), addresses, networks
/// (`10.0.0.0/8`), each with a port or without.
fn is_direct(url: &Uri, exceptions: &str) -> bool {
    let host = url.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    let default = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let port = url.port_u16().unwrap_or(default);
    exceptions
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| matches(&entry.to_ascii_lowercase(), &host, address, port))
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(ip) = address {
        if let Some((network, bits)) = entry.split_once('/') {
            let network = network.parse().ok().zip(bits.parse().ok());
            return network.is_some_and(|(network, bits)| contains(network, bits, ip));
        }
        if let Ok(entry) = entry
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return entry == ip;
        }
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, wanted)) => match wanted.parse::<u16>() {
            Ok(wanted) => (name, Some(wanted)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let (Some(ip), Ok(named)) = (address, name.parse::<IpAddr>()) {
        return ip == named;
    }
    let name = name
        .trim_start_matches('*')
        .trim_start_matches('.')
        .trim_end_matches('.');
    !name.is_empty()
        && (host == name
            || host
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with('.')))
}

/// `ip` is in the network of `bits` bits (RFC 4632).
fn contains(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
    };
    match (network, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy of a URL with these variables: `host:port authorization`, `direct`, or an error.
    #[track_caller]
    fn check(configured: Option<&str>, url: &str, variables: &[(&str, &str)], expected: &str) {
        let env = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let url = url.parse().unwrap();
        let found = match choose(configured, &url, &env) {
            Ok(None) => "direct".to_owned(),
            Ok(Some(proxy)) => match &proxy.authorization {
                Some(value) => format!("{proxy} {}", value.to_str().unwrap()),
                None => proxy.to_string(),
            },
            Err(reason) => reason,
        };
        assert_eq!(found, expected, "{configured:?} {url} {variables:?}");
    }

    #[test]
    fn variables() {
        let http = "http://c.example:4318/v1/traces";
        let https = "https://c.example";
        check(None, http, &[], "direct");
        check(None, http, &[("HTTP_PROXY", "http://p:3128")], "p:3128");
        check(None, http, &[("http_proxy", "p:3128")], "p:3128");
        check(
            None,
            http,
            &[("http_proxy", "low"), ("HTTP_PROXY", "up")],
            "low:80",
        );
        check(
            None,
            http,
            &[("http_proxy", ""), ("HTTP_PROXY", "up")],
            "up:80",
        );
        check(None, http, &[("HTTPS_PROXY", "p")], "direct");
        check(None, https, &[("HTTPS_PROXY", "http://[::1]:8")], "[::1]:8");
        check(None, https, &[("https_proxy", "http://p/")], "p:80");
        check(None, https, &[("HTTP_PROXY", "p")], "direct");
    }

    #[test]
    fn configured() {
        let http = "http://c.example:4318";
        let set = [("HTTP_PROXY", "env"), ("NO_PROXY", "*")];
        check(Some("none"), http, &set, "direct");
        check(Some("http://p:1"), http, &set, "p:1");
        check(Some("http://p:1"), "http://localhost", &[], "p:1");
    }

    #[test]
    fn authorization() {
        let url = "http://c.example";
        check(
            Some("http://us%40er:p%3Ass@p:1"),
            url,
            &[],
            "p:1 Basic dXNAZXI6cDpzcw==",
        );
        check(Some("http://user@p:1"), url, &[], "p:1 Basic dXNlcjo=");
    }

    #[test]
    fn errors() {
        let url = "http://c.example";
        check(
            Some("socks5://p:1"),
            url,
            &[],
            "proxy: the scheme `socks5` is not http, the only one that is supported",
        );
        check(
            None,
            url,
            &[("HTTP_PROXY", "https://p")],
            "HTTP_PROXY: the scheme `https` is not http, the only one that is supported",
        );
        check(
            Some("http://"),
            url,
            &[],
            "proxy: not a URL such as `http://proxy:3128`",
        );
        for text in ["p:0", "p:99999", "p:"] {
            check(
                Some(text),
                url,
                &[],
                "proxy: the port is not a number from 1 to 65535",
            );
        }
    }

    #[test]
    fn exceptions() {
        let direct = |url: &str, list: &str| {
            check(
                None,
                url,
                &[("HTTP_PROXY", "p"), ("NO_PROXY", list)],
                "direct",
            )
        };
        let proxied = |url: &str, list: &str| {
            check(
                None,
                url,
                &[("HTTP_PROXY", "p"), ("no_proxy", list)],
                "p:80",
            )
        };
        for loopback in [
            "http://localhost:4318",
            "http://127.0.0.1",
            "http://[::1]",
            "http://127.9.9.9",
        ] {
            direct(loopback, "");
        }
        direct("http://c.example", "*");
        direct("http://c.example", "other, c.example");
        direct("http://c.example", "C.EXAMPLE other");
        direct("http://c.example", "example");
        direct("http://c.example", ".example");
        direct("http://c.example", "*.example");
        direct("http://c.example.", "c.example.");
        proxied("http://c.example", "ample");
        proxied("http://c.example", "c.example.org");
        proxied("http://c.example", ",,");
        direct("http://c.example", "c.example:80");
        direct("http://c.example:4318", "c.example:4318");
        proxied("http://c.example:4318", "c.example:80");
        proxied("http://c.example:4318", "c.example:x");
        direct("http://10.1.2.3", "10.0.0.0/8");
        proxied("http://11.1.2.3", "10.0.0.0/8");
        direct("http://11.1.2.3", "0.0.0.0/0");
        proxied("http://11.1.2.3", "11.1.2.3/99,::/0,x/8");
        direct("http://10.1.2.3:4318", "10.1.2.3");
        direct("http://10.1.2.3:4318", "10.1.2.3:4318");
        proxied("http://10.1.2.3:4318", "10.1.2.3:1");
        direct("http://[2001:db8::1]", "2001:db8::/32");
        direct("http://[2001:db8::1]:4318", "[2001:db8::1]:4318");
        direct("http://[2001:db8::1]", "2001:db8:0::1");
    }
}
