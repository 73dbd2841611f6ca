//! From an endpoint as a person writes it to the URL that requests go to.
//!
//! | protocol | endpoint | URL |
//! |---|---|---|
//! | HTTP | `http://c:4318`, `http://c:4318/` | `http://c:4318/v1/traces` |
//! | HTTP | `http://c:4318/otlp?tenant=7` | `http://c:4318/otlp/v1/traces?tenant=7` |
//! | HTTP | `http://c:4318/v1/traces/` | as it is |
//! | HTTP | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | as it is |
//! | gRPC | `http://c:4317`, `c:4317` | the service's method; an endpoint with a path is an error |

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use super::config::Protocol;
use super::environment::Endpoint;
use super::signal::Signal;

/// The port registered for OTLP over gRPC (IANA).
const GRPC_PORT: u16 = 4317;

/// The protocol of an endpoint without one. The specification's default is http/protobuf; the gRPC
/// port without a path leaves no doubt, though.
pub(super) fn implied_protocol(endpoint: Option<&Endpoint>) -> Protocol {
    let (Some(Endpoint::Exact(text)) | Some(Endpoint::Base(text))) = endpoint else {
        return Protocol::HttpProtobuf;
    };
    let text = text.trim();
    let complete = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    match complete.parse::<Uri>() {
        Ok(uri) if uri.port_u16() == Some(GRPC_PORT) && matches!(uri.path(), "" | "/") => {
            Protocol::Grpc
        }
        _ => Protocol::HttpProtobuf,
    }
}

/// The URL, or why there is none. `insecure`: an endpoint without a scheme is without TLS.
pub(super) fn url(
    endpoint: &Endpoint,
    signal: Signal,
    protocol: Protocol,
    insecure: bool,
) -> Result<Uri, String> {
    let (text, exact) = match endpoint {
        Endpoint::Exact(text) => (text.trim(), true),
        Endpoint::Base(text) => (text.trim(), false),
    };
    // The authority ends at the first of these (RFC 3986 §3.2). What is before `@` in it is not
    // repeated in a message.
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(
            "an endpoint with a user name or a password: give `headers` an authorization instead"
                .to_owned(),
        );
    }
    let wrong =
        |reason: &dyn std::fmt::Display| Err(format!("endpoint `{}`: {reason}", safe(text)));
    let complete = match text.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            scheme @ ("http" | "https") => format!("{scheme}://{rest}"),
            scheme => return wrong(&format!("the scheme `{scheme}` is not http or https")),
        },
        None if insecure => format!("http://{text}"),
        None => format!("https://{text}"),
    };
    if complete.contains('#') {
        return wrong(&"a fragment (`#`) is not sent to a server");
    }
    let uri: Uri = match complete.parse() {
        Ok(uri) => uri,
        Err(error) => return wrong(&format!("not a URL: {error}")),
    };
    let mut parts = uri.into_parts();
    let Some(authority) = &parts.authority else {
        return wrong(&"there is no host");
    };
    if let Err(reason) = check_authority(authority) {
        return wrong(&reason);
    }
    let given = parts.path_and_query.as_ref();
    let target = match target(given, signal, protocol, exact) {
        Ok(target) => target,
        Err(reason) => return wrong(&reason),
    };
    match target.parse() {
        Ok(target) => parts.path_and_query = Some(target),
        Err(error) => return wrong(&error),
    }
    Uri::from_parts(parts).or_else(|error| wrong(&error))
}

fn check_authority(authority: &Authority) -> Result<(), &'static str> {
    check_host(authority.host())?;
    // `http` reads a port that does not fit as none.
    let port = authority
        .as_str()
        .get(authority.host().len()..)
        .and_then(|rest| rest.strip_prefix(':'));
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(1..)) => Ok(()),
        Some(_) => Err("the port is not a number from 1 to 65535"),
    }
}

