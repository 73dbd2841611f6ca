use std::sync::Arc;

use super::*;
use crate::exchange::{Exchange, Partial};
use crate::flow::{CgroupId, Secured, Side, TunnelClaims, TunnelSource};
use crate::http::Unknown;
use crate::policy::fixture;
use crate::redact::fixture::sanitize_at;
use crate::redact::{Config, Mode, Uninspected};

const REQUEST: &str = "POST /a?token=t&b=c HTTP/1.1\r\nHost: shop:8080\r\nUser-Agent: curl/8\r\nAccept: x\r\naccept: y\r\nContent-Type: text/plain\r\n\r\nhello";
const RESPONSE: &str = "HTTP/1.1 404 X\r\ncontent-type: text/plain\r\n\r\ngone";

fn sanitize(exchange: Exchange) -> Sanitized {
    let config = Config {
        mode: Mode::Off,
        ..Config::default()
    };
    sanitize_at(&config, exchange, 1_700_000_000_000_000_000)
}

fn text(value: Value<'_>) -> String {
    match value {
        Value::Str(text) => text.to_owned(),
        Value::Int(number) => format!("{number}i"),
        Value::Bool(truth) => truth.to_string(),
        Value::List(list) => format!("[{}]", list.iter().collect::<Vec<_>>().join("|")),
    }
}

/// All attributes in order, a line each.
fn check(settings: Settings, exchange: Exchange, expected: &str) -> Span {
    let span = SpanBuilder::new(settings).build(&sanitize(exchange), &Origin::default());
    let lines: Vec<_> = span
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    let expected: Vec<_> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines, expected);
    span
}

fn profile(profile: Profile) -> Settings {
    Settings {
        profile,
        sensor_id: "s1".to_owned(),
        ..Settings::default()
    }
}

fn resource(span: &Span) -> Vec<String> {
    let value = |value: &ResourceValue| match value {
        ResourceValue::Str(text) => text.clone(),
        ResourceValue::Int(number) => format!("{number}i"),
    };
    span.resource
        .attributes
        .iter()
        .map(|(k, v)| format!("{k}={}", value(v)))
        .collect()
}

#[test]
fn mesh() {
    let span = check(
        profile(Profile::Mesh),
        fixture::exchange(REQUEST, RESPONSE),
        r#"
        http.method=POST
        http.status_code=404i
        http.target=/a?token=t&b=c
        http.host=shop:8080
        http.flavor=1.1
        http.scheme=http
        net.sock.peer.addr=10.0.0.9
        http.request.headers={"host":"shop:8080","user-agent":"curl/8","accept":"x,y","content-type":"text/plain"}
        http.response.headers={"content-type":"text/plain"}
        http.request.body=hello
        http.request.body.size=5i
        http.response.body=gone
        http.response.body.size=4i
        sensor.id=s1
        meshtap.side=server
        "#,
    );
    assert_eq!(
        (span.name(), span.kind, span.status),
        ("example-span", Kind::Internal, Status::Unset)
    );
    assert_eq!(
        (span.start, span.end),
        (1_700_000_000_000_001_000, 1_700_000_000_000_005_000)
    );
    assert_eq!(span.scope.name, "astra-istio-servicemesh");
    assert_eq!(
        resource(&span),
        [
            "service.name=astra-istio-instrumentation",
            "service.version=1.0.0"
        ]
    );
}

#[test]
fn gateway() {
    let mut exchange = fixture::exchange(REQUEST, RESPONSE);
    exchange.response = None;
    exchange.partial = Some(Partial::NoResponse);
    let span = check(
        profile(Profile::Gateway),
        exchange,
        r#"
        http.method=POST
        http.target=/a?token=t&b=c
        http.host=shop:8080
        http.flavor=1.1
        http.scheme=http
        net.sock.peer.addr=10.0.0.9
        http.request.headers={"host":"shop:8080","user-agent":"curl/8","accept":"x,y","content-type":"text/plain"}
        http.request.body=hello
        http.request.body.size=5i
        meshtap.side=server
        meshtap.partial=no_response
        "#,
    );
    assert_eq!(span.scope.name, "bookinfo-gateway");
    assert_eq!(
        resource(&span),
        [
            "service.name=astra-istio-instrumentation",
            "service.version=1.0.0",
            "sensor.id=s1"
        ]
    );
}

