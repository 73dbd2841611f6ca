//! Secrets and harmless values under the names and in the places that clients and servers put them,
//! as a table of data (`tests/secrets/*.json`): no secret leaves, and every harmless value does.

use serde::Deserialize;

use super::fixture::sanitize;
use super::{Config, Sanitized};
use crate::http::{Body, Fields};
use crate::policy::fixture::{body, exchange};

/// Stands for the secret in a row.
const MARK: &str = "{S}";
/// Long and mixed, as such values are; no other part of an exchange holds it.
const SECRET: &str = "zqS3cr07tQ7xK9vB2nM";

#[derive(Debug, Deserialize)]
struct Row {
    /// `request header`, `response header`, `query`, `target`, or a kind of body: alone for one
    /// field of this name, with `document` for a whole request body, with `response` for a whole
    /// response body.
    place: String,
    name: String,
    value: String,
    must_hide: bool,
}

fn media_type(kind: &str) -> &'static str {
    match kind {
        "json" => "application/json",
        "form" => "application/x-www-form-urlencoded",
        "xml" => "text/xml",
        "yaml" => "application/yaml",
        "text" => "text/plain",
        "multipart" => "multipart/form-data; boundary=b",
        "csv" => "text/csv",
        "html" => "text/html",
        "graphql" => "application/graphql",
        "bare" => "application/octet-stream",
        other => panic!("{other}"),
    }
}

/// The request and the response of a row, with their bodies apart from their heads.
fn messages(row: &Row, value: &str) -> (String, String, String, String) {
    let name = &row.name;
    let (mut request, mut response) = ("GET / HTTP/1.1\r\n".to_owned(), String::new());
    let (mut request_body, mut response_body) = (String::new(), String::new());
    match row.place.as_str() {
        "request header" => request = format!("GET / HTTP/1.1\r\n{name}: {value}\r\n"),
        "response header" => response = format!("{name}: {value}\r\n"),
        "query" => request = format!("GET /a?{name}={value} HTTP/1.1\r\n"),
        "target" => request = format!("GET {value} HTTP/1.1\r\n"),
        place => {
            let (kind, what) = place.split_once(' ').unwrap_or((place, ""));
            let text = match (kind, what) {
                ("json", "") => serde_json::json!({ name: value }).to_string(),
                ("form", "") => format!("user=ann&{name}={value}"),
                ("xml", "") => format!("<a><{name}>{value}</{name}></a>"),
                _ => value.to_owned(),
            };
            let field = format!("content-type: {}\r\n", media_type(kind));
            if what == "response" {
                (response, response_body) = (field, text);
            } else {
                request = format!("POST / HTTP/1.1\r\n{field}");
                request_body = text;
            }
        }
    }
    (request, request_body, response, response_body)
}

/// Everything that leaves.
pub(super) fn shown(sanitized: &Sanitized) -> Vec<u8> {
    let exchange = sanitized.exchange();
    let mut out = exchange.request.head.target().to_vec();
    let mut add = |fields: &Fields, body: &Body| {
        for (name, value) in fields.iter() {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
        out.extend_from_slice(&body.bytes);
    };
    add(&exchange.request.head.fields, &exchange.request.body);
    if let Some(response) = &exchange.response {
        add(&response.head.fields, &response.body);
    }
    out
}

fn leaves(row: &Row) -> bool {
    let value = row.value.replace(MARK, SECRET);
    let (request, request_body, response, response_body) = messages(row, &value);
    let mut exchange = exchange(
        format!("{request}\r\n"),
        format!("HTTP/1.1 200 X\r\n{response}\r\n"),
    );
    exchange.request.body = body(request_body.as_bytes());
    exchange.response.as_mut().unwrap().body = body(response_body.as_bytes());
    let shown = shown(&sanitize(&Config::everything(), exchange));
    let mark = if row.value.contains(MARK) {
        SECRET
    } else {
        &value
    };
    shown
        .windows(mark.len())
        .any(|part| part == mark.as_bytes())
}

#[track_caller]
fn check(table: &str) {
    let rows: Vec<Row> = serde_json::from_str(table).unwrap();
    let wrong = |must_hide: bool| {
        let rows = rows.iter().filter(move |row| row.must_hide == must_hide);
        rows.filter(|row| leaves(row) == must_hide)
            .map(|row| format!("{}: {} {}", row.place, row.name, row.value))
            .collect::<Vec<_>>()
    };
    let (clear, hidden) = (wrong(true), wrong(false));
    assert!(
        clear.is_empty() && hidden.is_empty(),
        "in clear: {clear:#?}\nharmless and hidden: {hidden:#?}"
    );
}

#[test]
fn secrets_are_hidden_and_harmless_values_stay() {
    check(include_str!("../../../tests/secrets/secrets.json"));
}

#[test]
fn other_secrets_of_the_same_kinds() {
    check(include_str!("../../../tests/secrets/kinds.json"));
}

#[test]
fn secrets_that_a_declaration_or_a_command_has() {
    check(include_str!("../../../tests/secrets/declared.json"));
}
