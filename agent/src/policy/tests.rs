use super::*;
use crate::http::Fields;

const HEAD: &str = "GET /a?token=t&b=c HTTP/1.1\r\nhost: h\r\ncookie: sid=1; theme=dark\r\nauthorization: Bearer abc\r\nx-custom: v\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 302 X\r\nset-cookie: a=1; Path=/\r\nlocation: https://u:p@h/?code=1&token=t\r\ncontent-type: application/json\r\n\r\n{\"token\":\"t\",\"n\":1}";

fn settings(mode: Mode) -> Settings {
    let mut settings = Settings::default();
    settings.redaction.mode = mode;
    settings.redaction.key = Some(Secret::new("a key for no more than tests".to_owned()));
    settings
}

fn keep(policy: &mut Policy, exchange: Exchange) -> Sanitized {
    match policy.apply(exchange, &WallClock { offset: 0 }) {
        Decision::Keep(sanitized) => sanitized,
        Decision::Skip(reason) => panic!("{reason:?}"),
    }
}

/// Everything that is told of an exchange, hashes as `#`.
fn told(sanitized: &Sanitized) -> String {
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
    let mut masked = String::new();
    let mut rest = out.as_str();
    while let Some((before, after)) = rest.split_once("[redacted:") {
        masked += before;
        masked += "#";
        rest = &after[13..];
    }
    masked + rest
}

fn check(settings: &Settings, request: &str, response: &str, expected: &str) -> Counts {
    let mut policy = Policy::new(settings).unwrap();
    let sanitized = keep(&mut policy, sample::exchange(request, response));
    assert_eq!(told(&sanitized), expected);
    // A second pass over what was told changes nothing.
    let again = keep(&mut policy.clone(), sanitized.exchange().clone());
    assert_eq!(
        again.exchange().request.body.bytes,
        sanitized.exchange().request.body.bytes
    );
    assert_eq!(told(&again), expected);
    policy.counts().clone()
}

