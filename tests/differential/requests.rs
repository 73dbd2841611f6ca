//! Requests that some server accepts and some recipient does not. Everything that a grammar leaves
//! open, or that servers tolerate against it, once each.

/// A name, and the bytes of the request.
pub struct Case {
    pub name: &'static str,
    pub bytes: Vec<u8>,
}

/// The plain request; what follows an odd one on its connection.
pub fn plain(target: &str) -> Vec<u8> {
    request(&format!("GET {target} HTTP/1.1"))
}

/// A request line, and the fields that every request here has.
fn request(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: shop.example\r\n\r\n").into_bytes()
}

/// Fields after a plain request line.
fn fields(fields: &str) -> Vec<u8> {
    format!("GET /ok HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

fn body(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /ok HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n{body}").into_bytes()
}

fn before(bytes: &str) -> Vec<u8> {
    [bytes.as_bytes(), &plain("/ok")].concat()
}

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &'static str, bytes: Vec<u8>| cases.push(Case { name, bytes });
    add("plain", plain("/ok"));
    first_bytes(&mut add);
    methods(&mut add);
    targets(&mut add);
    versions(&mut add);
    lines(&mut add);
    header_fields(&mut add);
    framing(&mut add);
    cases
}

/// RFC 9112 §2.2: a server ignores at least one empty line before the request line.
fn first_bytes(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    add("CRLF first", before("\r\n"));
    add("CRLF twice first", before("\r\n\r\n"));
    add("ten CRLF first", before(&"\r\n".repeat(10)));
    add("LF first", before("\n"));
    add("LF twice first", before("\n\n"));
    add("CR first", before("\r"));
    add("space first", before(" "));
    add("tab first", before("\t"));
    add("VT first", before("\x0b"));
    add("FF first", before("\x0c"));
    add("NUL first", before("\0"));
    add("US first", before("\x1f"));
    add("BOM first", before("\u{feff}"));
    add("NBSP first", [b"\xa0", &*plain("/ok")].concat());
    add("SETTINGS first", before("\0\0\x06\x04\0\0\0\0\0"));
}

/// RFC 9110 §9.1: any token.
fn methods(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (name, method) in [
        ("method get", "get"),
        ("method Get", "Get"),
        ("method patch", "patch"),
        ("method of one letter", "A"),
        ("method with a digit", "INVOKE2"),
        ("method of digits", "123"),
        ("method M-SEARCH", "M-SEARCH"),
        ("method with every mark", "!#$%&'*+-.^_`|~"),
        ("method of 24 letters", "ABCDEFGHIJKLMNOPQRSTUVWX"),
        ("method PROPFIND", "PROPFIND"),
        ("method PRI", "PRI"),
        ("method SSTP_DUPLEX_POST", "SSTP_DUPLEX_POST"),
        ("method with a colon", "GET:"),
        ("method with a slash", "GET/"),
        ("method with a quote", "\"GET\""),
        ("method in brackets", "<GET>"),
        ("method with an at", "@GET"),
        ("method SSH-", "SSH-"),
        ("method of an SSH banner", "SSH-2.0-x"),
        ("method PROXY", "PROXY"),
        ("method HTTP/", "HTTP/"),
        ("method HTTP/1.1", "HTTP/1.1"),
        ("method of a TLS header", "\x16\x03\x01"),
    ] {
        add(name, request(&format!("{method} /ok HTTP/1.1")));
    }
    add(
        "method of 40 letters",
        request(&format!("{} /ok HTTP/1.1", "A".repeat(40))),
    );
    add(
        "method of 300 letters",
        request(&format!("{} /ok HTTP/1.1", "A".repeat(300))),
    );
}

/// RFC 9112 §3.2.
fn targets(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (name, line) in [
        ("target http:", "GET http://shop.example/ok HTTP/1.1"),
        ("target HTTP:", "GET HTTP://shop.example/ok HTTP/1.1"),
        ("target https:", "GET https://shop.example/ok HTTP/1.1"),
        ("target ws:", "GET ws://shop.example/ok HTTP/1.1"),
        ("target wss:", "GET wss://shop.example/ok HTTP/1.1"),
        ("target ftp:", "GET ftp://shop.example/ok HTTP/1.1"),
        ("target urn:", "GET urn:isbn:1 HTTP/1.1"),
        (
            "target with a user",
            "GET http://user:word@shop.example/ok HTTP/1.1",
        ),
        ("target of a host alone", "GET http://shop.example HTTP/1.1"),
        ("target *", "OPTIONS * HTTP/1.1"),
        ("GET *", "GET * HTTP/1.1"),
        ("target without slash", "GET index.html HTTP/1.1"),
        ("target ?", "GET ?a=b HTTP/1.1"),
        ("target with fragment", "GET /#a HTTP/1.1"),
        ("target //", "GET //a HTTP/1.1"),
        ("target with a space", "GET /a b HTTP/1.1"),
        ("target with two spaces", "GET /a b c HTTP/1.1"),
        ("target with a tab", "GET /a\tb HTTP/1.1"),
        ("target with a control", "GET /a\u{1}b HTTP/1.1"),
        ("target with UTF-8", "GET /caf\u{e9} HTTP/1.1"),
        ("target with a bad escape", "GET /%zz HTTP/1.1"),
        ("target with quotes", "GET /\"<>\\^`{|} HTTP/1.1"),
        ("no target", "GET  HTTP/1.1"),
        ("CONNECT host:port", "CONNECT shop.example:80 HTTP/1.1"),
        ("CONNECT host", "CONNECT shop.example HTTP/1.1"),
        ("CONNECT /", "CONNECT / HTTP/1.1"),
        ("CONNECT http:", "CONNECT http://shop.example/ok HTTP/1.1"),
    ] {
        add(name, request(line));
    }
    let latin = [b"GET /caf\xe9 HTTP/1.1\r\nHost: shop.example\r\n\r\n".as_slice()].concat();
    add("target with Latin-1", latin);
    add(
        "target of 7000 bytes",
        plain(&format!("/ok?{}", "a".repeat(7000))),
    );
    add(
        "target of 30000 bytes",
        plain(&format!("/ok?{}", "a".repeat(30_000))),
    );
}

/// RFC 9112 §2.3.
fn versions(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (name, version) in [
        ("HTTP/1.0", "HTTP/1.0"),
        ("HTTP/1.2", "HTTP/1.2"),
        ("HTTP/1.9", "HTTP/1.9"),
        ("HTTP/1.10", "HTTP/1.10"),
        ("HTTP/01.1", "HTTP/01.1"),
        ("HTTP/1", "HTTP/1"),
        ("HTTP/1.", "HTTP/1."),
        ("HTTP/1.1x", "HTTP/1.1x"),
        ("HTTP/0.9", "HTTP/0.9"),
        ("HTTP/2.0", "HTTP/2.0"),
        ("HTTP/2", "HTTP/2"),
        ("HTTP/3.0", "HTTP/3.0"),
        ("http/1.1", "http/1.1"),
        ("HTTP 1.1", "HTTP 1.1"),
        ("HTTPS/1.1", "HTTPS/1.1"),
        ("ICY/1.0", "ICY/1.0"),
    ] {
        add(name, request(&format!("GET /ok {version}")));
    }
    add(
        "HTTP/1.0 without Host",
        b"GET /ok HTTP/1.0\r\n\r\n".to_vec(),
    );
    add("no version", b"GET /ok\r\n".to_vec());
    add("no version, fields", request("GET /ok"));
}

/// RFC 9112 §2.2 and §3: what may stand between the parts of a line, and at its end.
fn lines(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    add("two spaces before the target", request("GET  /ok HTTP/1.1"));
    add(
        "two spaces before the version",
        request("GET /ok  HTTP/1.1"),
    );
    add("tabs between the parts", request("GET\t/ok\tHTTP/1.1"));
    add("space at the end", request("GET /ok HTTP/1.1 "));
    add(
        "CR CR LF",
        b"GET /ok HTTP/1.1\r\r\nHost: shop.example\r\n\r\n".to_vec(),
    );
    add(
        "LF alone",
        b"GET /ok HTTP/1.1\nHost: shop.example\n\n".to_vec(),
    );
    add(
        "LF after the line",
        b"GET /ok HTTP/1.1\nHost: shop.example\r\n\r\n".to_vec(),
    );
    add(
        "LF at the end",
        b"GET /ok HTTP/1.1\r\nHost: shop.example\r\n\n".to_vec(),
    );
    add("NUL in the line", request("GET /ok\0 HTTP/1.1"));
}

/// RFC 9112 §5.
fn header_fields(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (name, lines) in [
        ("no Host", ""),
        ("empty Host", "Host:\r\n"),
        ("two Hosts", "Host: a.example\r\nHost: b.example\r\n"),
        ("bad Host", "Host: a b/c\r\n"),
        (
            "folded field",
            "Host: shop.example\r\nX-Folded: one\r\n two\r\n",
        ),
        ("space before the colon", "Host : shop.example\r\n"),
        ("field without a colon", "Host: shop.example\r\nnothing\r\n"),
        ("field without a name", "Host: shop.example\r\n: value\r\n"),
        (
            "field with a space in its name",
            "Host: shop.example\r\nX Y: value\r\n",
        ),
        (
            "field with brackets in its name",
            "Host: shop.example\r\nX[1]: value\r\n",
        ),
        ("field starts with a space", " Host: shop.example\r\n"),
        ("NUL in a value", "Host: shop.example\r\nX-Nul: a\0b\r\n"),
        (
            "control in a value",
            "Host: shop.example\r\nX-Control: a\u{7}b\r\n",
        ),
        ("CR in a value", "Host: shop.example\r\nX-Cr: a\rb\r\n"),
        (
            "UTF-8 in a value",
            "Host: shop.example\r\nX-Utf: caf\u{e9}\r\n",
        ),
        (
            "Expect of something",
            "Host: shop.example\r\nExpect: nothing\r\n",
        ),
    ] {
        add(name, fields(lines));
    }
    let many = |count: usize| {
        fields(&format!(
            "Host: shop.example\r\n{}",
            "X-Many: value\r\n".repeat(count)
        ))
    };
    add("90 fields", many(90));
    add("300 fields", many(300));
    add(
        "a field of 7000 bytes",
        fields(&format!(
            "Host: shop.example\r\nX-Long: {}\r\n",
            "a".repeat(7000)
        )),
    );
    add(
        "a head of 60000 bytes",
        fields(&format!(
            "Host: shop.example\r\n{}",
            format!("X-Long: {}\r\n", "a".repeat(3000)).repeat(20)
        )),
    );
}

/// RFC 9112 §6 and §7.
fn framing(add: &mut impl FnMut(&'static str, Vec<u8>)) {
    for (name, lines, content) in [
        ("Content-Length: 2", "Content-Length: 2\r\n", "ab"),
        ("Content-Length: +2", "Content-Length: +2\r\n", "ab"),
        ("Content-Length: 02", "Content-Length: 02\r\n", "ab"),
        ("Content-Length: 0x2", "Content-Length: 0x2\r\n", "ab"),
        ("Content-Length: abc", "Content-Length: abc\r\n", ""),
        ("Content-Length: -1", "Content-Length: -1\r\n", ""),
        ("Content-Length empty", "Content-Length:\r\n", ""),
        ("Content-Length: 2, 2", "Content-Length: 2, 2\r\n", "ab"),
        (
            "Content-Length twice",
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "ab",
        ),
        (
            "two lengths",
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "ab",
        ),
        (
            "Content-Length of 30 digits",
            "Content-Length: 111111111111111111111111111111\r\n",
            "",
        ),
        (
            "chunked",
            "Transfer-Encoding: chunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "CHUNKED",
            "Transfer-Encoding: CHUNKED\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "chunk extension",
            "Transfer-Encoding: chunked\r\n",
            "2;a=\"b\"\r\nab\r\n0\r\n\r\n",
        ),
        (
            "chunk size with zeros",
            "Transfer-Encoding: chunked\r\n",
            "0002\r\nab\r\n000\r\n\r\n",
        ),
        (
            "chunk size with a space",
            "Transfer-Encoding: chunked\r\n",
            "2 \r\nab\r\n0\r\n\r\n",
        ),
        (
            "chunk lines end with LF",
            "Transfer-Encoding: chunked\r\n",
            "2\nab\n0\n\n",
        ),
        (
            "chunk size is no number",
            "Transfer-Encoding: chunked\r\n",
            "zz\r\nab\r\n0\r\n\r\n",
        ),
        (
            "chunked with trailers",
            "Transfer-Encoding: chunked\r\nTrailer: X-A\r\n",
            "2\r\nab\r\n0\r\nX-A: b\r\n\r\n",
        ),
        (
            "chunked and a length",
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "gzip, chunked",
            "Transfer-Encoding: gzip, chunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "chunked, chunked",
            "Transfer-Encoding: chunked, chunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: identity",
            "Transfer-Encoding: identity\r\n",
            "",
        ),
        (
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: xchunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "tab before chunked",
            "Transfer-Encoding:\tchunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
        ),
        (
            "GET with a body",
            "X-Method: see below\r\nContent-Length: 2\r\n",
            "ab",
        ),
    ] {
        let bytes = body(lines, content);
        let bytes = match name {
            "GET with a body" => [b"GET".as_slice(), &bytes[4..]].concat(),
            _ => bytes,
        };
        add(name, bytes);
    }
}
