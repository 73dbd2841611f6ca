//! Who may ask: whoever has the token, at an address that is ours.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::token::Token;

/// Nothing but the page's own files, and nothing in another page's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// On every response, errors included.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// What a request is compared with.
#[derive(Debug)]
pub(super) struct Guard {
    token: Token,
    address: IpAddr,
}

impl Guard {
    pub(super) fn new(token: Token, address: SocketAddr) -> Self {
        Self {
            token,
            address: address.ip(),
        }
    }

    /// A site can have its own name resolve to this machine (DNS rebinding); it cannot make an
    /// address of its name. So an address must be one that is listened on, and the one name is
    /// `localhost`, which no site has (RFC 6761 §6.3). The port may be another: it may be
    /// forwarded.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = Authority::from_str(host) else {
            return false;
        };
        if host.contains('@') {
            return false;
        }
        let name = authority.host();
        let is_any = self.address.is_unspecified();
        if name.eq_ignore_ascii_case("localhost") {
            return is_any || self.address.is_loopback();
        }
        let inside = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let Ok(named) = inside.unwrap_or(name).parse::<IpAddr>() else {
            return false;
        };
        let named = named.to_canonical();
        match self.address.is_loopback() {
            true => named.is_loopback(),
            false => is_any || named == self.address.to_canonical(),
        }
    }

    /// Why the request is refused, if it is.
    fn refusal(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        // Of an absolute target the authority counts, and a Host must be there all the same
        // (RFC 9112 §3.2).
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let is_ours = host.is_some_and(|host| self.is_ours(host)) && hosts.next().is_none();
        let target = request.uri().authority();
        if !is_ours || target.is_some_and(|target| !self.is_ours(target.as_str())) {
            return Some((
                StatusCode::MISDIRECTED_REQUEST,
                "this host is not served here\n",
            ));
        }
        let claimed = request.uri().path().split('/').nth(1).unwrap_or_default();
        if !self.token.is(claimed) {
            return Some((
                StatusCode::FORBIDDEN,
                "the address has no valid token: meshtap prints the whole one\n",
            ));
        }
        None
    }
}

/// Whether a request that changes something comes from the page itself. Browsers say where a
/// request comes from; what is no browser needs the token, as for everything.
pub(super) fn is_from_page(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().ok());
    let host = text(&header::HOST).flatten().unwrap_or_default();
    let from_here = match text(&header::ORIGIN) {
        Some(origin) => origin.is_some_and(|origin| origin.strip_prefix("http://") == Some(host)),
        None => true,
    };
    let site = text(&HeaderName::from_static("sec-fetch-site"));
    from_here && site.is_none_or(|site| site == Some("same-origin"))
}

/// In front of every page.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.refusal(&request) {
        Some((status, text)) => {
            let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
            (status, [kind, (header::CONNECTION, "close")], text).into_response()
        }
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, ours: &[&str], others: &[&str]) {
        let address = SocketAddr::new(address.parse().expect("an address"), 80);
        let guard = Guard::new(Token::fixed("t"), address);
        for host in ours {
            assert!(guard.is_ours(host), "{address}: {host}");
        }
        for host in others {
            assert!(!guard.is_ours(host), "{address}: {host}");
        }
    }

    #[test]
    fn hosts() {
        let names = [
            "",
            "evil.example",
            "localhost.evil.example",
            "a@127.0.0.1",
            "127.0.0.1.nip.io",
        ];
        let local = [
            "127.0.0.1",
            "127.0.0.1:8080",
            "localhost:9",
            "LOCALHOST",
            "[::1]:80",
        ];
        check("127.0.0.1", &local, &names);
        check("127.0.0.1", &[], &["10.0.0.1", "0.0.0.0", "[::]"]);
        check("::1", &local, &names);
        check("10.0.0.1", &["10.0.0.1:80", "[::ffff:10.0.0.1]"], &names);
        check("10.0.0.1", &[], &["10.0.0.2", "localhost", "127.0.0.1"]);
        check(
            "0.0.0.0",
            &["10.0.0.1:80", "192.0.2.1", "localhost"],
            &names,
        );
    }

    #[test]
    fn where_a_change_comes_from() {
        let check = |origin: Option<&'static str>, site: Option<&'static str>, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:80"));
            for (name, value) in [("origin", origin), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_from_page(&headers), expected, "{origin:?} {site:?}");
        };
        check(None, None, true);
        check(Some("http://127.0.0.1:80"), Some("same-origin"), true);
        check(Some("http://127.0.0.1:81"), Some("same-site"), false);
        check(Some("null"), None, false);
        check(None, Some("cross-site"), false);
    }
}