#[test]
fn semconv_server() {
    let span = check(
        profile(Profile::Semconv),
        fixture::exchange(REQUEST, RESPONSE),
        "
        http.request.method=POST
        url.path=/a
        url.query=token=t&b=c
        url.scheme=http
        server.address=shop
        server.port=8080i
        client.address=10.0.0.9
        network.peer.address=10.0.0.9
        network.peer.port=40000i
        network.protocol.name=http
        network.protocol.version=1.1
        user_agent.original=curl/8
        http.request.header.host=[shop:8080]
        http.request.header.user-agent=[curl/8]
        http.request.header.accept=[x|y]
        http.request.header.content-type=[text/plain]
        http.request.body.content=hello
        http.request.body.size=5i
        http.response.status_code=404i
        http.response.header.content-type=[text/plain]
        http.response.body.content=gone
        http.response.body.size=4i
        ",
    );
    assert_eq!(
        (span.name(), span.kind, span.status),
        ("POST", Kind::Server, Status::Unset)
    );
    assert_eq!(span.scope.name, "meshtap");
}

#[test]
fn semconv_client() {
    let mut exchange = fixture::exchange(
        "BREW /pot HTTP/1.0\r\nx-forwarded-proto: https\r\n\r\n",
        RESPONSE,
    );
    Arc::make_mut(&mut exchange.peers).side = Side::Client;
    let span = check(
        profile(Profile::Semconv),
        exchange,
        "
        http.request.method=_OTHER
        http.request.method_original=BREW
        url.full=http://10.0.0.1/pot
        url.path=/pot
        url.scheme=http
        server.address=10.0.0.1
        server.port=8080i
        network.peer.address=10.0.0.1
        network.peer.port=8080i
        network.protocol.name=http
        network.protocol.version=1.0
        http.request.header.x-forwarded-proto=[https]
        http.request.body.content=
        http.request.body.size=0i
        http.response.status_code=404i
        http.response.header.content-type=[text/plain]
        http.response.body.content=gone
        http.response.body.size=4i
        error.type=404
        ",
    );
    assert_eq!(
        (span.name(), span.kind, span.status),
        ("HTTP", Kind::Client, Status::Error)
    );
}

/// A scheme that is among what is unknown is not claimed; what is configured, or said by a proxy,
/// stands.
#[test]
fn an_unknown_scheme() {
    let schemes = |profile_of, side, request| {
        let mut exchange = fixture::exchange(request, RESPONSE);
        exchange.request.head.unknown = Unknown::SCHEME;
        Arc::make_mut(&mut exchange.peers).side = side;
        let span = SpanBuilder::new(profile(profile_of));
        let span = span.build(&sanitize(exchange), &Origin::default());
        let keys = ["http.scheme", "url.scheme", "url.full"];
        let found = keys.map(|key| span.attributes.get(key).map(text));
        found.into_iter().flatten().collect::<Vec<_>>()
    };
    let plain = "GET /pot HTTP/1.0\r\n\r\n";
    let forwarded = "GET /pot HTTP/1.0\r\nx-forwarded-proto: https\r\n\r\n";
    for profile in [Profile::Mesh, Profile::Semconv] {
        for side in [Side::Client, Side::Server] {
            assert_eq!(schemes(profile, side, plain), [""; 0]);
        }
        assert_eq!(schemes(profile, Side::Server, forwarded), ["https"]);
    }
}

#[test]
fn settings_go_before_defaults() {
    let settings = Settings {
        profile: Profile::Mesh,
        scope_name: Some("sc".into()),
        service_name: Some("sv".into()),
        service_version: Some("9".into()),
        span_name: Some("sp".into()),
        scheme: Some("https".into()),
        resource: vec![
            ("a".into(), "b".into()),
            ("service.name".into(), "c".into()),
        ],
        ..Settings::default()
    };
    let sanitized = sanitize(fixture::exchange(REQUEST, RESPONSE));
    let span = SpanBuilder::new(settings).build(&sanitized, &Origin::default());
    assert_eq!((span.name(), span.scope.name.as_str()), ("sp", "sc"));
    assert_eq!(
        resource(&span),
        ["service.version=9", "a=b", "service.name=c"]
    );
    assert_eq!(
        span.attributes.get("http.scheme"),
        Some(Value::Str("https"))
    );
    assert_eq!(span.attributes.get("sensor.id"), None);
}

