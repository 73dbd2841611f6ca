//! One credential, put wherever clients and servers put theirs: nothing that leaves the node shows
//! it, be it a span of any profile, a HAR entry, a line of JSON or one for a person.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;

use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::export::otlp::{BatchConfig, Requests};
use meshtap::flow::{CgroupId, Direction, SocketId};
use meshtap::har;
use meshtap::policy::{self, PolicyContext};
use meshtap::redact::{Config, Gate, Mode, Sanitized};
use meshtap::signal::span::{self, Origin, Profile, SpanBuilder};
use meshtap::tap::{Detail, Palette, Style, View, write_json, write_verbose};

/// Long and mixed, as such values are; no other part of an exchange holds it.
const SECRET: &str = "S3cr37QvXzJ8kPwLr2Tn5Yb";

/// `@` in these stands for the secret.
const TARGETS: [&str; 20] = [
    "/?token=@",
    "/?api_key=@&a=b",
    "/?code=@&state=a",
    "/?a=b&state=@&code=abcdef",
    "/cb?code=@",
    "/maps?key=@",
    "/?X-Amz-Signature=@&X-Amz-Credential=a",
    "/blob?sv=1&sig=@",
    "/a;jsessionid=@",
    "/?user[password]=@",
    "/?passwords[0]=@",
    "/?p%61ssword=@",
    "/?next=https%3A%2F%2Fh%2F%3Ftoken%3D@",
    "/?next=https%3A%2F%2Fh%2F%3Fn%3Dhttps%253A%252F%252Fh%252F%253Ftoken%253D@",
    "/?q={%22password%22:%22@%22}",
    "/login?ticket=@",
    "/?client_id=a&code_verifier=@",
    "http://user:@@example/",
    "http://@@example/",
    "/?redirect=https://user:@@example/",
];

const FIELDS: [&str; 38] = [
    "authorization: Bearer @",
    "Authorization: Basic @",
    "authorization: @",
    "AUTHORIZATION: Unknown @",
    "proxy-authorization: Basic @",
    "authentication: @",
    "x-authentication: @",
    "x-forwarded-authorization: Bearer @",
    "cookie: sid=@",
    "cookie: a=b; @",
    "set-cookie: sid=@; HttpOnly",
    "x-api-key: @",
    "X-API-KEY-2: @",
    "apikey: @",
    "x-apikey: @",
    "api_key: @",
    "x-rapidapi-key: @",
    "ocp-apim-subscription-key: @",
    "x-functions-key: @",
    "x-auth-token: @",
    "x-vault-token: @",
    "private-token: @",
    "x-csrf-token: @",
    "x-amz-security-token: @",
    "x-amz-server-side-encryption-customer-key: @",
    "x-hub-signature-256: sha256=@",
    "x-goog-iap-jwt-assertion: @",
    "x-honeycomb-team: @",
    "dpop: @",
    "host: user:@@example",
    "referer: https://example/?token=@",
    "referer: https://user:@@example/",
    "location: https://example/cb?code=@&state=a",
    "link: <https://example/?sig=@>; rel=next",
    "refresh: 5; url=https://example/?token=@",
    "x-callback-address: https://example/?token=@",
    "sec-websocket-protocol: bearer, @",
    "sec-websocket-protocol: base64url.bearer.authorization.k8s.io.@, v4.channel.k8s.io",
];

