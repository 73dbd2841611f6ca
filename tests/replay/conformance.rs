//! Golden: the exchanges of `conformance/lua-exchanges.json`, from raw bytes through engine, policy
//! and span, have the attributes that the two Lua filters sent for them in a real Envoy. Where the
//! filters are wrong, or Envoy changed what they saw, the difference is named in [`EXCEPTIONS`]. No
//! privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meshtap::capture::{Event, Segment};
use meshtap::clock::WallClock;
use meshtap::engine::{Engine, Limits, Output};
use meshtap::exchange::Exchange;
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};
use meshtap::policy::{self, PolicyContext, Skip};
use meshtap::redact::{self, Gate, Mode};
use meshtap::signal::span::{Origin, Profile, ResourceValue, Settings, Span, SpanBuilder, Value};
use serde_json::{Value as Json, json};

const EXCHANGES: &str = include_str!("../conformance/lua-exchanges.json");
const ALLOWED: &str = include_str!("../conformance/allowlist.txt");
const SENSOR: &str = "11111111-aaaa-bbbb-cccc-222222222222";
const CLIENT: &str = "10.1.0.7";

/// Attributes that the agent adds to the filters' own.
const ADDED: [&str; 6] = [
    // The recorded responses say `X`, which is no registered reason.
    "meshtap.response.reason",
    "http.request.body.size",
    "http.response.body.size",
    "http.request.body.encoding",
    "http.response.body.encoding",
    "meshtap.side",
];

/// One difference: exchange (`*`: all), attribute, the filter's value, ours, and why ours is right.
struct Exception {
    exchange: &'static str,
    attribute: &'static str,
    filter: Json,
    agent: Json,
    #[expect(dead_code, reason = "read by people")]
    why: &'static str,
}

fn exceptions() -> Vec<Exception> {
    let one = |exchange, attribute, filter, agent, why| Exception {
        exchange,
        attribute,
        filter,
        agent,
        why,
    };
    vec![
        one(
            "*",
            "http.scheme",
            json!(""),
            json!("http"),
            "the filters show a scheme only when a header does",
        ),
        one(
            "*",
            "net.sock.peer.addr",
            json!(""),
            json!(CLIENT),
            "the filters show a peer only when a header does",
        ),
        one(
            "post_chunked",
            "http.request.headers",
            json!({"host": "shop.example.com"}),
            json!({"host": "shop.example.com", "transfer-encoding": "chunked"}),
            "the recording omits `transfer-encoding` of requests, which Envoy sets itself; the client did send it",
        ),
        one(
            "empty_post",
            "http.response.headers",
            json!({"content-length": "0", "content-type": "application/octet-stream"}),
            json!({"content-length": "12", "content-type": "text/plain"}),
            "Envoy's upstream echoed the empty body; the raw response of the recording is another one",
        ),
        one(
            "empty_post",
            "http.response.body",
            json!(""),
            json!("POST /echo 0"),
            "as above",
        ),
        one(
            "absolute_form",
            "http.request.headers",
            json!({"host": "other.example.com"}),
            json!({"host": "shop.example.com"}),
            "Envoy rewrites Host from the target; the client sent this one",
        ),
        one(
            "absolute_form",
            "http.response.headers",
            json!({"content-length": "14", "content-type": "text/plain"}),
            json!({"content-length": "38", "content-type": "text/plain"}),
            "Envoy rewrote the target, so its upstream echoed a shorter one",
        ),
        one(
            "absolute_form",
            "http.response.body",
            json!("GET /abs?z=1 0"),
            json!("GET http://other.example.com/abs?z=1 0"),
            "as above",
        ),
    ]
}

