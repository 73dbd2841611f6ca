//! The listed exchanges as a HAR document, made while it is sent.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

use super::api::refused;
use super::query::{ranges, value};
use super::serve::Shared;
use crate::har;
use crate::views::{Query, Shown, Store};

/// Exchanges looked at in one go.
const BATCH: usize = 64;
/// Bytes that are sent at once, about.
const CHUNK: usize = 256 * 1024;

/// Which exchanges go into the document.
enum Choice {
    Ids(Vec<(u64, u64)>),
    Matching(Query),
}

impl Choice {
    fn of(parameters: Option<&str>) -> Result<Self, String> {
        if let Some(ids) = value(parameters, "ids") {
            let ids = ranges(&ids).map(Self::Ids);
            return ids.ok_or_else(|| "`ids` takes rising numbers: 1-3,7".to_owned());
        }
        let filter = value(parameters, "filter").unwrap_or_default();
        filter.parse().map(Self::Matching)
    }

    fn has(&self, id: u64, shown: &Shown) -> bool {
        match self {
            Self::Matching(query) => query.matches(shown),
            Self::Ids(ranges) => {
                let at = ranges.partition_point(|(_, last)| *last < id);
                ranges.get(at).is_some_and(|(first, _)| *first <= id)
            }
        }
    }

    /// The number before the first one that may be in it, and the last one.
    fn bounds(&self, end: u64) -> (u64, u64) {
        match self {
            Self::Matching(_) => (0, end),
            Self::Ids(ranges) => {
                let first = ranges.first().map_or(0, |(first, _)| first - 1);
                (first, ranges.last().map_or(0, |(_, last)| *last).min(end))
            }
        }
    }
}

/// How far the document is.
struct Progress {
    store: Arc<Store>,
    choice: Choice,
    /// The number that was looked at last.
    at: u64,
    /// The last one: what comes later is not in it.
    end: u64,
    written: Written,
}

/// What was sent of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Nothing,
    Head,
    Entries,
    End,
}

impl Progress {
    /// The next bytes; `None` at the end.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.written {
            Written::End => return None,
            Written::Nothing => {
                out.extend_from_slice(har::HEAD.as_bytes());
                self.written = Written::Head;
            }
            Written::Head | Written::Entries => {}
        }
        while out.len() < CHUNK {
            let batch = self.store.since(self.at, BATCH);
            let ended = batch.is_empty();
            for (id, shown) in batch {
                self.at = id;
                if id <= self.end && self.choice.has(id, &shown) {
                    let is_first = self.written == Written::Head;
                    out.extend_from_slice(if is_first { b"\n" } else { b",\n" });
                    out.extend_from_slice(&shown.har());
                    self.written = Written::Entries;
                }
            }
            if ended || self.at >= self.end {
                out.extend_from_slice(har::TAIL);
                self.written = Written::End;
                break;
            }
        }
        Some(out)
    }
}

/// The document.
pub(super) async fn har(
    State(shared): State<Arc<Shared>>,
    RawQuery(parameters): RawQuery,
) -> Response {
    let choice = match Choice::of(parameters.as_deref()) {
        Ok(choice) => choice,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    let store = shared.settings.store.clone();
    let (at, end) = choice.bounds(store.held().next - 1);
    let progress = Progress {
        store,
        choice,
        at,
        end,
        written: Written::Nothing,
    };
    let chunks = stream::unfold((shared, progress), |(shared, mut progress)| async move {
        let made = shared.work(move || (progress.next(), progress)).await?;
        let (chunk, progress) = made;
        Some((Ok::<_, Infallible>(chunk?), (shared, progress)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"meshtap.har\"",
        ),
    ];
    (headers, Body::from_stream(chunks)).into_response()
}