/// A name that can be resolved (RFC 1123 §2.1; `_` is in names of Windows and of Compose), or an
/// address. A name whose last part is a number is an address that is none (URL standard §3.5).
fn check_host(host: &str) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("there is no host");
    }
    if host.starts_with('[') {
        let inside = host.trim_start_matches('[').trim_end_matches(']');
        return match inside.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("the host is not an IPv6 address"),
        };
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_part = |part: &str| {
        let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&part.len()) && part.bytes().all(is_known)
    };
    if name.len() > 253 || !name.split('.').all(is_part) {
        return Err("the host is no name that can be looked up");
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_number = last.bytes().all(|b| b.is_ascii_digit());
    if is_number && host.parse::<std::net::Ipv4Addr>().is_err() {
        return Err("the host is not an IPv4 address");
    }
    Ok(())
}

fn target(
    given: Option<&PathAndQuery>,
    signal: Signal,
    protocol: Protocol,
    exact: bool,
) -> Result<String, String> {
    let path = given.map_or("/", PathAndQuery::path);
    let query = given.and_then(PathAndQuery::query);
    if protocol == Protocol::Grpc {
        return match (path, query) {
            ("/" | "", None) => Ok(signal.method().to_owned()),
            _ => Err(
                "gRPC takes no path and no query; with a path, `protocol` is http/protobuf"
                    .to_owned(),
            ),
        };
    }
    let trimmed = path.trim_end_matches('/');
    let of_other = Signal::ALL
        .into_iter()
        .find(|other| trimmed.ends_with(other.path()));
    let path = match of_other {
        _ if exact => path.to_owned(),
        Some(other) if other == signal => path.to_owned(),
        Some(other) => {
            return Err(format!(
                "this is the path of {}: leave `{}` out, and each signal gets its own",
                other.label(),
                other.path()
            ));
        }
        None => format!("{trimmed}{}", signal.path()),
    };
    Ok(match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

/// A URL in messages: a query may hold a key.
pub(super) fn shown(url: &Uri, signal: Signal, protocol: Protocol) -> String {
    let text = url.to_string();
    match protocol {
        Protocol::Grpc => text.trim_end_matches(signal.method()).to_owned(),
        Protocol::HttpProtobuf | Protocol::HttpJson => safe(&text),
    }
}

fn safe(text: &str) -> String {
    match text.split_once('?') {
        Some((before, _)) => format!("{before}?…"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An endpoint of a file, or `=` and the one for traces alone.
    #[track_caller]
    fn check(text: &str, protocol: Protocol, expected: Result<&str, &str>) {
        let endpoint = match text.strip_prefix('=') {
            Some(text) => Endpoint::Exact(text.to_owned()),
            None => Endpoint::Base(text.to_owned()),
        };
        let found = url(&endpoint, Signal::Traces, protocol, true).map(|uri| uri.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            _ => panic!("{text}: {found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn paths_and_queries_are_kept() {
        let check = |text: &str, expected: &str| check(text, Protocol::HttpProtobuf, Ok(expected));
        check("http://c:4318", "http://c:4318/v1/traces");
        check("http://c:4318/", "http://c:4318/v1/traces");
        check("HTTP://c/x//", "http://c/x/v1/traces");
        check("c:4318/x", "http://c:4318/x/v1/traces");
        check("http://c/v1/traces", "http://c/v1/traces");
        check("http://c/v1/traces/", "http://c/v1/traces/");
        check("http://c/a/v1/traces/?x=1", "http://c/a/v1/traces/?x=1");
        check("http://c/otlp?tenant=7", "http://c/otlp/v1/traces?tenant=7");
        check(
            "http://c?tenant=7&b=%2F",
            "http://c/v1/traces?tenant=7&b=%2F",
        );
        check("http://c/?x=/v1/traces", "http://c/v1/traces?x=/v1/traces");
        check("http://c/?mail=a@b", "http://c/v1/traces?mail=a@b");
        check("=http://c/y/?z", "http://c/y/?z");
        check("=http://c", "http://c/");
        check("http://[::1]:4318", "http://[::1]:4318/v1/traces");
        for host in [
            "a.b.",
            "otel_collector",
            "1a.b-c",
            "xn--bcher-kva",
            "10.0.0.1",
        ] {
            let text = format!("http://{host}:1");
            check(&text, &format!("{text}/v1/traces"));
        }
    }

    #[test]
    fn grpc_has_a_method_of_its_own() {
        let method = format!("http://c:4317{}", Signal::Traces.method());
        check("http://c:4317", Protocol::Grpc, Ok(&method));
        check("=http://c:4317/", Protocol::Grpc, Ok(&method));
        for path in ["/v1/traces", "/x", "/?x=1"] {
            let text = format!("http://c:4317{path}");
            check(&text, Protocol::Grpc, Err("gRPC takes no path"));
        }
    }

    #[test]
    fn what_cannot_work_is_an_error() {
        let check = |text, expected| check(text, Protocol::HttpJson, Err(expected));
        check("http://user:secret@c:4318", "a user name or a password");
        check("user@c", "a user name or a password");
        check("ftp://c", "the scheme `ftp` is not http or https");
        check("http://", "not a URL");
        check("", "not a URL");
        check("http:///x", "not a URL");
        check("http://c:0", "the port is not a number from 1 to 65535");
        check("http://c:", "the port is not a number from 1 to 65535");
        check("http://c:99999", "the port is not a number from 1 to 65535");
        check("http://c:x", "the port is not a number from 1 to 65535");
        check("http://c/#x", "a fragment");
        check("http://a b", "not a URL");
        check("http://::1:4318", "");
        check("http://256.1.1.1:4318", "the host is not an IPv4 address");
        check("http://1.2.3:4318", "the host is not an IPv4 address");
        check("http://4318", "the host is not an IPv4 address");
        check("http://[::g]:4318", "");
        let name = "the host is no name that can be looked up";
        check("http://*:4318", name);
        check("http://a..b", name);
        check("http://.a", name);
        check("http://a..", name);
        check("http://a%20b", "");
        check("http://$HOST:4318", name);
    }

    #[test]
    fn each_signal_has_a_path_and_a_method() {
        #[track_caller]
        fn check(text: &str, signal: Signal, protocol: Protocol, expected: Result<&str, &str>) {
            let endpoint = Endpoint::Base(text.to_owned());
            let found = url(&endpoint, signal, protocol, true).map(|uri| uri.path().to_owned());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                _ => panic!("{text}: {found:?} is not {expected:?}"),
            }
        }
        let http = Protocol::HttpProtobuf;
        check("http://c", Signal::Metrics, http, Ok("/v1/metrics"));
        check("http://c/x", Signal::Logs, http, Ok("/x/v1/logs"));
        check("http://c/v1/logs", Signal::Logs, http, Ok("/v1/logs"));
        let other = Err("this is the path of traces: leave `/v1/traces` out");
        check("http://c/v1/traces", Signal::Metrics, http, other);
        for signal in Signal::ALL {
            check("http://c:4317", signal, Protocol::Grpc, Ok(signal.method()));
        }
    }

    #[test]
    fn protocols_by_port() {
        for (text, expected) in [
            ("http://c:4317", Protocol::Grpc),
            ("c:4317", Protocol::Grpc),
            ("https://c:4317/", Protocol::Grpc),
            ("http://c:4317/v1/traces", Protocol::HttpProtobuf),
            ("http://c:4318", Protocol::HttpProtobuf),
            ("nonsense:::", Protocol::HttpProtobuf),
        ] {
            let endpoint = Endpoint::Base(text.to_owned());
            assert_eq!(implied_protocol(Some(&endpoint)), expected, "{text}");
        }
        assert_eq!(implied_protocol(None), Protocol::HttpProtobuf);
    }

    #[test]
    fn a_query_is_not_shown() {
        let url = |text: &str| text.parse::<Uri>().unwrap();
        let http = url("http://c/x?key=secret");
        let shown = |url: &Uri, protocol| shown(url, Signal::Logs, protocol);
        assert_eq!(shown(&http, Protocol::HttpJson), "http://c/x?…");
        let grpc = url(&format!("http://c:4317{}", Signal::Logs.method()));
        assert_eq!(shown(&grpc, Protocol::Grpc), "http://c:4317");
    }
}
