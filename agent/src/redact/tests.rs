use super::fixture::{mask, pass};
use super::*;
use crate::exchange::Exchange;
use crate::http::Fields;
use crate::policy::{self, Policy, fixture as exchanges};

const HEAD: &str = "GET /a?token=t&b=c HTTP/1.1\r\nhost: h\r\ncookie: sid=1; theme=dark\r\nauthorization: Bearer abc\r\nx-custom: v\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 302 X\r\nset-cookie: a=1; Path=/\r\nlocation: https://u:p@h/?code=1&token=t\r\ncontent-type: application/json\r\n\r\n{\"token\":\"t\",\"n\":1}";

fn config(mode: Mode) -> Config {
    Config {
        mode,
        key: Some(Secret::new("a key for no more than tests".to_owned())),
        ..Config::default()
    }
}

fn gate(config: &Config) -> Gate {
    Gate::new(&policy::Config::everything(), config).unwrap()
}

fn keep(gate: &mut Gate, exchange: Exchange) -> Sanitized {
    pass(gate, exchange, 0)
}

/// Everything that leaves of an exchange, hashes as `#`.
fn shown(sanitized: &Sanitized) -> String {
    let exchange = sanitized.exchange();
    let mut out = String::from_utf8_lossy(exchange.request.head.target()).into_owned();
    let mut add = |fields: &Fields, body: &Body| {
        for (name, value) in fields.iter() {
            out += &format!(
                "\n{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            );
        }
        out += &format!("\n{}", String::from_utf8_lossy(&body.bytes));
    };
    add(&exchange.request.head.fields, &exchange.request.body);
    if let Some(response) = &exchange.response {
        add(&response.head.fields, &response.body);
    }
    mask(&out)
}

fn check(config: &Config, request: &str, response: &str, expected: &str) -> Counts {
    let mut gate = gate(config);
    let sanitized = keep(&mut gate, exchanges::exchange(request, response));
    assert_eq!(shown(&sanitized), expected);
    let counts = gate.redactor.counts().clone();
    // A second pass over what was shown changes nothing.
    let again = keep(&mut gate, sanitized.exchange().clone());
    assert_eq!(
        again.exchange().request.body.bytes,
        sanitized.exchange().request.body.bytes
    );
    assert_eq!(shown(&again), expected);
    counts
}

#[test]
fn credentials_are_hidden_by_default() {
    let counts = check(
        &config(Mode::On),
        HEAD,
        RESPONSE,
        "/a?token=#&b=c\nhost: h\ncookie: sid=#; theme=#\nauthorization: Bearer #\n\nset-cookie: a=#; Path=/\nlocation: https://u:#@h/?code=1&token=#\ncontent-type: application/json\n{\"token\":\"#\",\"n\":1}",
    );
    for (rule, n) in [
        (Rule::Query, 2),
        (Rule::Cookie, 2),
        (Rule::Authorization, 1),
        (Rule::SetCookie, 1),
        (Rule::UserInfo, 1),
        (Rule::Json, 1),
        (Rule::Header, 0),
    ] {
        assert_eq!(counts.redacted[rule as usize], n, "{rule:?}");
    }
}

#[test]
fn off_changes_nothing_and_a_dry_run_only_counts() {
    let as_it_came = "/a?token=t&b=c\nhost: h\ncookie: sid=1; theme=dark\nauthorization: Bearer abc\n\nset-cookie: a=1; Path=/\nlocation: https://u:p@h/?code=1&token=t\ncontent-type: application/json\n{\"token\":\"t\",\"n\":1}";
    let off = check(&config(Mode::Off), HEAD, RESPONSE, as_it_came);
    let dry = check(&config(Mode::DryRun), HEAD, RESPONSE, as_it_came);
    assert_eq!(off.redacted.iter().sum::<u64>(), 0);
    assert_eq!(dry.redacted.iter().sum::<u64>(), 8);
}

#[test]
fn all_fields_and_more_names() {
    let mut config = config(Mode::On);
    config.allowed_headers = vec!["*".to_owned()];
    config.headers = vec!["X-Custom".to_owned()];
    config.names = vec!["color".to_owned()];
    check(
        &config,
        "POST /?COLOR=red&token=t HTTP/1.1\r\nx-custom: v\r\nx-other: w\r\n\r\n{\"co-lor\":1,\"token\":2}",
        "HTTP/1.1 200 X\r\n\r\n",
        "/?COLOR=#&token=t\nx-custom: #\nx-other: w\n{\"co-lor\":\"#\",\"token\":2}\n",
    );
}

#[test]
fn kinds_of_values_are_looked_for_as_configured() {
    let mut config = config(Mode::On);
    let request = "POST /a@b.example HTTP/1.1\r\nreferer: /?m=c@d.example&token=x\r\n\r\ncard 4111111111111111, \"mail\": \"e@f.example\", \"token\":\"g@h.example\"";
    let response = "HTTP/1.1 200 X\r\n\r\n";
    check(
        &config,
        request,
        response,
        "/a@b.example\nreferer: /?m=c@d.example&token=#\ncard #, \"mail\": \"e@f.example\", \"token\":\"#\"\n",
    );
    config.patterns = vec![Pattern::Email];
    check(
        &config,
        request,
        response,
        "/#\nreferer: /?m=#&token=#\ncard 4111111111111111, \"mail\": \"#\", \"token\":\"#\"\n",
    );
}

#[test]
fn a_body_that_costs_too_much_is_omitted_and_the_exchange_kept() {
    // Every name looks ahead at long values, again and again.
    let one = "{\"name\":\"password\",\"a\":\"";
    let text = format!("{}{}", one.repeat(3000), "\\\"x".repeat(3000));
    let mut gate = gate(&config(Mode::On));
    let response = format!("HTTP/1.1 200 X\r\n\r\n{text}");
    let sanitized = keep(
        &mut gate,
        exchanges::exchange("GET / HTTP/1.1\r\n\r\n", &response),
    );
    let spent = sanitized.response_content().omitted == Some(Omitted::Effort);
    let counted = gate.redactor.counts().omitted[Omitted::Effort as usize];
    assert_eq!(counted, u64::from(spent));
    let body = &sanitized.exchange().response.as_ref().unwrap().body;
    assert_eq!(spent, body.bytes.is_empty());
    assert_eq!(body.size, text.len() as u64);
}

#[test]
fn equal_secrets_have_equal_hashes_everywhere() {
    let mut gate = gate(&config(Mode::On));
    let request = "POST /?token=same%20one HTTP/1.1\r\ncookie: a=same one\r\n\r\n{\"token\":\"same\\u0020one\"}";
    let sanitized = keep(
        &mut gate,
        exchanges::exchange(request, "HTTP/1.1 200 X\r\n\r\ntoken=same+one"),
    );
    let exchange = sanitized.exchange();
    let text = format!(
        "{:?}{:?}{:?}{:?}",
        String::from_utf8_lossy(exchange.request.head.target()),
        exchange
            .request
            .head
            .fields
            .get("cookie")
            .map(String::from_utf8_lossy),
        exchange.request.body.bytes,
        exchange.response.as_ref().map(|r| &r.body.bytes),
    );
    let hashes: Vec<_> = text
        .split("[redacted:")
        .skip(1)
        .map(|rest| &rest[..12])
        .collect();
    assert_eq!(hashes.len(), 4, "{text}");
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{text}");
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn coded(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 X\r\n{head}\r\n").as_bytes(), body].concat()
}

/// The response's body and what is said of it; the request is nothing.
fn check_body(
    config: &Config,
    response: &[u8],
    expected: &[u8],
    omitted: Option<Omitted>,
) -> Sanitized {
    let mut gate = gate(config);
    let sanitized = keep(
        &mut gate,
        exchanges::exchange("GET / HTTP/1.1\r\n\r\n", response),
    );
    assert_eq!(sanitized.response_content().omitted, omitted);
    let body = &sanitized.exchange().response.as_ref().unwrap().body;
    let replacement = policy_text(config, b"s3cret");
    let expected = String::from_utf8_lossy(expected).replace('#', &replacement);
    assert_eq!(String::from_utf8_lossy(&body.bytes), expected);
    sanitized
}

fn policy_text(config: &Config, secret: &[u8]) -> String {
    let mut out = Vec::new();
    Digest::new(key(config).unwrap())
        .unwrap()
        .replace(secret, edit::Coding::Plain, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn secrets_are_found_under_content_codings() {
    let plain = br#"{"a":1,"password":"s3cret"}"#;
    let body = gzip(plain);
    let response = coded("content-encoding: gzip\r\n", &body);
    let sanitized = check_body(
        &config(Mode::On),
        &response,
        br##"{"a":1,"password":"#"}"##,
        None,
    );
    assert!(sanitized.response_content().decoded);
    assert_eq!(sanitized.response_content().full_size, plain.len() as u64);
    let body_size = sanitized.exchange().response.as_ref().unwrap().body.size;
    assert_eq!(
        body_size,
        body.len() as u64,
        "the true size is that on the wire"
    );
    check_body(&config(Mode::Off), &response, plain, None);
    // Twice coded, reported in two fields.
    let twice = coded(
        "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        &gzip(&body),
    );
    check_body(
        &config(Mode::On),
        &twice,
        br##"{"a":1,"password":"#"}"##,
        None,
    );
}

#[test]
fn what_cannot_be_inspected_is_omitted() {
    let body = gzip(br#"{"password":"s3cret"}"#);
    let uninspected = Some(Omitted::Uninspected);
    let on = config(Mode::On);
    for head in [
        "content-encoding: unknown\r\n",
        "content-encoding: br\r\n",
        "",
    ] {
        let response = coded(head, &body);
        check_body(&on, &response, b"", uninspected);
        check_body(&config(Mode::Off), &response, &body, None);
        check_body(&config(Mode::DryRun), &response, &body, None);
        let mut keep = on.clone();
        keep.uninspected = Uninspected::Keep;
        check_body(&keep, &response, &body, None);
    }
    let utf16: Vec<u8> =
        r#"{"password":"s3cret"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    check_body(&on, &coded("", &utf16), b"", uninspected);
    check_body(
        &on,
        &coded("content-type: text/plain; charset=UTF-16\r\n", b"x"),
        b"",
        uninspected,
    );
    // Plain text under a wrong label can be inspected.
    let mislabelled = coded("content-encoding: gzip\r\n", br#"{"password":"s3cret"}"#);
    check_body(&on, &mislabelled, br##"{"password":"#"}"##, None);
    // Other binary data can be, too.
    let binary: Vec<u8> = (0..=255).rev().filter(|&b| b != b'#').collect();
    check_body(
        &on,
        &coded("content-type: application/octet-stream\r\n", &binary),
        &binary,
        None,
    );
}

#[test]
fn bodies_by_media_type() {
    let mut config = config(Mode::On);
    config.bodies.include = vec!["application/json".to_owned(), "text/*".to_owned()];
    config.bodies.exclude = vec!["text/html".to_owned()];
    let unwanted = Some(Omitted::Unwanted);
    check_body(
        &config,
        &coded("content-type: Text/Plain; charset=utf-8\r\n", b"x"),
        b"x",
        None,
    );
    check_body(
        &config,
        &coded("content-type: text/html\r\n", b"x"),
        b"",
        unwanted,
    );
    check_body(
        &config,
        &coded("content-type: image/png\r\n", b"x"),
        b"",
        unwanted,
    );
    check_body(&config, &coded("", b"x"), b"", unwanted);
}

#[test]
fn trailers_are_treated_as_fields() {
    let mut exchange = exchanges::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\nx");
    let trailers = exchanges::exchange(
        "GET / HTTP/1.1\r\nx-custom: v\r\nset-cookie: a=s3cret\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\n",
    );
    exchange.response.as_mut().unwrap().body.trailers =
        Some(Box::new(trailers.request.head.fields));
    let sanitized = keep(&mut gate(&config(Mode::On)), exchange);
    let body = &sanitized.exchange().response.as_ref().unwrap().body;
    let trailers: Vec<_> = body.trailers.as_ref().unwrap().iter().collect();
    let replaced = format!("a={}", policy_text(&config(Mode::On), b"s3cret"));
    assert_eq!(trailers, [(&b"set-cookie"[..], replaced.as_bytes())]);
}

#[test]
fn over_budget_bodies_are_omitted_until_it_is_over() {
    let mut gate = gate(&config(Mode::On));
    let exchange = || exchanges::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\nbody");
    gate.redactor.set_bodies(Bodies::Omitted);
    let sanitized = keep(&mut gate, exchange());
    assert_eq!(
        sanitized.response_content().omitted,
        Some(Omitted::Overload)
    );
    let response = sanitized.exchange().response.as_ref().unwrap();
    assert!(response.body.bytes.is_empty());
    // The engine may have kept nothing of it already.
    let mut bare = exchange();
    bare.response.as_mut().unwrap().body.bytes = Bytes::new();
    let sanitized = keep(&mut gate, bare);
    assert_eq!(
        (
            sanitized.request_content().omitted,
            sanitized.response_content().omitted
        ),
        (None, Some(Omitted::Overload))
    );
    gate.redactor.set_bodies(Bodies::Kept);
    assert_eq!(keep(&mut gate, exchange()).response_content().omitted, None);
    let omitted = gate.redactor.counts().omitted;
    assert_eq!(omitted[Omitted::Overload as usize], 2);
}

#[test]
fn a_reload_keeps_counts_and_random_key() {
    let mut gate = gate(&Config::default());
    let target = |gate: &mut Gate| {
        let request = "GET /?token=x HTTP/1.1\r\n\r\n";
        let sanitized = keep(gate, exchanges::exchange(request, "HTTP/1.1 200 X\r\n\r\n"));
        sanitized.exchange().request.head.target().to_vec()
    };
    let before = target(&mut gate);
    let mut other = Gate {
        policy: Policy::new(&policy::Config::default()).unwrap(),
        redactor: gate.redactor.clone(),
    };
    assert_eq!(target(&mut other), before);
    let mut config = Config {
        allowed_headers: vec!["*".to_owned()],
        ..Config::default()
    };
    gate.redactor.reload(&config).unwrap();
    assert_eq!(target(&mut gate), before);
    assert_eq!(gate.redactor.counts().redacted[Rule::Query as usize], 2);
    config.names = vec!["*".to_owned()];
    assert_eq!(
        gate.redactor.reload(&config),
        Err(RedactError::Name("*".to_owned()))
    );
    assert_eq!(target(&mut gate), before);
    config = Config::default();
    config.key = Some(Secret::new("too short".to_owned()));
    assert_eq!(gate.redactor.reload(&config), Err(RedactError::Key));
}

#[test]
fn reason_phrases_are_searched() {
    let check = |phrase: &str, expected: &str| {
        let mut exchange = exchanges::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
        let head = &mut exchange.response.as_mut().unwrap().head;
        head.reason = crate::http::Reason::new(200, phrase.as_bytes());
        let kept = keep(&mut gate(&config(Mode::On)), exchange);
        let reason = &kept.exchange().response.as_ref().unwrap().head.reason;
        assert_eq!(mask(&String::from_utf8_lossy(reason.as_bytes())), expected);
    };
    check("password=S", "password=#");
    check("Authorization: Bearer abc1def2", "Authorization: Bearer #");
    check("Fine", "Fine");
    check("OK", "OK");
    check("Password expired", "Password expired");
}

#[test]
fn json_whose_names_are_long_or_apart() {
    let check = |text: &str, expected: &str| {
        let mut gate = gate(&config(Mode::On));
        let out = gate
            .redactor
            .redact_text(b"application/json", text.as_bytes());
        let out = String::from_utf8(out.unwrap()).unwrap();
        assert_eq!(mask(&out), expected, "{text}");
    };
    let long = "a".repeat(600);
    for name in [format!("{long}_password"), format!("password_{long}")] {
        let text = |value: &str| format!(r#"{{"{name}":"{value}","b":"c"}}"#);
        check(&text("S"), &text("#"));
    }
    for (text, expected) in [
        (
            r#"{"password: ":"S","a":"b"}"#,
            r##"{"password: ":"#","a":"b"}"##,
        ),
        (r#"{password: ":S"}"#, r##"{password: "#"}"##),
        (r#"{"my password: " : "S"}"#, r##"{"my password: " : "#"}"##),
        (
            r#"["--password","S","--user","bob"]"#,
            r##"["--password","#","--user","bob"]"##,
        ),
        (
            r#"{"a":["x","--token","S"]}"#,
            r##"{"a":["x","--token","#"]}"##,
        ),
        (
            r#"[{"op":"replace","path":"/password","value":"S"}]"#,
            r##"[{"op":"replace","path":"/password","value":"#"}]"##,
        ),
        (
            r#"[{"value":"S","path":"/user/password","op":"add"}]"#,
            r##"[{"value":"#","path":"/user/password","op":"add"}]"##,
        ),
    ] {
        check(text, expected);
    }
    for text in [
        r#"{"path":"/password","value":"S"}"#,
        r#"["--password","--user","bob"]"#,
        r#"["password","is","wrong"]"#,
        r#"[{"op":"replace","path":"/user","value":"S"}]"#,
    ] {
        check(text, text);
    }
}

#[test]
fn what_costs_too_much_in_a_head_is_hidden_and_counted() {
    let slow = "%25=".repeat(1024);
    let request = format!("GET /a?{slow} HTTP/1.1\r\nhost: h\r\nreferer: /b?{slow}\r\n\r\n");
    let counts = check(
        &config(Mode::On),
        &request,
        "HTTP/1.1 200 X\r\n\r\n",
        "/a?#\nhost: h\nreferer: #\n\n",
    );
    assert_eq!(counts.redacted[Rule::Effort as usize], 2);
    // What clients send is not.
    let plain = "a=b&name=ann&next=https%3A%2F%2Fh%2F%3Fa%3Db&".repeat(64);
    let request = format!("GET /a?{plain} HTTP/1.1\r\nhost: h\r\n\r\n");
    let expected = format!("/a?{plain}\nhost: h\n\n");
    let response = "HTTP/1.1 200 X\r\n\r\n";
    check(&config(Mode::On), &request, response, &expected);
}
