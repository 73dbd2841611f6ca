//! The agent's payloads, over every protocol, say to OpenTelemetry's own Python package what the
//! spans said.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshtap::export::otlp::{OtlpConfig, Settings};
use meshtap::export::{Exporters, Target};
use meshtap::signal::span::{Profile, ResourceValue, Span, Value};
use serde_json::{Value as Json, json};

use crate::fake::{Fake, Reply};
use crate::official::decode;
use crate::source::Source;

/// What `decode` must make of a span.
fn expected(span: &Span) -> Json {
    let resource = span
        .resource
        .attributes
        .iter()
        .map(|(key, value)| match value {
            ResourceValue::Str(text) => json!([key, {"string_value": text}]),
            ResourceValue::Int(number) => json!([key, {"int_value": number}]),
        });
    let attributes = span.attributes.iter().map(|(key, value)| {
        let value = match value {
            Value::Str(text) => json!({"string_value": text}),
            Value::Int(number) => json!({"int_value": number}),
            Value::Bool(truth) => json!({"bool_value": truth}),
            Value::List(list) => {
                let texts: Vec<_> = list
                    .iter()
                    .map(|text| json!({"string_value": text}))
                    .collect();
                json!({"array_value": texts})
            }
        };
        json!([key, value])
    });
    json!({
        "resource": resource.collect::<Vec<_>>(),
        "scope": [span.scope.name, span.scope.version],
        "trace": span.context.trace.to_string(),
        "span": span.context.span.to_string(),
        "parent": span.parent().map_or_else(String::new, |parent| parent.to_string()),
        "flags": span.context.flags,
        "name": span.name(),
        "kind": span.kind as u8,
        "start": span.start,
        "end": span.end,
        "status": span.status as u8,
        "attributes": attributes.collect::<Vec<_>>(),
    })
}

/// Spans of every kind that there is: with and without a parent, texts of every sort, numbers,
/// truths, lists, errors.
fn spans(profile: Profile) -> Vec<Span> {
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let requests = [
        "GET /plain?a=b HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
        format!("POST /child HTTP/1.1\r\nhost: h\r\n{parent}\r\ncontent-length: 4\r\n\r\nbody"),
        "PURGE /caf\u{e9} HTTP/1.1\r\nhost: h\r\naccept: a\r\naccept: \"b\\c\"\r\n\r\n".to_owned(),
    ];
    let replies: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 500 No\r\nset-cookie: a=b\r\nset-cookie: c=d\r\ncontent-length: 9\r\n\r\n\xff\x00binary\xfe",
        "HTTP/1.1 404 No\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\n\u{1f980}\u{0}\"\\\n\u{e9}\u{7f}".as_bytes(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nxxxxxxxxxx",
        &[&b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n"[..], &[b'y'; 70_000]].concat(),
    ];
    requests
        .iter()
        .flat_map(|request| {
            replies
                .iter()
                .map(|reply| Source::of(profile).exchange_to_the_end(request.as_bytes(), reply))
        })
        .collect()
}

fn check(protocol: &str, compression: &str) {
    let fake = Fake::start(Vec::new(), Reply::Take);
    let yaml = format!(
        "{{endpoint: 'http://{}', protocol: {protocol}, compression: {compression}, batch: {{spans: 20, bytes: 200KB}}}}",
        fake.address
    );
    let config: OtlpConfig = serde_saphyr::from_str(&yaml).unwrap();
    let settings = Settings::resolve(&config, "otlp", &|_| None).unwrap();
    let targets = vec![Target::Otlp(Box::new(settings))];
    let exporters = Exporters::start(targets, &(Arc::new(()) as _)).unwrap();
    let mut handles = exporters.handles();
    let mut sent = HashMap::new();
    for profile in [Profile::Mesh, Profile::Gateway, Profile::Semconv] {
        for span in spans(profile) {
            handles.span(&span, Instant::now());
            sent.insert(span.context.span.to_string(), expected(&span));
        }
    }
    drop(handles);
    let totals = exporters.shutdown(Duration::from_secs(60)).remove(0).totals;
    assert_eq!(totals.exported, sent.len() as u64, "{protocol}");
    let received = fake.received();
    assert!(received.len() > 2, "several batches");
    let Some(found) = decode(&received) else {
        return;
    };
    assert_eq!(found.len(), sent.len(), "{protocol}");
    for span in &found {
        let id = span["span"].as_str().unwrap();
        let expected = &sent[id];
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&span[key], value, "{protocol} {key}");
        }
    }
    let kinds: HashSet<_> = found.iter().map(|span| span["kind"].as_u64()).collect();
    assert_eq!(kinds.len(), 2, "internal and server");
    assert!(
        found.iter().any(|span| span["status"] == 2)
            && found.iter().any(|span| span["parent"] != "")
    );
}

#[test]
fn grpc_payloads() {
    check("grpc", "none");
    check("grpc", "gzip");
}

#[test]
fn protobuf_payloads() {
    check("http/protobuf", "none");
    check("http/protobuf", "gzip");
}

#[test]
fn json_payloads() {
    check("http/json", "none");
    check("http/json", "gzip");
}