#[test]
fn credentials_are_hidden_by_default() {
    let counts = check(
        &settings(Mode::On),
        HEAD,
        ANSWER,
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
    assert_eq!(counts.kept, 1);
}

#[test]
fn off_changes_nothing_and_a_dry_run_only_counts() {
    let as_it_came = "/a?token=t&b=c\nhost: h\ncookie: sid=1; theme=dark\nauthorization: Bearer abc\n\nset-cookie: a=1; Path=/\nlocation: https://u:p@h/?code=1&token=t\ncontent-type: application/json\n{\"token\":\"t\",\"n\":1}";
    let off = check(&settings(Mode::Off), HEAD, ANSWER, as_it_came);
    let dry = check(&settings(Mode::DryRun), HEAD, ANSWER, as_it_came);
    assert_eq!(off.redacted.iter().sum::<u64>(), 0);
    assert_eq!(dry.redacted.iter().sum::<u64>(), 8);
}

#[test]
fn all_fields_and_more_names() {
    let mut settings = settings(Mode::On);
    settings.headers = vec!["*".to_owned()];
    settings.redaction.headers = vec!["X-Custom".to_owned()];
    settings.redaction.names = vec!["color".to_owned()];
    check(
        &settings,
        "POST /?COLOR=red&token=t HTTP/1.1\r\nx-custom: v\r\nx-other: w\r\n\r\n{\"co-lor\":1,\"token\":2}",
        "HTTP/1.1 200 X\r\n\r\n",
        "/?COLOR=#&token=t\nx-custom: #\nx-other: w\n{\"co-lor\":\"#\",\"token\":2}\n",
    );
}

#[test]
fn value_patterns_are_looked_for_when_asked() {
    let mut settings = settings(Mode::On);
    let request = "POST /a@b.example HTTP/1.1\r\nreferer: /?m=c@d.example&token=x\r\n\r\ncard 4111111111111111, \"mail\": \"e@f.example\", \"token\":\"g@h.example\"";
    let response = "HTTP/1.1 200 X\r\n\r\n";
    check(
        &settings,
        request,
        response,
        "/a@b.example\nreferer: /?m=c@d.example&token=#\ncard 4111111111111111, \"mail\": \"e@f.example\", \"token\":\"#\"\n",
    );
    settings.redaction.patterns = vec![Pattern::Card, Pattern::Email];
    check(
        &settings,
        request,
        response,
        "/#\nreferer: /?m=#&token=#\ncard #, \"mail\": \"#\", \"token\":\"#\"\n",
    );
}

#[test]
fn equal_secrets_have_equal_hashes_everywhere() {
    let mut policy = Policy::new(&settings(Mode::On)).unwrap();
    let request = "POST /?token=same%20one HTTP/1.1\r\ncookie: a=same one\r\n\r\n{\"token\":\"same\\u0020one\"}";
    let sanitized = keep(
        &mut policy,
        sample::exchange(request, "HTTP/1.1 200 X\r\n\r\ntoken=same+one"),
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

/// The answer's body and what is said of it; the request is nothing.
fn check_body(
    settings: &Settings,
    response: &[u8],
    expected: &[u8],
    withheld: Option<Withheld>,
) -> Sanitized {
    let mut policy = Policy::new(settings).unwrap();
    let sanitized = keep(
        &mut policy,
        sample::exchange("GET / HTTP/1.1\r\n\r\n", response),
    );
    assert_eq!(sanitized.response_content().withheld, withheld);
    let body = &sanitized.exchange().response.as_ref().unwrap().body;
    let replacement = policy_text(settings, b"s3cret");
    let expected = String::from_utf8_lossy(expected).replace('#', &replacement);
    assert_eq!(String::from_utf8_lossy(&body.bytes), expected);
    sanitized
}

fn policy_text(settings: &Settings, secret: &[u8]) -> String {
    let mut out = Vec::new();
    Digest::new(key(settings).unwrap()).replace(secret, edit::Coding::Plain, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn secrets_are_found_under_content_codings() {
    let plain = br#"{"a":1,"password":"s3cret"}"#;
    let body = gzip(plain);
    let response = coded("content-encoding: gzip\r\n", &body);
    let sanitized = check_body(
        &settings(Mode::On),
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
    check_body(&settings(Mode::Off), &response, plain, None);
    // Twice coded, told in two fields.
    let twice = coded(
        "content-encoding: gzip\r\ncontent-encoding: gzip\r\n",
        &gzip(&body),
    );
    check_body(
        &settings(Mode::On),
        &twice,
        br##"{"a":1,"password":"#"}"##,
        None,
    );
}

#[test]
fn what_cannot_be_inspected_is_left_out() {
    let body = gzip(br#"{"password":"s3cret"}"#);
    let uninspected = Some(Withheld::Uninspected);
    let on = settings(Mode::On);
    for head in [
        "content-encoding: unknown\r\n",
        "content-encoding: br\r\n",
        "",
    ] {
        let response = coded(head, &body);
        check_body(&on, &response, b"", uninspected);
        check_body(&settings(Mode::Off), &response, &body, None);
        check_body(&settings(Mode::DryRun), &response, &body, None);
        let mut keep = on.clone();
        keep.redaction.uninspected = Uninspected::Keep;
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
    let mut settings = settings(Mode::On);
    settings.bodies.include = vec!["application/json".to_owned(), "text/*".to_owned()];
    settings.bodies.exclude = vec!["text/html".to_owned()];
    let unwanted = Some(Withheld::Unwanted);
    check_body(
        &settings,
        &coded("content-type: Text/Plain; charset=utf-8\r\n", b"x"),
        b"x",
        None,
    );
    check_body(
        &settings,
        &coded("content-type: text/html\r\n", b"x"),
        b"",
        unwanted,
    );
    check_body(
        &settings,
        &coded("content-type: image/png\r\n", b"x"),
        b"",
        unwanted,
    );
    check_body(&settings, &coded("", b"x"), b"", unwanted);
}

#[test]
fn trailers_are_treated_as_fields() {
    let mut exchange = sample::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\nx");
    let trailers = sample::exchange(
        "GET / HTTP/1.1\r\nx-custom: v\r\nset-cookie: a=s3cret\r\n\r\n",
        "HTTP/1.1 200 X\r\n\r\n",
    );
    exchange.response.as_mut().unwrap().body.trailers =
        Some(Box::new(trailers.request.head.fields));
    let sanitized = keep(&mut Policy::new(&settings(Mode::On)).unwrap(), exchange);
    let body = &sanitized.exchange().response.as_ref().unwrap().body;
    let trailers: Vec<_> = body.trailers.as_ref().unwrap().iter().collect();
    let replaced = format!("a={}", policy_text(&settings(Mode::On), b"s3cret"));
    assert_eq!(trailers, [(&b"set-cookie"[..], replaced.as_bytes())]);
}

#[test]
fn the_callers_trace_goes_on() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let mut policy = Policy::new(&Settings::default()).unwrap();
    let mut check = |headers: &str, expected: Option<(&str, &str)>| {
        let request = format!("GET / HTTP/1.1\r\n{headers}\r\n");
        let sanitized = keep(
            &mut policy,
            sample::exchange(request, "HTTP/1.1 200 X\r\n\r\n"),
        );
        let context = sanitized.trace();
        let found = context
            .parent
            .map(|parent| (context.trace.to_string(), parent.to_string()));
        assert_eq!(
            found,
            expected.map(|(t, s)| (t.to_owned(), s.to_owned())),
            "{headers}"
        );
        (context.trace, context.span)
    };
    let w3c = format!("traceparent: 00-{trace}-{span}-01\r\n");
    let both = Some((trace, span));
    check(&w3c, both);
    check(&format!("b3: {trace}-{span}-1\r\n"), both);
    check(
        &format!("X-B3-TraceId: {trace}\r\nX-B3-SpanId: {span}\r\n"),
        both,
    );
    check(&format!("traceparent: odd\r\nb3: {trace}-{span}\r\n"), both);
    check(&format!("b3: 1-1-1\r\n{w3c}"), both);
    let fresh: std::collections::HashSet<_> = [
        check("", None),
        check("", None),
        check(&format!("{w3c}{w3c}"), None),
        check(&format!("x-b3-traceid: {trace}\r\n"), None),
    ]
    .into_iter()
    .collect();
    assert_eq!(fresh.len(), 4);
    assert!(
        fresh
            .iter()
            .all(|(trace, span)| trace.0 != [0; 16] && span.0 != [0; 8])
    );
}

#[test]
fn what_is_not_kept_is_counted() {
    let settings = Settings {
        sampling_ratio: 0.25,
        ..Settings::default()
    };
    let mut policy = Policy::new(&settings).unwrap();
    let exchange = |target: &str| {
        sample::exchange(
            format!("GET {target} HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 X\r\n\r\n",
        )
    };
    for _ in 0..4000 {
        policy.apply(exchange("/a"), &WallClock { offset: 0 });
    }
    for _ in 0..10 {
        policy.apply(exchange("/static/x"), &WallClock { offset: 0 });
    }
    let counts = policy.counts();
    let sampled = counts.skipped[Skip::Sampling as usize];
    assert_eq!(counts.kept + sampled, 4000);
    // 1000 ± 27 (one σ); ten σ either way.
    assert!((730..1270).contains(&counts.kept), "{}", counts.kept);
    assert_eq!(counts.skipped[Skip::Path as usize], 10);
}

#[test]
fn over_budget_it_does_less_and_comes_back() {
    let mut policy = Policy::new(&settings(Mode::On)).unwrap();
    let exchange = || sample::exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\nbody");
    policy.reduce(false, 1.0);
    let sanitized = keep(&mut policy, exchange());
    assert_eq!(
        sanitized.response_content().withheld,
        Some(Withheld::Overload)
    );
    assert!(
        sanitized
            .exchange()
            .response
            .as_ref()
            .unwrap()
            .body
            .bytes
            .is_empty()
    );
    // The engine may have kept nothing of it already.
    let mut bare = exchange();
    bare.response.as_mut().unwrap().body.bytes = Bytes::new();
    let sanitized = keep(&mut policy, bare);
    assert_eq!(
        (
            sanitized.request_content().withheld,
            sanitized.response_content().withheld
        ),
        (None, Some(Withheld::Overload))
    );
    policy.reduce(false, 0.0);
    let decision = policy.apply(exchange(), &WallClock { offset: 0 });
    assert!(matches!(decision, Decision::Skip(Skip::Overload)));
    policy.reduce(true, 1.0);
    assert_eq!(
        keep(&mut policy, exchange()).response_content().withheld,
        None
    );
    assert_eq!(
        (policy.counts().bodies_overload, policy.counts().kept),
        (2, 3)
    );
}

#[test]
fn a_reload_keeps_counts_and_random_key() {
    let mut policy = Policy::new(&Settings::default()).unwrap();
    let target = |policy: &mut Policy| {
        let sanitized = keep(
            policy,
            sample::exchange("GET /?token=x HTTP/1.1\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n"),
        );
        sanitized.exchange().request.head.target().to_vec()
    };
    let before = target(&mut policy);
    assert_eq!(target(&mut policy.clone()), before);
    let mut other = Settings {
        headers: vec!["*".to_owned()],
        ..Settings::default()
    };
    policy.reload(&other).unwrap();
    assert_eq!(target(&mut policy), before);
    assert_eq!(policy.counts().kept, 2);
    other.redaction.names = vec!["*".to_owned()];
    assert_eq!(
        policy.reload(&other),
        Err(PolicyError::Name("*".to_owned()))
    );
    assert_eq!(target(&mut policy), before);
    other.redaction = Redaction::default();
    other.redaction.key = Some(Secret::new("too short".to_owned()));
    assert_eq!(policy.reload(&other), Err(PolicyError::Key));
}
