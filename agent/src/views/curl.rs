//! A request as a `curl` command that sends it again to the same server.

use crate::exchange::Request;
use crate::flow::Peers;
use crate::http::Version;
use crate::views::shown::Shown;

/// Fields that curl makes by itself from the rest, or that are of one connection only (RFC 9110
/// §7.6.1).
const OWN: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "expect",
];

/// What stands before the hash of a secret, of which nothing can be known.
const HIDDEN: &[u8] = b"[redacted";

/// What the command is not: of a request whose secrets were replaced, or that was not captured
/// whole, it is another one.
pub fn remark(shown: &Shown) -> Option<&'static str> {
    let exchange = shown.exchange();
    let request = &exchange.request;
    let content = shown.sanitized.request_content();
    let is_cut = content.cut || content.omitted.is_some();
    let hides = |text: &[u8]| memchr::memmem::find(text, HIDDEN).is_some();
    let fields = request.head.fields.iter();
    let is_hidden = hides(&request.body.bytes)
        || hides(request.head.target())
        || fields.into_iter().any(|(_, value)| hides(value));
    match (is_cut, is_hidden) {
        (true, true) => Some("its body is not whole, and secrets in it are replaced by hashes"),
        (true, false) => Some("its body is not whole"),
        (false, true) => Some("secrets in it are replaced by hashes"),
        (false, false) => None,
    }
}

/// The command.
///
/// # Errors
/// Says why there is none.
pub fn command(shown: &Shown) -> Result<String, &'static str> {
    let exchange = shown.exchange();
    let request = &exchange.request;
    let method = request.head.method();
    if method == b"CONNECT" {
        return Err("curl makes no tunnel from a CONNECT");
    }
    let mut command = Command::default();
    let content = shown.sanitized.request_content();
    if content.cut || content.omitted.is_some() {
        command.text.push_str("# the body is not whole\n");
    }
    let body = &request.body.bytes;
    let is_piped = str::from_utf8(body).is_err() || body.contains(&0);
    if is_piped {
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
        command
            .text
            .push_str(&format!("printf {data} | base64 -d | "));
    }
    command.text.push_str("curl -sS -i");
    url(&mut command, request, &exchange.peers);
    match method {
        b"GET" if body.is_empty() => {}
        b"HEAD" => command.text.push_str(" --head"),
        _ => {
            command.text.push_str(" -X");
            command.argument(method);
        }
    }
    let is_tls = exchange.peers.connection.is_tls();
    match (request.head.version, is_tls) {
        (Version::Http10, _) => command.text.push_str(" --http1.0"),
        (Version::Http11, true) => command.text.push_str(" --http1.1"),
        (Version::Http11, false) => {}
        (Version::Http2, true) => command.text.push_str(" --http2"),
        (Version::Http2, false) => command.text.push_str(" --http2-prior-knowledge"),
    }
    headers(&mut command, request, content.decoded);
    if is_piped {
        command.text.push_str(" --data-binary @-");
    } else if !body.is_empty() {
        command.text.push_str(" --data-raw");
        command.argument(body);
    }
    Ok(command.text)
}

/// The address in the request leads elsewhere when its host is another name: the connection goes
/// to the server that was seen.
fn url(command: &mut Command, request: &Request, peers: &Peers) {
    let head = &request.head;
    let target = head.target();
    let server = peers.server.to_string();
    if !matches!(target.first(), Some(b'/' | b'*')) {
        command.text.push_str(" --proxy");
        command.argument(format!("http://{server}").as_bytes());
        command.argument(target);
        return;
    }
    let host = head
        .host()
        .filter(|host| !host.is_empty())
        .unwrap_or(server.as_bytes());
    if host != server.as_bytes() {
        command.text.push_str(" --connect-to");
        command.argument(format!("::{server}").as_bytes());
    }
    let scheme = head.scheme().unwrap_or_else(|| peers.scheme().as_bytes());
    // curl refuses control characters in an address, and writes others than ASCII as escapes.
    let is_path = target.starts_with(b"/") && target.iter().all(u8::is_ascii_graphic);
    let mut url = [scheme, b"://", host].concat();
    if is_path {
        // curl would take brackets and braces for patterns, and fold `..`.
        command.text.push_str(" --globoff --path-as-is");
        url.extend_from_slice(target);
    } else {
        command.text.push_str(" --request-target");
        command.argument(target);
    }
    command.argument(&url);
}

fn headers(command: &mut Command, request: &Request, is_decoded: bool) {
    let fields = &request.head.fields;
    for (name, value) in fields.iter() {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        // What was decoded is sent as it is.
        if name.starts_with(b":") || OWN.into_iter().any(is) || is_decoded && is("content-encoding")
        {
            continue;
        }
        let field = match value.is_empty() {
            true => [name, b";"].concat(),
            false => [name, b": ", value].concat(),
        };
        command.text.push_str(" -H");
        command.argument(&field);
    }
    // What curl would add by itself.
    let is_sent = !request.body.bytes.is_empty();
    for (name, adds) in [
        ("User-Agent", true),
        ("Accept", true),
        ("Content-Type", is_sent),
    ] {
        if adds && fields.get(name).is_none() {
            command.text.push_str(&format!(" -H '{name}:'"));
        }
    }
    if fields.get("accept-encoding").is_some() {
        command.text.push_str(" --compressed");
    }
}

#[derive(Debug, Default)]
struct Command {
    text: String,
}

impl Command {
    /// Appends a space and one word of the shell: nothing in it is a command.
    fn argument(&mut self, bytes: &[u8]) {
        self.text.push(' ');
        let text = str::from_utf8(bytes).ok();
        let is_plain = |c: char| !crate::visible::hidden(c);
        if let Some(text) = text.filter(|text| text.chars().all(is_plain)) {
            self.text.push('\'');
            self.text.push_str(&text.replace('\'', "'\\''"));
            self.text.push('\'');
            return;
        }
        // Quotes with escapes: POSIX.1-2024 §2.2.4, bash, zsh, ksh.
        self.text.push_str("$'");
        for byte in bytes {
            match byte {
                b'\'' | b'\\' => {
                    self.text.push('\\');
                    self.text.push(char::from(*byte));
                }
                b' '..=b'~' => self.text.push(char::from(*byte)),
                // Three digits, so that one which follows is not taken for another.
                _ => self.text.push_str(&format!("\\{byte:03o}")),
            }
        }
        self.text.push('\'');
    }
}

#[cfg(test)]
mod tests;