/// Media type and body.
const BODIES: [(&str, &str); 40] = [
    ("application/json", r#"{"password":"@"}"#),
    ("application/json", r#"{"a":{"b":[{"client_secret":"@"}]}}"#),
    ("application/json", r#"{"credentials":{"a":["@"]}}"#),
    ("application/json", r#"{"name":"password","value":"@"}"#),
    ("application/json", r#"[{"value":"@","name":"API_KEY"}]"#),
    (
        "application/json",
        r#"{"Key":"db-password","Other":1,"Value":"@"}"#,
    ),
    (
        "application/json",
        r#"{"headers":[{"name":"Authorization","value":"Bearer @"}]}"#,
    ),
    ("application/json", r#"{"inner":"{\"token\":\"@\"}"}"#),
    (
        "application/json",
        r#"{"url":"https://example/?X-Amz-Signature=@"}"#,
    ),
    (
        "application/json",
        r#"{"url":"https:\/\/example\/?token=@"}"#,
    ),
    (
        "application/json",
        r#"{"url":"https://example/?a=b\u0026sig=@"}"#,
    ),
    (
        "application/json",
        r#"{"dsn":"postgres://user:@@example/db"}"#,
    ),
    ("application/json", r#"{"pass\u0077ord":"@"}"#),
    ("application/json", r#"{"password":"@"#),
    (
        "application/json",
        r#"{"query":"mutation { login(password: \"@\") }"}"#,
    ),
    (
        "application/json",
        r#"{"query":"mutation { login(password: \"\"\"@\"\"\") }"}"#,
    ),
    (
        "application/json",
        r#"{"query":"q","variables":{"password":"@"}}"#,
    ),
    (
        "application/json",
        r#"{"query":"q","variables":{"input":{"name":"token","value":"@"}}}"#,
    ),
    (
        "application/graphql",
        r#"mutation { login(user: "a", password: "@") }"#,
    ),
    ("application/x-ndjson", "{\"a\":1}\n{\"token\":\"@\"}\n"),
    ("text/event-stream", "data: {\"access_token\":\"@\"}\n\n"),
    ("application/x-www-form-urlencoded", "user=a&password=@"),
    (
        "application/x-www-form-urlencoded",
        "grant_type=authorization_code&code=@",
    ),
    (
        "application/x-www-form-urlencoded",
        "payload=%7B%22token%22%3A%22@%22%7D",
    ),
    ("application/x-www-form-urlencoded", "SAMLResponse=@"),
    ("text/plain", "password=@"),
    ("", "client_id=a&client_secret=@"),
    (
        "multipart/form-data; boundary=b",
        "--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\n@\r\n--b--\r\n",
    ),
    (
        "multipart/form-data; boundary=b",
        "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n{\"token\":\"@\"}\r\n--b--\r\n",
    ),
    (
        "multipart/related; boundary=b",
        "--b\r\ncontent-type: application/xop+xml\r\n\r\n<wsse:Password>@</wsse:Password>\r\n--b--\r\n",
    ),
    (
        "text/xml",
        "<soap:Envelope><wsse:UsernameToken><wsse:Password>@</wsse:Password></wsse:UsernameToken></soap:Envelope>",
    ),
    (
        "text/xml",
        "<saml:Assertion><ds:SignatureValue>@</ds:SignatureValue></saml:Assertion>",
    ),
    ("application/xml", "<db password=\"@\"/>"),
    ("application/xml", "<add key=\"ApiKey\" value=\"@\"/>"),
    (
        "application/xml",
        "<member><name>password</name><value><string>@</string></value></member>",
    ),
    ("application/xml", "<token><![CDATA[@]]></token>"),
    (
        "text/html",
        "<!doctype html><input type=\"hidden\" name=\"csrf_token\" value=\"@\">",
    ),
    (
        "text/html",
        "<html><a href=\"https://example/reset?a=b&amp;token=@\">x</a>",
    ),
    ("application/jwt", "@"),
    ("application/token-introspection+jwt", "@"),
];

fn exchange(request: &str, response: &str) -> Exchange {
    let mut engine = Engine::new(Limits::default());
    let mut output = Output::default();
    let mut feed = |direction, seq, ack, text: &str| {
        let segment = Segment {
            time: 1,
            cgroup: CgroupId(1),
            seq,
            ack,
            expected: seq,
            start: true,
            ..Segment::new(
                SocketId(1),
                direction,
                (
                    "10.1.0.1:8080".parse::<SocketAddr>().unwrap().into(),
                    "10.1.0.7:40000".parse::<SocketAddr>().unwrap().into(),
                ),
                text.as_bytes(),
            )
        };
        engine.event(&Event::Tcp(segment), &mut output);
    };
    let next = 1 + u32::try_from(request.len()).unwrap();
    feed(Direction::Ingress, 1, 1, request);
    feed(Direction::Egress, 1, next, response);
    engine.finish(2, &mut output);
    output
        .exchanges
        .pop()
        .unwrap_or_else(|| panic!("no exchange in {request} {response}"))
}

/// Everything that can leave of an exchange.
fn shown(sanitized: &Sanitized) -> Vec<u8> {
    let mut out = Vec::new();
    for profile in [Profile::Mesh, Profile::Gateway, Profile::Semconv] {
        let builder = SpanBuilder::new(span::Settings {
            profile,
            ..span::Settings::default()
        });
        let span = builder.build(sanitized, &Origin::default());
        out.extend_from_slice(span.name().as_bytes());
        let mut requests = Requests::new(&BatchConfig::default());
        assert!(requests.add(&span).is_none());
        let batch = requests.close().unwrap();
        batch
            .parts
            .iter()
            .for_each(|part| out.extend_from_slice(part));
    }
    let mut document = Vec::new();
    let mut writer = har::Writer::new(&mut document).unwrap();
    writer.write(sanitized).unwrap();
    writer.finish().unwrap();
    out.extend(document);
    let view = View {
        sanitized,
        process: None,
        caller: None,
        clock: WallClock { offset: 0 },
    };
    write_json(&mut out, &view, Detail::Bodies);
    for pretty in [false, true] {
        let palette = Palette::new(false);
        write_verbose(&mut out, &view, Detail::Bodies, Style { palette, pretty });
    }
    out
}

fn gate(mode: Mode) -> Gate {
    let config = Config {
        mode,
        ..Config::everything()
    };
    Gate::new(&policy::Config::everything(), &config).unwrap()
}

fn shows(gate: &mut Gate, request: &str, response: &str) -> bool {
    let exchange = exchange(request, response);
    let context = PolicyContext::default();
    let sanitized = gate
        .pass(exchange, &context, &WallClock { offset: 0 })
        .unwrap();
    let shown = shown(&sanitized);
    assert!(!shown.is_empty());
    shown
        .windows(SECRET.len())
        .any(|part| part == SECRET.as_bytes())
}

/// With the secret in its place. A mail sign of the text's own comes after the secret.
fn fill(text: &str) -> String {
    text.replace("@@", &format!("{SECRET}\u{1}"))
        .replace('@', SECRET)
        .replace('\u{1}', "@")
}

/// With redaction the secret is nowhere, and without it is shown: the test sees it where it is.
#[track_caller]
fn check(request: &str, response: &str) {
    let (request, response) = (fill(request), fill(response));
    assert!(
        shows(&mut gate(Mode::Off), &request, &response),
        "{request} {response}"
    );
    assert!(
        !shows(&mut gate(Mode::On), &request, &response),
        "leaks: {request} {response}"
    );
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[test]
fn targets() {
    for target in TARGETS {
        check(&format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n"), OK);
        let located =
            format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
        check("GET / HTTP/1.1\r\nhost: h\r\n\r\n", &located);
    }
}

#[test]
fn header_fields() {
    for field in FIELDS {
        check(&format!("GET / HTTP/1.1\r\n{field}\r\n\r\n"), OK);
        check(
            "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\n{field}\r\ncontent-length: 0\r\n\r\n"),
        );
    }
}

#[test]
fn trailers() {
    for field in FIELDS {
        let chunked = format!("transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{field}\r\n\r\n");
        let response = format!("HTTP/1.1 200 OK\r\n{}", fill(&chunked));
        let request = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
        assert!(!shows(&mut gate(Mode::On), request, &response), "{field}");
    }
}

#[test]
fn bodies() {
    for (kind, body) in BODIES {
        let len = body
            .replace("@@", &format!("{SECRET}#"))
            .replace('@', SECRET)
            .len();
        let head = format!("content-type: {kind}\r\ncontent-length: {len}\r\n\r\n{body}");
        check(&format!("POST / HTTP/1.1\r\nhost: h\r\n{head}"), OK);
        check(
            "GET / HTTP/1.1\r\nhost: h\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\n{head}"),
        );
    }
}
