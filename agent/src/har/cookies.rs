//! Cookies, in requests and responses (RFC 6265 §4).

use serde::{Serialize, Serializer};

use super::pairs::split_pair;
use super::text::{Pair, Text};
use crate::http::Fields;

/// Those that a request sends.
pub(super) struct Sent<'a>(pub(super) &'a Fields);

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let all = self
            .0
            .get_all("cookie")
            .flat_map(|line| line.split(|&b| b == b';'));
        let cookies = all.map(<[u8]>::trim_ascii).filter(|c| !c.is_empty());
        serializer.collect_seq(cookies.map(|cookie| {
            let (name, value) = split_pair(cookie);
            Pair {
                name: Text(name),
                value: Text(value),
            }
        }))
    }
}

/// Those that a response sets.
pub(super) struct Set<'a>(pub(super) Option<&'a Fields>);

impl Serialize for Set<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .flat_map(|fields| fields.get_all("set-cookie"))
                .map(Cookie::parse),
        )
    }
}

/// `expires` must be ISO 8601 in HAR, and is left to the header.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cookie<'a> {
    name: Text<'a>,
    value: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Text<'a>>,
    http_only: bool,
    secure: bool,
}

impl<'a> Cookie<'a> {
    fn parse(line: &'a [u8]) -> Self {
        let mut parts = line.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let (name, value) = split_pair(parts.next().unwrap_or_default());
        let mut cookie = Self {
            name: Text(name),
            value: Text(value),
            path: None,
            domain: None,
            http_only: false,
            secure: false,
        };
        for part in parts {
            let (key, value) = split_pair(part);
            match key.to_ascii_lowercase().as_slice() {
                b"httponly" => cookie.http_only = true,
                b"secure" => cookie.secure = true,
                b"path" => cookie.path = Some(Text(value)),
                b"domain" => cookie.domain = Some(Text(value)),
                _ => {}
            }
        }
        cookie
    }
}
