//! What a pattern of a host, a method or a path must be to match anything. `*` stands for any run
//! of characters.

use super::h1::is_token;

const EMPTY: &str = "it is empty, and would match nothing or everything";

/// Checks a pattern of a host, with or without a port.
///
/// # Errors
/// When no host can match it; says what to write.
pub fn check_host(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err(EMPTY.to_owned());
    }
    // No host has one of these (RFC 3986 §3.2.2); a URL has.
    let foreign = |c: char| matches!(c, '/' | '?' | '#' | '@' | '\\' | '"') || is_blank(c);
    let last = pattern.rsplit(']').next().unwrap_or(pattern);
    let is_port = |port: &str| port.is_empty() || port.contains('*') || port.parse::<u16>().is_ok();
    // Brackets are around all but the port (RFC 3986 §3.2.2).
    let is_closed = match pattern.strip_prefix('[') {
        Some(rest) => (rest.split_once(']'))
            .is_some_and(|(_, port)| port.is_empty() || port.starts_with([':', '*'])),
        None => !pattern.contains(['[', ']']),
    };
    let is_bracketed = is_closed || pattern.contains('*');
    let is_odd = !is_bracketed
        || match last.split_once(':') {
            // Two colons without brackets: an address that lacks them.
            Some((_, port)) => !port.contains(':') && !is_port(port),
            None => false,
        };
    if pattern.contains(foreign) || is_odd {
        return Err(format!(
            "no host can match `{pattern}`; write a name or an address, for example shop.example \
             or shop.example:8080"
        ));
    }
    Ok(())
}

/// Checks a pattern of a method.
///
/// # Errors
/// When no method can match it: a method is a token (RFC 9110 §9.1).
pub fn check_method(pattern: &str) -> Result<(), String> {
    match !pattern.is_empty() && pattern.bytes().all(is_token) {
        true => Ok(()),
        false => Err(format!(
            "`{pattern}` is not a method; write for example GET"
        )),
    }
}

/// Checks a method that is compared whole.
///
/// # Errors
/// When no method is like that.
pub fn check_whole_method(method: &str) -> Result<(), String> {
    check_method(method)?;
    match method.contains('*') {
        false => Ok(()),
        true => Err(format!(
            "`{method}` is not a method: `*` stands for nothing here; list those that are wanted"
        )),
    }
}

/// Checks a pattern of a path, or of a path and its query.
///
/// # Errors
/// When no request target can match it; says what to write.
pub fn check_path(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err(EMPTY.to_owned());
    }
    // A path begins with `/`, a query alone with `?`; what precedes them in a URL is not looked
    // at.
    if !pattern.starts_with(['/', '*', '?']) {
        return Err(format!(
            "no path can match `{pattern}`: it begins with none of `/`, `*`, `?`; write for \
             example /{path} or */{path}",
            path = pattern.rsplit("://").next().unwrap_or(pattern).trim_start(),
        ));
    }
    // RFC 9112 §3.2: no target has these. Some servers read a request line that has, and `*` finds
    // it.
    if let Some(part) = pattern.split_once('#').map(|(path, _)| path) {
        return Err(format!(
            "no path can match `{pattern}`: what follows a `#` is not sent; write {part}, or %23 \
             for a `#` in a name"
        ));
    }
    if pattern.contains(is_blank) {
        return Err(format!(
            "no path can match `{pattern}`: it has no spaces; write %20, or `*` for whatever \
             stands there"
        ));
    }
    Ok(())
}

fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: Result<(), String>, expected: Option<&str>) {
        match (&found, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) if error.contains(part) => {}
            _ => panic!("{found:?}, and not {expected:?}"),
        }
    }

    #[test]
    fn hosts() {
        for good in [
            "a",
            "*",
            "*.a.example",
            "a:80",
            "a:",
            "a:*",
            "[::1]",
            "[::1]:80",
            "::1",
            "*:80",
            "10.0.0.*",
            "a*:8*",
            "b\u{fc}cher.example",
        ] {
            check(check_host(good), None);
        }
        check(check_host(""), Some("empty"));
        for bad in [
            "http://a", "a/b", "a b", " a", "a?", "a#b", "u@a", "a:http", "a:65536", "a:-1",
            "[::1]:x", "a\\b", "a\n", "[::1", "::1]", "a]", "[::1]a",
        ] {
            check(check_host(bad), Some("no host can match"));
        }
    }

    #[test]
    fn methods() {
        for good in ["GET", "get", "M-SEARCH", "P*", "*"] {
            check(check_method(good), None);
        }
        for bad in ["", " GET", "GET ", "G/T", "G,T", "G\u{e9}T"] {
            check(check_method(bad), Some("is not a method"));
            check(check_whole_method(bad), Some("is not a method"));
        }
        check(check_whole_method("PROPFIND"), None);
        check(
            check_whole_method("P*"),
            Some("`*` stands for nothing here"),
        );
    }

    #[test]
    fn paths() {
        for good in [
            "/", "/a", "*", "*a", "?a", "/a?b=c", "/%20", "/\u{e9}", "//", "/a*b",
        ] {
            check(check_path(good), None);
        }
        check(check_path(""), Some("empty"));
        check(check_path("a"), Some("write for example /a or */a"));
        check(
            check_path("http://a/b"),
            Some("write for example /a/b or */a/b"),
        );
        check(check_path("/a#b"), Some("write /a, or %23"));
        check(check_path("*#b"), Some("is not sent"));
        check(check_path("/a b"), Some("write %20"));
        check(check_path("/a\tb"), Some("write %20"));
        check(check_path("/a\n"), Some("write %20"));
        check(check_path(" /a"), Some("begins with none of"));
    }
}
