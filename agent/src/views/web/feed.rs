//! What comes, as server-sent events.
//!
//! A browser has a place in the store, not a queue: it takes what came after it, when it can. One
//! that is slow, or that does not read at all, costs a connection and holds up nobody. What fell
//! out of the store meanwhile is counted. The number of the last row is the event's id, so a
//! browser that connects again goes on where it was (`Last-Event-ID`).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::row::PageRow;
use super::serve::Shared;
use crate::views::services::Service;
use crate::views::stats::key::{client, server};
use crate::views::{Held, Store};

/// How often a feed looks for what has come: often enough to seem at once.
const TICK: Duration = Duration::from_millis(100);
/// Rows in one event. A browser reads an event whole.
const ROWS: usize = 500;
/// Rows in a second: what a browser puts into a list without a pause.
const ROWS_PER_SECOND: usize = 25_000;
/// Rows that come at once, at the beginning: a store without bodies.
const BURST: usize = 150_000;
/// Rows that get a name later: a service is known after its own first exchange.
const UNNAMED: usize = 2_000;
/// After so long without anything, a comment: the connection is seen to be alive.
const ALIVE: Duration = Duration::from_secs(15);

/// State of the store, and of this feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Now {
    #[serde(flatten)]
    held: Held,
    max_bytes: usize,
    /// Fell out of the store before this browser took them.
    missed: u64,
}

#[derive(Serialize)]
struct Rows {
    rows: Vec<PageRow>,
    /// Number of the oldest one in the store.
    first: u64,
}

/// One browser's place.
struct Feed {
    store: Arc<Store>,
    max_bytes: usize,
    /// Number of the last row it has.
    at: u64,
    /// It began at the oldest row: none was missed before it.
    is_new: bool,
    missed: u64,
    /// Rows that were sent while nobody knew which services their ends are.
    unnamed: VecDeque<(u64, Service)>,
    said: Option<Now>,
    /// Rows that may come now.
    budget: usize,
    filled: Instant,
    spoke: Instant,
    ended: watch::Receiver<bool>,
    is_over: bool,
}

impl Feed {
    fn new(shared: &Shared, at: Option<u64>) -> Self {
        let now = Instant::now();
        let store = shared.settings.store.clone();
        // A number from another run: everything anew.
        let at = at.filter(|at| *at < store.held().next);
        Self {
            store,
            max_bytes: shared.settings.max_bytes,
            at: at.unwrap_or(0),
            is_new: at.is_none(),
            missed: 0,
            unnamed: VecDeque::new(),
            said: None,
            budget: BURST,
            filled: now,
            spoke: now,
            ended: shared.ended.clone(),
            is_over: false,
        }
    }

    /// Events for what is new; nothing when nothing is.
    fn take(&mut self, now: Instant) -> Vec<u8> {
        let mut out = Vec::new();
        let past = now.saturating_duration_since(self.filled);
        let more = past.as_millis() as usize * ROWS_PER_SECOND / 1000;
        if more > 0 {
            self.budget = self.budget.saturating_add(more).min(BURST);
            self.filled = now;
        }
        let batch = self.store.since(self.at, ROWS.min(self.budget));
        if let (Some((first, _)), Some((last, _))) = (batch.first(), batch.last()) {
            if !self.is_new {
                self.missed += first - self.at - 1;
            }
            let (last, many) = (*last, batch.len());
            let rows = (batch.iter()).map(|(id, shown)| {
                let services = shown.unnamed().map(|(_, service)| service.clone());
                self.unnamed.extend(services.map(|service| (*id, service)));
                PageRow::of(*id, shown)
            });
            let rows = Rows {
                rows: rows.collect(),
                first: self.store.held().first,
            };
            event(&mut out, "rows", Some(last), &rows);
            self.at = last;
            self.is_new = false;
            self.budget -= many;
        }
        self.name(&mut out);
        // Of the state only now and then while rows come.
        if out.is_empty() || self.said.is_none() {
            self.say(&mut out);
        }
        if out.is_empty() && now.saturating_duration_since(self.spoke) >= ALIVE {
            out.extend_from_slice(b": alive\n\n");
        }
        if !out.is_empty() {
            self.spoke = now;
        }
        out
    }

    /// Says of rows whose ends had no names what they are, where they are known by now.
    fn name(&mut self, out: &mut Vec<u8>) {
        let mut names = Vec::new();
        self.unnamed.retain(|(id, service)| match service.name() {
            Some(_) => {
                let shown = self.store.get(*id);
                names.extend(shown.map(|shown| (*id, client(&shown), server(&shown))));
                false
            }
            None => true,
        });
        let surplus = self.unnamed.len().saturating_sub(UNNAMED);
        self.unnamed.drain(..surplus);
        if !names.is_empty() {
            event(out, "names", None, &names);
        }
    }

    fn say(&mut self, out: &mut Vec<u8>) {
        let now = Now {
            held: self.store.held(),
            max_bytes: self.max_bytes,
            missed: self.missed,
        };
        if self.said != Some(now) {
            self.said = Some(now);
            event(out, "held", None, &now);
        }
    }

    /// The next bytes; `None` when the page ends.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.is_over {
                return None;
            }
            let out = self.take(Instant::now());
            if !out.is_empty() {
                return Some(out);
            }
            // A sender that is gone has ended, too.
            let ended = self.ended.wait_for(|ended| *ended);
            if tokio::time::timeout(TICK, ended).await.is_ok() {
                self.is_over = true;
                return Some(b"event: end\ndata: {}\n\n".to_vec());
            }
        }
    }
}

/// JSON has no line feeds, so it is one line of data.
fn event(out: &mut Vec<u8>, name: &str, id: Option<u64>, data: &impl Serialize) {
    let before = out.len();
    out.extend_from_slice(format!("event: {name}\n").as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    match serde_json::to_writer(&mut *out, data) {
        Ok(()) => out.extend_from_slice(b"\n\n"),
        // Writing into memory does not fail; half an event would spoil the next.
        Err(_) => out.truncate(before),
    }
}

/// The feed of one browser.
pub(super) async fn events(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let feed = Feed::new(&shared, last.and_then(|id| id.parse().ok()));
    let open = shared.open();
    let chunks = stream::unfold((feed, open), |(mut feed, open)| async move {
        let chunk = feed.next().await?;
        Some((Ok::<_, Infallible>(chunk), (feed, open)))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::from_stream(chunks)).into_response()
}
