//! What the page asks for once: what is looked at, which rows match, one exchange.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::query::value;
use super::serve::Shared;
use super::{MAX_HAR, MAX_IMPORT};
use crate::exchange::Phases;
use crate::tap::body::messages;
use crate::views::{Query, Shown, Store, curl, filter};

/// Exchanges taken from the store at once: it is locked for some microseconds.
const BATCH: usize = 1024;

/// JSON, or why there is none.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
}

/// Why not, for a person.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    (status, json(&Refused { error: why })).into_response()
}

#[derive(Serialize)]
struct About<'a> {
    source: &'a str,
    version: &'static str,
    max_import: u64,
    max_har: u64,
    example: &'static str,
    language: &'static [(&'static str, &'static str)],
}

/// What is looked at.
pub(super) async fn state(State(shared): State<Arc<Shared>>) -> Response {
    json(&About {
        source: &shared.settings.source,
        version: env!("CARGO_PKG_VERSION"),
        max_import: MAX_IMPORT,
        max_har: MAX_HAR,
        example: "Filter: status:5xx path:/api took:>100ms -method:GET",
        language: filter::HELP,
    })
}

/// Which rows match: ranges of their numbers. All up to `through` were looked at.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Matching {
    ranges: Vec<(u64, u64)>,
    through: u64,
}

impl Matching {
    /// Looks at what is in the store now, after number `after`.
    fn find(store: &Store, query: &Query, after: u64) -> Self {
        let end = store.held().next;
        let mut found = Self {
            ranges: Vec::new(),
            through: after,
        };
        while found.through + 1 < end {
            let batch = store.since(found.through, BATCH);
            let Some((last, _)) = batch.last() else {
                break;
            };
            found.through = *last;
            for (id, _) in batch.iter().filter(|(_, shown)| query.matches(shown)) {
                found.add(*id);
            }
        }
        found
    }

    fn add(&mut self, id: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            _ => self.ranges.push((id, id)),
        }
    }
}

/// Which rows a filter lets pass.
pub(super) async fn matching(
    State(shared): State<Arc<Shared>>,
    RawQuery(parameters): RawQuery,
) -> Response {
    let parameters = parameters.as_deref();
    let text = value(parameters, "filter").unwrap_or_default();
    let query = match text.parse::<Query>() {
        Ok(query) => query,
        // A filter is tried while it is typed: that one is not whole yet is no error of the
        // request, which browsers would note as one.
        Err(why) => return json(&Refused { error: &why }),
    };
    let after = value(parameters, "after").and_then(|after| after.parse().ok());
    let store = shared.settings.store.clone();
    let find = move || Matching::find(&store, &query, after.unwrap_or(0));
    match shared.work(find).await {
        Some(found) => json(&found),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The nanoseconds of each part.
#[derive(Serialize)]
struct Timing {
    send_ns: u64,
    wait_ns: u64,
    receive_ns: u64,
}

/// One exchange: what `tap --json -vv` prints of it, where its time went, how to repeat it, and the
/// messages that its bodies are made of.
pub(super) async fn exchange(
    State(shared): State<Arc<Shared>>,
    Path((_, id)): Path<(String, u64)>,
) -> Response {
    let Some(shown) = shared.settings.store.get(id) else {
        return refused(StatusCode::GONE, "it is not held any more");
    };
    match shared.work(move || whole(&shown)).await {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn whole(shown: &Shown) -> Vec<u8> {
    let Phases {
        send,
        wait,
        receive,
    } = shown.exchange().phases();
    let timing = Timing {
        send_ns: send,
        wait_ns: wait,
        receive_ns: receive,
    };
    let (curl, why) = match curl::command(shown) {
        Ok(command) => (Some(command), None),
        Err(why) => (None, Some(why)),
    };
    let exchange = shown.exchange();
    let request = &exchange.request;
    let request_messages = messages(
        &request.head.fields,
        &request.body,
        shown.sanitized.request_content(),
    );
    let response_messages = exchange.response.as_ref().and_then(|response| {
        let content = shown.sanitized.response_content();
        messages(&response.head.fields, &response.body, content)
    });
    // Numbers and text make JSON always.
    let part = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_else(|_| b"null".to_vec());
    let mut body = b"{\"record\":".to_vec();
    body.extend_from_slice(&shown.json());
    for (name, value) in [
        ("timing", part(serde_json::to_vec(&timing))),
        ("curl", part(serde_json::to_vec(&curl))),
        ("curl_error", part(serde_json::to_vec(&why))),
        ("curl_note", part(serde_json::to_vec(&curl::remark(shown)))),
        (
            "request_messages",
            part(serde_json::to_vec(&request_messages)),
        ),
        (
            "response_messages",
            part(serde_json::to_vec(&response_messages)),
        ),
    ] {
        body.extend_from_slice(format!(",\"{name}\":").as_bytes());
        body.extend_from_slice(&value);
    }
    body.push(b'}');
    body
}
