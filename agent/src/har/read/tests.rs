use serde_json::{Value, json};

use super::*;
use crate::redact::{Config, fixture::sanitize_at};
use crate::tap::sample;

fn document(entry: &Value) -> Vec<u8> {
    json!({"log": {"version": "1.2", "entries": [entry]}})
        .to_string()
        .into_bytes()
}

#[test]
fn what_was_written_is_read_again() {
    let mut config = Config::everything();
    config.switch_off();
    let first = sanitize_at(&config, sample::exchange(), 1_709_210_095_000_000_000);
    let mut entry = Vec::new();
    crate::har::push_entry(&mut entry, &first);
    let entry: Value = serde_json::from_slice(&entry).expect("JSON");
    let exchanges = read(&document(&entry)).expect("a document").exchanges;
    let [exchange] = exchanges.as_slice() else {
        panic!("{exchanges:?}");
    };
    let again = sanitize_at(&config, exchange.clone(), 0);
    let mut second = Vec::new();
    crate::har::push_entry(&mut second, &again);
    let mut second: Value = serde_json::from_slice(&second).expect("JSON");
    // What is of the connection and not of the exchange.
    let mut entry = entry;
    for part in [&mut entry, &mut second] {
        let part = part.as_object_mut().expect("an object");
        for name in ["connection", "_traceId"] {
            part.remove(name).expect(name);
        }
    }
    assert_eq!(second, entry);
}

#[track_caller]
fn check(entry: Value, expected: impl FnOnce(&Exchange) -> bool) {
    let exchanges = read(&document(&entry)).expect("a document").exchanges;
    assert!(exchanges.first().is_some_and(expected), "{exchanges:?}");
}

#[test]
fn what_browsers_leave_away() {
    check(
        json!({"request": {"method": "GET", "url": "https://a.example:8443?x#y"}}),
        |found| {
            let head = &found.request.head;
            head.host() == Some(b"a.example:8443")
                && head.target() == b"/?x"
                && found.peers.server.port() == 8443
                && found.peers.connection.is_tls()
                && found.response.is_none()
        },
    );
    let blocked = json!({"status": 0, "statusText": "", "content": {"size": -1}});
    let request = json!({"method": "GET", "url": "http://a/", "bodySize": -1});
    check(
        json!({"request": request, "response": blocked, "time": -1}),
        |found| found.response.is_none() && found.duration() == 0,
    );
}

#[test]
fn a_coded_body_stands_decoded() {
    let response = json!({
        "status": 200,
        "headers": [{"name": "Content-Encoding", "value": "br"}, {"name": "A", "value": "b"}],
        "content": {"size": 3, "text": "aGV5", "encoding": "base64"},
    });
    let entry = json!({"request": {"method": "GET", "url": "/"}, "response": response});
    check(entry, |found| {
        let response = found.response.as_ref().expect("a response");
        response.body.bytes == "hey".as_bytes() && response.head.fields.len() == 1
    });
}

#[test]
fn times() {
    let check = |text: &str, expected: Option<u64>| {
        assert_eq!(
            time(text).map(|nanos| nanos / 1_000_000),
            expected,
            "{text}"
        );
    };
    check("1970-01-01T00:00:01.500Z", Some(1500));
    check("1970-01-01T02:00:01+02:00", Some(1000));
    check("1969-12-31T23:00:00.000-0100", None);
    check("1970-01-01T00:00:00.000-01:00", Some(3_600_000));
    check("yesterday", None);
    check("", None);
}

#[test]
fn a_head_has_its_bound() {
    let long = "x".repeat(40_000);
    let field = |name: &str| json!({"name": name, "value": long});
    let request = json!({
        "method": "GET", "url": "http://a/", "headers": [field("a"), field("b"), field("c")],
    });
    check(json!({"request": request}), |found| {
        found.request.head.fields.len() == 1
    });
}

#[test]
fn what_is_none() {
    for text in ["", "{}", "[1]", "{\"log\":{}}", "\u{feff}{"] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    let empty = "\u{feff}{\"log\":{\"entries\":[]}}";
    assert!(
        read(empty.as_bytes())
            .expect("a document")
            .exchanges
            .is_empty()
    );
}

#[test]
fn one_entry_does_not_refuse_a_document() {
    let entry = |status: Value| json!({"request": {"method": "GET", "url": "http://a/"}, "response": {"status": status}});
    for (status, expected) in [
        (json!(200), Some(200)),
        (json!(200.0), Some(200)),
        (json!(-1), None),
        (json!(99_999), None),
        (json!("200"), None),
        (Value::Null, None),
    ] {
        check(entry(status.clone()), |found| {
            found.response.as_ref().map(|r| r.head.status) == expected
        });
    }
    let entries = [
        entry(json!(200)),
        json!({"request": 7}),
        json!(null),
        entry(json!(404)),
    ];
    let text = json!({"log": {"entries": entries}}).to_string();
    let found = read(text.as_bytes()).expect("a document");
    assert_eq!((found.exchanges.len(), found.skipped), (2, 2));
}
