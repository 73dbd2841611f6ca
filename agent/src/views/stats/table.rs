//! Cells → the lines of a table.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::Serialize;

use super::cell::{Cell, Span};
use super::key::Key;
use crate::hash::Keyed;

/// What the lines of a table are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Server, method and route.
    #[default]
    Route,
    /// Client.
    Client,
    /// Server.
    Server,
    /// Status.
    Status,
    /// Client and server: who calls whom.
    Edge,
}

impl By {
    /// Every one that a person chooses from.
    pub const ALL: [Self; 5] = [
        Self::Route,
        Self::Client,
        Self::Server,
        Self::Status,
        Self::Edge,
    ];

    /// The name in output and options.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Client => "client",
            Self::Server => "server",
            Self::Status => "status",
            Self::Edge => "edge",
        }
    }

    /// The parts of a key that a line is of.
    #[must_use]
    pub fn of(self, key: &Key) -> Key {
        let (client, server) = (&key.client, &key.server);
        let part = |wanted: bool, text: &Arc<str>| match wanted {
            true => text.clone(),
            false => Arc::default(),
        };
        Key {
            client: part(matches!(self, Self::Client | Self::Edge), client),
            server: part(
                matches!(self, Self::Route | Self::Server | Self::Edge),
                server,
            ),
            method: part(self == Self::Route, &key.method),
            route: part(self == Self::Route, &key.route),
            status: part(self == Self::Status, &key.status),
        }
    }
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What it is of.
    #[serde(flatten)]
    pub key: Key,
    /// Exchanges since the start.
    pub count: u64,
    /// Exchanges per second of the span that was asked for.
    pub rate: f64,
    /// Those that failed: no response, a 5xx, or a call that did not end with OK.
    pub failed: u64,
    /// Their share, 0 to 1.
    pub failed_share: f64,
    /// Those that came out of TLS.
    pub tls: u64,
    /// Half of them took at most so many nanoseconds.
    pub p50_ns: u64,
    /// 95 % of them.
    pub p95_ns: u64,
    /// 99 % of them.
    pub p99_ns: u64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of response bodies.
    pub received: u64,
    /// Exchanges of each of the last 60 seconds, the present one last.
    pub seconds: Vec<u32>,
}

impl Line {
    pub(super) fn new(key: Key, cell: &Cell, span: Span) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "for a person to read")]
        let share = cell.failed as f64 / cell.count.max(1) as f64;
        Self {
            key,
            count: cell.count,
            rate: cell.rate(span),
            failed: cell.failed,
            failed_share: share,
            tls: cell.tls,
            p50_ns: cell.quantile(0.5),
            p95_ns: cell.quantile(0.95),
            p99_ns: cell.quantile(0.99),
            sent: cell.sent,
            received: cell.received,
            seconds: cell.spark(span.now),
        }
    }
}

pub(super) fn make<'a>(
    cells: impl Iterator<Item = &'a (Key, Cell)>,
    by: By,
    span: Span,
) -> Vec<Line> {
    let mut merged: HashMap<Key, Cell, Keyed> = HashMap::default();
    for (key, cell) in cells {
        merged.entry(by.of(key)).or_default().merge(cell);
    }
    let mut lines: Vec<_> = (merged.into_iter())
        .map(|(key, cell)| Line::new(key, &cell, span))
        .collect();
    lines.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
    lines
}