#[test]
fn a_workload_is_emitted_in_the_span_or_in_its_resource() {
    let sanitized = sanitize(fixture::exchange(REQUEST, RESPONSE));
    let workload = [
        ("k8s.pod.name".to_owned(), "web-1".into()),
        ("process.pid".to_owned(), ResourceValue::Int(7)),
        ("service.name".to_owned(), "web".into()),
    ];
    let client = [("k8s.src.pod.name".to_owned(), "front-1".into())];
    let mesh = SpanBuilder::new(profile(Profile::Mesh));
    let shared = mesh.resource(&workload);
    let origin = Origin {
        attributes: &workload,
        resource: Some(&shared),
        ends: [&client, &[]],
        tags: &[("zone".to_owned(), "eu".into())],
        process: None,
    };
    let span = mesh.build(&sanitized, &origin);
    assert_eq!(span.attributes.get("zone"), Some(Value::Str("eu")));
    assert_eq!(
        span.attributes.get("k8s.pod.name"),
        Some(Value::Str("web-1"))
    );
    assert_eq!(
        span.attributes.get("k8s.src.pod.name"),
        Some(Value::Str("front-1"))
    );
    assert_eq!(span.attributes.get("process.pid"), Some(Value::Int(7)));
    assert!(Arc::ptr_eq(
        &span.resource,
        &mesh.build(&sanitized, &Origin::default()).resource
    ));

    let semconv = SpanBuilder::new(profile(Profile::Semconv));
    let shared = semconv.resource(&workload);
    let origin = Origin {
        attributes: &workload,
        resource: Some(&shared),
        ends: [&client, &[]],
        tags: &[],
        process: None,
    };
    let span = semconv.build(&sanitized, &origin);
    assert_eq!(span.attributes.get("k8s.pod.name"), None);
    // The other end is not what made the span.
    assert_eq!(
        span.attributes.get("k8s.src.pod.name"),
        Some(Value::Str("front-1"))
    );
    assert_eq!(
        resource(&span),
        [
            "k8s.pod.name=web-1",
            "process.pid=7i",
            "service.name=web",
            "sensor.id=s1"
        ]
    );
}

#[test]
fn a_process_is_named_in_semconv_alone() {
    let sanitized = sanitize(fixture::exchange(REQUEST, RESPONSE));
    let process = crate::flow::Process {
        pid: 7,
        name: "nginx".into(),
    };
    let origin = Origin {
        process: Some(&process),
        ..Origin::default()
    };
    for (profile, expected) in [
        (Profile::Semconv, Some(Value::Int(7))),
        (Profile::Mesh, None),
        (Profile::Gateway, None),
    ] {
        let span = SpanBuilder::new(self::profile(profile)).build(&sanitized, &origin);
        assert_eq!(span.attributes.get("process.pid"), expected);
        let name = span.attributes.get("process.executable.name");
        assert_eq!(name, expected.map(|_| Value::Str("nginx")));
    }
}

#[test]
fn a_server_error_is_an_error_in_every_profile() {
    for (status, server, client) in [(404, false, true), (500, true, true), (503, true, true)] {
        for (profile, side, expected) in [
            (Profile::Mesh, Side::Server, status >= 500),
            (Profile::Gateway, Side::Client, status >= 500),
            (Profile::Semconv, Side::Server, server),
            (Profile::Semconv, Side::Client, client),
        ] {
            let response = format!("HTTP/1.1 {status} X\r\n\r\n");
            let mut exchange = fixture::exchange(REQUEST, response);
            Arc::make_mut(&mut exchange.peers).side = side;
            let builder = SpanBuilder::new(self::profile(profile));
            let span = builder.build(&sanitize(exchange), &Origin::default());
            let is_error = span.status == Status::Error;
            assert_eq!(is_error, expected, "{status} {profile:?} {side:?}");
        }
    }
}

#[test]
fn a_span_without_its_bodies_says_so() {
    let request = "POST / HTTP/1.1\r\nhost: h\r\n\r\n\u{0}binary\u{ff}";
    let request: Vec<u8> = request.chars().map(|c| c as u8).collect();
    for profile in [Profile::Mesh, Profile::Gateway, Profile::Semconv] {
        let exchange = fixture::exchange(&request, "HTTP/1.1 200 X\r\n\r\nyes");
        let builder = SpanBuilder::new(self::profile(profile));
        let whole = builder.build(&sanitize(exchange), &Origin::default());
        let light = whole.without_bodies();
        let keys = |span: &Span| {
            let keys = span.attributes.iter().map(|(key, _)| key.to_owned());
            keys.collect::<std::collections::BTreeSet<_>>()
        };
        let (whole, rest) = (keys(&whole), keys(&light));
        let gone: Vec<_> = whole.difference(&rest).collect();
        assert!(gone.iter().all(|key| key.contains(".body")), "{gone:?}");
        assert_eq!(gone.len(), 3, "two bodies and an encoding");
        for key in [
            "meshtap.request.body.omitted",
            "meshtap.response.body.omitted",
        ] {
            let reason = light.attributes.get(key);
            assert_eq!(reason, Some(Value::Str("too_large")), "{profile:?}");
        }
        let size = light.attributes.get("http.request.body.size");
        assert_eq!(size, Some(Value::Int(8)));
    }
}

