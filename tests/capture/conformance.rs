//! The exchanges of `conformance/lua-exchanges.json`, whose raw bytes are sent between two sockets:
//! what the agent emits has the values that the Lua filters of a real Envoy sent to their
//! collector, where those are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use meshtap_tests::{Exchange, Message, Pair, Tap, decode_base64, live};
use serde_json::Value;

/// Where the raw bytes are not what Envoy's filter saw, so that its values are not to be expected.
///
/// * `absolute_form`: Envoy rewrote target and `Host` before the filter saw them, and the server
///   responded the rewritten request.
/// * `empty_post`: the recorded response is of another run of the server than the filter's.
const REWRITTEN: [&str; 2] = ["absolute_form", "empty_post"];

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    fs::read_to_string(folder.join(name)).expect("conformance data")
}

struct Case {
    name: String,
    request: Vec<u8>,
    response: Vec<u8>,
    /// The mesh filter's attributes, unless it skipped the exchange or lost it.
    attributes: Option<Value>,
}

fn cases() -> Vec<Case> {
    let data: Vec<Value> = serde_json::from_str(&read("lua-exchanges.json")).expect("JSON");
    let text = |case: &Value, key: &str| case[key].as_str().expect("text").to_owned();
    data.iter()
        .map(|case| Case {
            name: text(case, "name"),
            request: decode_base64(&text(case, "request_base64")),
            response: decode_base64(&text(case, "response_base64")),
            attributes: case.pointer("/lua/mesh/attributes").cloned(),
        })
        .collect()
}

/// Header fields as the filters send them: allowed names in lower case, repeated ones joined.
fn filtered(message: &Message<'_>, allowed: &[&str]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::<String, String>::new();
    for (name, value) in message.headers() {
        let name = name.to_ascii_lowercase();
        if allowed.contains(&name.as_str()) {
            let joined = fields.entry(name).or_default();
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(value);
        }
    }
    fields
}

fn expected_fields(attributes: &Value, key: &str) -> BTreeMap<String, String> {
    let fields = attributes[key].as_object();
    let fields = fields.into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()))
        .collect()
}

/// What the body of `resp_gzip` is without its content coding. The filters lost that exchange.
fn uncompressed() -> Vec<u8> {
    let mut text = br#"{"secret":""#.to_vec();
    text.resize(3011, b'x');
    text.extend_from_slice(br#""}"#);
    text
}

/// Against the bytes themselves: the start lines, and the body where it is sent as it is.
fn check_raw(case: &Case, exchange: &Exchange) {
    let start = |bytes: &[u8]| {
        let line = bytes
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    };
    let expected = format!("{} {} HTTP/1.1", exchange.method(), exchange.target());
    assert_eq!(start(&case.request), expected);
    let status = exchange.status().expect("a status");
    assert_eq!(start(&case.response), format!("HTTP/1.1 {status} X"));
    for (raw, message) in [
        (&case.request, exchange.request()),
        (&case.response, exchange.response()),
    ] {
        if message.header("content-encoding").is_some() {
            assert_eq!(message.bytes(), uncompressed());
        } else if message.header("transfer-encoding").is_none() {
            let head = raw.windows(4).position(|window| window == b"\r\n\r\n");
            let body = &raw[head.expect("a head") + 4..];
            assert!(message.bytes() == body, "{}: the body", case.name);
            assert_eq!(message.body_size(), body.len() as u64, "{}", case.name);
        }
    }
}

/// Against what the mesh filter sent.
fn check_filter(name: &str, attributes: &Value, exchange: &Exchange, allowed: &[&str]) {
    let attribute = |key: &str| attributes[key].as_str().expect("text");
    assert_eq!(exchange.method(), attribute("http.method"), "{name}");
    assert_eq!(
        exchange.status(),
        attributes["http.status_code"].as_u64(),
        "{name}"
    );
    assert_eq!(
        exchange.0["host"].as_str(),
        Some(attribute("http.host")),
        "{name}"
    );
    assert_eq!(
        exchange.request().text(),
        attribute("http.request.body"),
        "{name}"
    );
    if REWRITTEN.contains(&name) {
        return;
    }
    assert_eq!(exchange.target(), attribute("http.target"), "{name}");
    assert_eq!(
        exchange.response().text(),
        attribute("http.response.body"),
        "{name}"
    );
    for (message, key) in [
        (exchange.request(), "http.request.headers"),
        (exchange.response(), "http.response.headers"),
    ] {
        let expected = expected_fields(attributes, key);
        assert_eq!(
            without_framing(filtered(&message, allowed), &expected),
            expected,
            "{name}"
        );
    }
}

/// Envoy removes `transfer-encoding` of a chunked request before its filters: absent there, it is
/// not expected here.
fn without_framing(
    mut fields: BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    if !expected.contains_key("transfer-encoding") {
        fields.remove("transfer-encoding");
    }
    fields
}

fn check(connections: impl Fn(&[Case]) + Send + Sync) {
    live(|bench| {
        let cases = cases();
        assert_eq!(cases.len(), 19);
        let allowlist = read("allowlist.txt");
        let allowed: Vec<&str> = allowlist.lines().map(str::trim).collect();
        let tap = Tap::new(bench).server_side().arg("--no-redact").start();
        connections(&cases);
        let report = tap.finish();
        report.assert_nothing_lost();
        assert_eq!(report.exchanges.len(), cases.len(), "{:#?}", report.lines);
        for (case, exchange) in cases.iter().zip(&report.exchanges) {
            check_raw(case, exchange);
            if let Some(attributes) = &case.attributes {
                check_filter(&case.name, attributes, exchange, &allowed);
            }
        }
    });
}

#[test]
fn each_on_a_connection_of_its_own() {
    check(|cases| {
        for case in cases {
            let mut pair = Pair::new(9000);
            pair.request(&case.request);
            pair.respond(&case.response);
        }
    });
}

#[test]
fn all_on_one_connection() {
    check(|cases| {
        let mut pair = Pair::new(9000);
        for case in cases {
            pair.request(&case.request);
            pair.respond(&case.response);
        }
    });
}

#[test]
fn byte_by_byte() {
    check(|cases| {
        let mut pair = Pair::new(9000);
        for case in cases {
            pair.request_slowly(&case.request);
            pair.respond_slowly(&case.response);
        }
    });
}
