//! What an agent that starts in the middle of connections may show: each field as it was sent, or
//! unknown and marked, and each exchange that started after it.

use std::collections::BTreeMap;

use meshtap_tests::{Exchange, Message, Report, figure};

/// The fields that a request (`x`) or its response (`y`) was sent with, whose names begin with
/// that letter. One of them is the id.
type Fields = fn(char, usize) -> BTreeMap<String, String>;

/// Checks each field that is there against what was sent; all must be, if `is_whole`. How many
/// there are.
#[track_caller]
fn check_fields(
    message: &Message<'_>,
    id: usize,
    is_whole: bool,
    expected: &BTreeMap<String, String>,
) -> usize {
    let mut found = 0;
    for (name, value) in message.headers() {
        if name.starts_with(['x', 'y']) {
            assert_eq!(
                expected.get(name).map(String::as_str),
                Some(value),
                "{id}: {name}"
            );
            found += 1;
        }
    }
    assert!(!is_whole || found == expected.len(), "{id}: {message:?}");
    found
}

/// The id: of the request, of the response, or of its body, which begins with it.
fn id_of(exchange: &Exchange) -> Option<String> {
    let response = response_of(exchange);
    let body = response.map(|response| response.text().trim_end_matches('.'));
    (exchange.request().header("x-id"))
        .or(response.and_then(|response| response.header("y-id")))
        .or(body.filter(|body| !body.is_empty()))
        .map(str::to_owned)
}

fn response_of(exchange: &Exchange) -> Option<Message<'_>> {
    let is_there = exchange.at("/response").is_some_and(|it| !it.is_null());
    is_there.then(|| exchange.response())
}

/// Nothing is wrong, and each of these, of which the requests are posted to `/late`, is there.
#[track_caller]
pub fn judge(report: &Report, ids: &[String], what: &str, fields: Fields) {
    report.assert_balanced();
    let (mut emitted, mut known) = (BTreeMap::new(), 0);
    for exchange in &report.exchanges {
        let Some(id) = id_of(exchange) else { continue };
        let number = id.parse().expect("a number");
        let is_whole = exchange.partial().is_none();
        known += check_fields(&exchange.request(), number, is_whole, &fields('x', number));
        if let Some(response) = response_of(exchange) {
            known += check_fields(&response, number, is_whole, &fields('y', number));
        }
        if is_whole {
            assert_eq!((exchange.method(), exchange.target()), ("POST", "/late"));
            assert_eq!(exchange.status(), Some(200));
        }
        assert_eq!(emitted.insert(id, is_whole), None, "emitted twice");
    }
    let whole = ids.iter().filter(|id| emitted.get(*id) == Some(&true));
    let marked = ids.iter().filter(|id| emitted.get(*id) == Some(&false));
    let absent: Vec<_> = (ids.iter().filter(|id| !emitted.contains_key(*id))).collect();
    figure(&format!(
        "{what}: {} exchanges after the start: {} whole, {} marked; \
         {known} fields known, each as it was sent",
        ids.len(),
        whole.count(),
        marked.count(),
    ));
    assert!(absent.is_empty(), "{what}: {absent:?} {:#}", report.ledger);
    assert!(known > 0, "what is sent anew becomes known");
}