/// The keys that `docs/span-attributes.md` gives a profile.
fn documented(profile: &str) -> std::collections::BTreeSet<String> {
    let page = include_str!("../../../../docs/span-attributes.md");
    let (_, table) = page.split_once("\n## Attributes\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 7, "{row}");
        let mut profiles = cells[2].split(", ");
        let key = cells[1].trim_matches('`').to_owned();
        profiles.any(|p| p == profile).then_some(key)
    })
    .collect()
}

/// Exchanges that have something to say of everything.
fn exchanges() -> Vec<Sanitized> {
    const BREW: &str = "BREW /p?q=1 HTTP/1.1\r\nhost: h\r\nuser-agent: u\r\n\r\nbody";
    let off = Config {
        mode: Mode::Off,
        ..Config::default()
    };
    let omitting = Config {
        uninspected: Uninspected::Omit,
        ..Config::default()
    };
    let mut whole = fixture::exchange(BREW, "HTTP/1.1 500 X\r\nx-request-id: y\r\n\r\nno");
    let trailers = fixture::exchange(
        "GET / HTTP/1.1\r\nx-request-id: 1\r\n\r\n",
        "HTTP/1.1 103 X\r\n\r\n",
    );
    let fields = Box::new(trailers.request.head.fields);
    let response = whole.response.as_mut().unwrap();
    response.head.reason = crate::http::Reason::new(500, b"Odd");
    for (body, anomalies) in [
        (&mut whole.request.body, &mut whole.request.anomalies),
        (&mut response.body, &mut response.anomalies),
    ] {
        body.truncated = true;
        body.trailers = Some(fields.clone());
        *anomalies = crate::http::Anomalies::BARE_LF;
    }
    whole.interim.push(trailers.response.unwrap().head);
    whole.stream = Some(3);
    whole.reset = Some(8);
    whole.upgrade = true;
    whole.partial = Some(Partial::Gap);
    let mut outer = whole.peers.clone();
    let name = || Some(Box::from("name"));
    Arc::make_mut(&mut outer).claims = TunnelClaims {
        target: Some(outer.server),
        forwarded: Some([192, 0, 2, 1].into()),
        source: Some(Arc::new(TunnelSource {
            cluster: name(),
            namespace: name(),
            kind: name(),
            workload: name(),
            service: name(),
            version: name(),
        })),
    };
    let peers = Arc::make_mut(&mut whole.peers);
    peers.claimed_client = Some(outer.client);
    peers.outer = Some(outer);
    peers.secured = Some(Arc::new(Secured {
        mtls: true,
        peer: Some("spiffe://cluster.local/ns/n/sa/a".into()),
        by: CgroupId(7),
    }));
    // gzip without saying so: bytes that are no text, and that nobody can search.
    let binary = || {
        fixture::exchange(
            b"POST / HTTP/1.1\r\n\r\n\x1f\x8b\x08\xff",
            b"HTTP/1.1 200 X\r\n\r\n\x1f\x8b\x08\xff",
        )
    };
    // gzip that no field speaks of (RFC 1952 §2.3).
    let opaque = fixture::exchange(
        b"POST / HTTP/1.1\r\n\r\n\x1f\x8b\x08\0",
        b"HTTP/1.1 200 X\r\n\r\n\x1f\x8b\x08\0",
    );
    let odd = "content-encoding: odd\r\n\r\ntext";
    let undecoded = fixture::exchange(
        format!("POST / HTTP/1.1\r\n{odd}"),
        format!("HTTP/1.1 200 X\r\n{odd}"),
    );
    let mut client = fixture::exchange(BREW, "HTTP/1.1 200 X\r\n\r\n");
    Arc::make_mut(&mut client.peers).side = Side::Client;
    let mut call = fixture::exchange(
        "POST /s.S/M HTTP/1.1\r\ncontent-type: application/grpc\r\n\r\n",
        "HTTP/1.1 200 X\r\ncontent-type: application/grpc\r\ngrpc-status: 13\r\ngrpc-message: m\r\n\r\n",
    );
    let response = &mut call.response.as_mut().unwrap().body;
    for body in [&mut call.request.body, response] {
        body.messages = Some(crate::http::rpc::Messages {
            count: 1,
            inexact: true,
            ..Default::default()
        });
    }
    let connect = fixture::exchange(
        "POST /s.S/M HTTP/1.1\r\nconnect-protocol-version: 1\r\n\r\n{}",
        "HTTP/1.1 503 X\r\n\r\n",
    );
    vec![
        sanitize_at(&off, call, 0),
        sanitize_at(&off, connect, 0),
        sanitize_at(&off, whole, 0),
        sanitize_at(&off, binary(), 0),
        sanitize_at(&omitting, opaque, 0),
        sanitize_at(&off, undecoded, 0),
        sanitize_at(&off, client, 0),
    ]
}