/// What is shown of the exchanges whose spans the filters lost: their JSON was not UTF-8.
fn lost() -> BTreeMap<&'static str, Vec<(&'static str, Json)>> {
    let up: Vec<u8> = (0..=255).collect();
    let down: Vec<u8> = (0..=255).rev().collect();
    BTreeMap::from([
        (
            "resp_gzip",
            vec![
                (
                    "http.response.body",
                    json!(format!("{{\"secret\":\"{}\"}}", "x".repeat(3000))),
                ),
                ("http.response.body.size", json!(54)),
            ],
        ),
        (
            "binary",
            vec![
                ("http.request.body", json!(STANDARD.encode(&down))),
                ("http.request.body.encoding", json!("base64")),
                ("http.request.body.size", json!(256)),
                ("http.response.body", json!(STANDARD.encode(&up))),
                ("http.response.body.encoding", json!("base64")),
                ("http.response.body.size", json!(256)),
            ],
        ),
    ])
}

struct Case {
    name: String,
    request: Vec<u8>,
    response: Vec<u8>,
    lua: Json,
}

fn cases() -> Vec<Case> {
    let all: Vec<Json> = serde_json::from_str(EXCHANGES).expect("JSON");
    let bytes = |case: &Json, key: &str| {
        STANDARD
            .decode(case[key].as_str().expect("text"))
            .expect("base64")
    };
    all.iter()
        .map(|case| Case {
            name: case["name"].as_str().expect("text").to_owned(),
            request: bytes(case, "request_base64"),
            response: bytes(case, "response_base64"),
            lua: case["lua"].clone(),
        })
        .collect()
}

/// The one exchange of a connection on which these bytes went.
fn exchange(case: &Case) -> Exchange {
    let mut engine = Engine::new(Limits::default());
    let mut output = Output::default();
    let address = |text: &str| Endpoint::from(text.parse::<SocketAddr>().expect("address"));
    let segment = |direction, seq, ack, payload, fin| Segment {
        time: 1_000_000,
        cgroup: CgroupId(1),
        seq,
        ack,
        expected: seq,
        wire_len: u32::try_from(<[u8]>::len(payload)).expect("length"),
        start: true,
        fin,
        ..Segment::new(
            SocketId(7),
            direction,
            (
                address("10.1.0.1:8080"),
                address(&format!("{CLIENT}:40000")),
            ),
            payload,
        )
    };
    let (ours, theirs) = (1000, 5000);
    let after = |start: u32, bytes: &[u8]| start + u32::try_from(bytes.len()).expect("length");
    let request = segment(Direction::Ingress, theirs, ours, &case.request, false);
    engine.event(&Event::Tcp(request), &mut output);
    let response = segment(
        Direction::Egress,
        ours,
        after(theirs, &case.request),
        &case.response,
        true,
    );
    engine.event(&Event::Tcp(response), &mut output);
    engine.finish(2_000_000, &mut output);
    assert_eq!(output.exchanges.len(), 1, "{}", case.name);
    output.exchanges.remove(0)
}

fn gate(mode: Mode) -> Gate {
    let redaction = redact::Config {
        allowed_headers: ALLOWED.lines().map(str::to_owned).collect(),
        mode,
        ..redact::Config::default()
    };
    Gate::new(&policy::Config::default(), &redaction).expect("a configuration")
}

fn span(profile: Profile, case: &Case, mode: Mode) -> Result<Span, Skip> {
    let settings = Settings {
        profile,
        sensor_id: SENSOR.to_owned(),
        ..Settings::default()
    };
    let clock = WallClock { offset: 0 };
    let kept = gate(mode).pass(exchange(case), &PolicyContext::default(), &clock)?;
    Ok(SpanBuilder::new(settings).build(&kept, &Origin::default()))
}

fn attributes(span: &Span) -> BTreeMap<String, Json> {
    let value = |key: &str, value: Value<'_>| match value {
        Value::Str(text) if key.ends_with(".headers") => serde_json::from_str(text).expect("JSON"),
        Value::Str(text) => json!(text),
        Value::Int(number) => json!(number),
        Value::Bool(truth) => json!(truth),
        Value::List(list) => json!(list.iter().collect::<Vec<_>>()),
    };
    span.attributes
        .iter()
        .map(|(key, v)| (key.to_owned(), value(key, v)))
        .collect()
}

