//! The ways in which servers read one path. A rule that hides must hold for each of them, or
//! whoever sends a request could choose to be hidden: `/static/../admin` is no static file.

use std::borrow::Cow;

use memchr::memchr;

use crate::http::percent::decode_escapes;

/// Times that a path is decoded. Servers behind a proxy decode what it has decoded already; no
/// chain is longer than this.
const DECODED: usize = 3;

/// What servers make of a path.
#[derive(Debug)]
pub(super) enum Readings<'a> {
    /// One thing: the path has nothing in it that they read differently.
    One(&'a [u8]),
    /// See [`read`].
    Several([Cow<'a, [u8]>; 4]),
}

impl<'a> Readings<'a> {
    pub(super) fn of(path: &'a [u8]) -> Self {
        match is_plain(path) {
            true => Self::One(path),
            false => Self::Several(read(path)),
        }
    }

    /// A rule that keeps: one reading is enough.
    pub(super) fn any(&self, matches: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::One(path) => matches(path),
            Self::Several(paths) => paths.iter().any(|path| matches(path)),
        }
    }

    /// A rule that hides: every reading must be meant.
    pub(super) fn all(&self, matches: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::One(path) => matches(path),
            Self::Several(paths) => paths.iter().all(|path| matches(path)),
        }
    }
}

/// It has nothing in it that servers read differently: in one pass, since paths are short.
fn is_plain(path: &[u8]) -> bool {
    const SLASH: u8 = 1;
    const BEHIND_SLASH: u8 = 2;
    const ANYWHERE: u8 = 4;
    static KINDS: [u8; 256] = {
        let mut kinds = [0; 256];
        kinds[b'/' as usize] = SLASH | BEHIND_SLASH;
        kinds[b'.' as usize] = BEHIND_SLASH;
        kinds[b'%' as usize] = ANYWHERE;
        kinds[b'\\' as usize] = ANYWHERE;
        kinds[b';' as usize] = ANYWHERE;
        kinds[b'#' as usize] = ANYWHERE;
        kinds
    };
    let (mut odd, mut slash) = (0, 0);
    for byte in path {
        let kind = KINDS[usize::from(*byte)];
        odd |= kind & (ANYWHERE | slash);
        slash = (kind & SLASH) << 1;
    }
    odd == 0
}

/// As it was sent, for servers that route what they get (Node.js, proxies that normalise nothing);
/// and percent-decoded, without dot segments (RFC 3986 §5.2.4) and without repeated slashes: with
/// the slashes merged last (as the RFC has it), merged first and without a fragment (as nginx
/// does), and decoded again and again, with backslashes as slashes and without the parameters of
/// segments (as IIS and Java's servers do).
fn read(path: &[u8]) -> [Cow<'_, [u8]>; 4] {
    let once = decode_escapes(path);
    let rfc = merge(&without_dots(&once));
    let nginx = without_dots(&merge(&decode_escapes(before_fragment(path))));
    let mut all = once;
    for _ in 1..DECODED {
        all = decode_escapes(&all);
    }
    for byte in &mut all {
        if *byte == b'\\' {
            *byte = b'/';
        }
    }
    let plain = without_parameters(&all);
    let all = without_dots(&merge(&plain));
    let [rfc, nginx, all] = [rfc, nginx, all].map(Cow::Owned);
    [Cow::Borrowed(path), rfc, nginx, all]
}

fn before_fragment(path: &[u8]) -> &[u8] {
    let end = memchr(b'#', path).unwrap_or(path.len());
    path.get(..end).unwrap_or(path)
}

fn merge(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || out.last() != Some(&b'/') {
            out.push(byte);
        }
    }
    out
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|&b| b == b'/');
    let bare = segments.map(|segment| segment.split(|&b| b == b';').next().unwrap_or_default());
    bare.collect::<Vec<_>>().join(&b'/')
}

fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split(|&b| b == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            // The first is what stands before the leading slash.
            b".." if kept.len() > 1 => drop(kept.pop()),
            b".." => {}
            _ => kept.push(segment),
        }
    }
    let mut out = kept.join(&b'/');
    if ends_in_dots || out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected`: whether a rule on `^/static` hides, and whether one keeps.
    fn check(path: &str, hides: bool, keeps: bool) {
        let readings = Readings::of(path.as_bytes());
        let is_static = |path: &[u8]| path.starts_with(b"/static");
        assert_eq!(readings.all(is_static), hides, "{path} {readings:?}");
        assert_eq!(readings.any(is_static), keeps, "{path} {readings:?}");
    }

    #[test]
    fn plain_and_equivalent_spellings() {
        for path in [
            "/static",
            "/static/a.js",
            "/static/.well-known/x",
            "/static/a%20b;v=1",
            "/static/x/../a",
            "/static//a",
            "/static/%61",
        ] {
            check(path, true, true);
        }
        for path in ["/", "/admin", "/a/static", "", "*", "/%61dmin"] {
            check(path, false, false);
        }
    }

    #[test]
    fn a_server_that_routes_what_was_sent_sees_no_static_file() {
        for path in [
            "/%73tatic/a",
            "//static/a",
            "/./static/a",
            "/x/../static/a",
            "/../static/a",
            "/admin/../static",
            "/admin/..%2fstatic",
            "/admin%2f..%2fstatic",
            "/admin/delete/../../static/x",
            "/admin/..;/static",
            "/admin\\..\\static",
        ] {
            check(path, false, true);
        }
    }

    #[test]
    fn nothing_hides_behind_a_static_file() {
        for path in [
            "/%73tatic/../admin",
            "//static/../admin",
            "/admin/../static/../admin",
        ] {
            check(path, false, false);
        }
        // Some servers read these as static files, others do not.
        for path in [
            "/static/../admin",
            "/static/../admin#/../../static/y",
            "/static/..#/admin",
            "/static/%2e%2e/admin",
            "/static/%2E./admin",
            "/static/..%2fadmin",
            "/static/.././admin",
            "/static/x/../../admin",
            "/static/..",
            "/static/a/b/../../../admin/",
            "/static//../../admin",
            "/static//../admin",
            "/static/..;/admin",
            "/static/..;x=1/admin",
            "/static/..\\admin",
            "/static\\..\\admin",
            "/static/%252e%252e/admin",
            "/static/%25252e%25252e/admin",
            "/static/..%5cadmin",
        ] {
            check(path, false, true);
        }
    }
}