#[test]
fn every_attribute_is_documented() {
    let process = crate::flow::Process {
        pid: 7,
        name: "nginx".into(),
    };
    let origin = Origin {
        process: Some(&process),
        ..Origin::default()
    };
    for (name, profile) in [
        ("mesh", Profile::Mesh),
        ("gateway", Profile::Gateway),
        ("semconv", Profile::Semconv),
    ] {
        let builder = SpanBuilder::new(self::profile(profile));
        let mut found = std::collections::BTreeSet::new();
        for sanitized in exchanges() {
            let span = builder.build(&sanitized, &origin);
            found.extend(span.attributes.iter().map(|(key, _)| {
                for prefix in ["http.request.header.", "http.response.header."] {
                    if key.starts_with(prefix) {
                        return format!("{prefix}<name>");
                    }
                }
                key.to_owned()
            }));
        }
        assert_eq!(found, documented(name), "{name}");
    }
}

/// The attributes of a call, in the form `check` shows them.
fn call(request: &str, response: &str) -> (Vec<String>, Status) {
    let exchange = fixture::exchange(request, response);
    let span =
        SpanBuilder::new(profile(Profile::Semconv)).build(&sanitize(exchange), &Origin::default());
    let wanted = |key: &str| {
        let prefixes = ["rpc.", "error.", "meshtap.r", "http.response.body.e"];
        prefixes.iter().any(|prefix| key.starts_with(prefix))
    };
    let attributes = span.attributes.iter().filter(|(key, _)| wanted(key));
    let shown = attributes.map(|(key, value)| format!("{key}={}", text(value)));
    (shown.collect(), span.status)
}

#[test]
fn calls() {
    let request =
        "POST /shop.Cart/Add HTTP/1.1\r\ncontent-type: application/grpc\r\n\r\n\0\0\0\0\x01a";
    let (shown, status) = call(
        request,
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: no%20room\r\n\r\n",
    );
    assert_eq!(status, Status::Error);
    assert_eq!(
        shown,
        [
            "rpc.system=grpc",
            "rpc.service=shop.Cart",
            "rpc.method=Add",
            "meshtap.request.messages=1i",
            "meshtap.request.messages.size=1i",
            "meshtap.response.messages=0i",
            "meshtap.response.messages.size=0i",
            "rpc.grpc.status_code=14i",
            "meshtap.rpc.message=no room",
            "error.type=UNAVAILABLE",
        ]
    );
    // Not found is no error of a server's.
    let (shown, status) = call(
        request,
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\n\r\n\0\0\0\0\x01b",
    );
    assert_eq!(status, Status::Unset);
    assert!(
        shown.contains(&"rpc.grpc.status_code=5i".to_owned()),
        "{shown:?}"
    );
    assert!(
        shown.contains(&"http.response.body.encoding=base64".to_owned()),
        "{shown:?}"
    );
    // A call of Connect that fails says so in JSON.
    let (shown, status) = call(
        "POST /s.S/M HTTP/1.1\r\ncontent-type: application/json\r\nconnect-protocol-version: 1\r\n\r\n{}",
        "HTTP/1.1 404 X\r\ncontent-type: application/json\r\n\r\n{\"code\":\"internal\",\"message\":\"m\"}",
    );
    assert_eq!(status, Status::Error);
    assert!(
        shown.contains(&"rpc.connect_rpc.error_code=internal".to_owned()),
        "{shown:?}"
    );
}