fn check(profile: Profile, case: &Case, used: &mut BTreeSet<(&'static str, &'static str)>) {
    let name = &case.name;
    let filter = match profile {
        Profile::Gateway => &case.lua["gateway"],
        _ => &case.lua["mesh"],
    };
    let result = span(profile, case, Mode::Off);
    if filter.is_null() {
        assert_eq!(result.err(), Some(Skip::Path), "{name}");
        return;
    }
    let span = result.unwrap_or_else(|reason| panic!("{name}: skipped for {reason:?}"));
    let mut found = attributes(&span);
    if filter.get("lost").is_some() {
        for (key, expected) in &lost()[name.as_str()] {
            assert_eq!(found.get(*key), Some(expected), "{name}: {key}");
        }
        return;
    }
    for (key, theirs) in filter["attributes"].as_object().expect("attributes") {
        let ours = found
            .remove(key)
            .unwrap_or_else(|| panic!("{name}: no {key}"));
        if ours == *theirs {
            continue;
        }
        let known = exceptions().into_iter().find(|e| {
            (e.exchange == "*" || e.exchange == name)
                && e.attribute == key
                && e.filter == *theirs
                && e.agent == ours
        });
        match known {
            Some(exception) => used.insert((exception.exchange, exception.attribute)),
            None => panic!("{name}: {key} is {ours} and not {theirs}"),
        };
    }
    found.retain(|key, _| !ADDED.contains(&key.as_str()));
    assert_eq!(found, BTreeMap::new(), "{name}: more than the filter shown");
    assert_eq!(span.scope.name, filter["scope"].as_str().expect("scope"));
    assert_eq!(
        span.kind as i64,
        filter["span_kind"].as_i64().expect("kind")
    );
    assert_eq!(span.name(), "example-span");
    let resource: BTreeMap<_, _> = span
        .resource
        .attributes
        .iter()
        .map(|(key, value)| (key.clone(), resource(value)))
        .collect();
    assert_eq!(json!(resource), filter["resource"], "{name}");
}

fn resource(value: &ResourceValue) -> Json {
    match value {
        ResourceValue::Str(text) => json!(text),
        ResourceValue::Int(number) => json!(number),
    }
}

fn check_profile(profile: Profile) {
    let mut used = BTreeSet::new();
    let cases = cases();
    assert_eq!(cases.len(), 19);
    for case in &cases {
        check(profile, case, &mut used);
    }
    // An exception that nothing needs any more is a mistake.
    let all: BTreeSet<_> = exceptions()
        .iter()
        .map(|e| (e.exchange, e.attribute))
        .collect();
    assert_eq!(used, all);
}

#[test]
fn mesh_spans_equal_the_filters() {
    check_profile(Profile::Mesh);
}

#[test]
fn gateway_spans_equal_the_filters() {
    check_profile(Profile::Gateway);
}

#[test]
fn by_default_their_secrets_are_hidden() {
    let cases = cases();
    for (name, secret, place) in [
        ("post_json", "abc.def", "http.request.headers"),
        ("post_json", "s3cr", "http.request.body"),
        ("cookies", "dark", "http.request.headers"),
        ("resp_gzip", "xxx", "http.response.body"),
    ] {
        let case = cases
            .iter()
            .find(|case| case.name == name)
            .expect("the exchange");
        for (mode, seen) in [(Mode::Off, true), (Mode::DryRun, true), (Mode::On, false)] {
            let span = span(Profile::Mesh, case, mode).expect("a span");
            let Some(Value::Str(text)) = span.attributes.get(place) else {
                panic!("no {place}");
            };
            assert_eq!(text.contains(secret), seen, "{name} {mode:?}: {text}");
            assert_eq!(
                text.contains("[redacted:"),
                !seen,
                "{name} {mode:?}: {text}"
            );
        }
    }
}
