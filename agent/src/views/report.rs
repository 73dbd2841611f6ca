//! Totals once, for a script or a person: `top --once`.

use std::fmt::Write as _;

use serde_json::json;
use unicode_width::UnicodeWidthStr as _;

use super::stats::{By, Key, Line, Stats};
use super::terminal::numbers;
use crate::plural::counted;
use crate::tap::size_text;
use crate::tap::units::duration_text;

/// One JSON document and a line feed, of a run that lasted so many seconds.
#[must_use]
pub fn json(stats: &Stats, by: By, seconds: f64) -> String {
    let span = stats.run(seconds);
    let (total, rows) = (stats.total(span), stats.table(by, span));
    let document = json!({
        "by": by,
        "rate_seconds": seconds,
        "open": stats.open(),
        "overflow": stats.overflow(),
        "total": total,
        "rows": rows,
    });
    format!("{document}\n")
}

/// A table, of a run that lasted so many seconds.
#[must_use]
pub fn text(stats: &Stats, by: By, seconds: f64) -> String {
    let span = stats.run(seconds);
    let (total, lines) = (stats.total(span), stats.table(by, span));
    let names: Vec<_> = lines.iter().map(|line| name(&line.key)).collect();
    let title = title(by);
    let width = names
        .iter()
        .map(|name| name.width())
        .chain([title.width()])
        .max();
    let width = width.unwrap_or_default();
    let mut text = format!("{title:<width$}  {}\n", columns_title());
    for (line, name) in lines.iter().zip(&names) {
        let pad = width - name.width();
        let _ = writeln!(text, "{name}{:pad$}  {}", "", columns(line));
    }
    let _ = writeln!(text, "{:<width$}  {}", "all", columns(&total));
    if stats.overflow() > 0 {
        let _ = writeln!(
            text,
            "in no line but the last: {}",
            counted(stats.overflow(), "exchange")
        );
    }
    if stats.open() > 0 {
        let _ = writeln!(
            text,
            "open at the end, and not counted: {}",
            counted(stats.open(), "exchange")
        );
    }
    text
}

/// What a line is of.
pub(super) fn name(key: &Key) -> String {
    match (key.client.is_empty(), key.method.is_empty()) {
        (false, _) if !key.server.is_empty() => format!("{} → {}", key.client, key.server),
        (false, _) => key.client.to_string(),
        (true, false) => format!("{} {}  {}", key.method, key.route, key.server),
        (true, true) if !key.server.is_empty() => key.server.to_string(),
        (true, true) => key.status.to_string(),
    }
}

/// What the names of a table are.
pub(super) const fn title(by: By) -> &'static str {
    match by {
        By::Route => "METHOD ROUTE  SERVER",
        By::Client => "CLIENT",
        By::Server => "SERVER",
        By::Status => "STATUS",
        By::Edge => "CLIENT → SERVER",
    }
}

/// Titles of [`columns`].
pub(super) fn columns_title() -> String {
    format!(
        "{:>7} {:>5} {:>5} {:>6} {:>6} {:>6} {:>5}",
        "COUNT", "RATE", "FAIL", "P50", "P95", "P99", "BYTES"
    )
}

/// The numbers of a line.
pub(super) fn columns(line: &Line) -> String {
    format!(
        "{:>7} {:>5} {:>5} {:>6} {:>6} {:>6} {:>5}",
        count(line.count),
        numbers::rate(line.rate),
        numbers::percent(line.failed_share),
        duration_text(line.p50_ns),
        duration_text(line.p95_ns),
        duration_text(line.p99_ns),
        size_text(line.sent + line.received),
    )
}

/// In at most seven characters.
fn count(count: u64) -> String {
    match count {
        0..10_000_000 => count.to_string(),
        _ => format!("{}M", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests;
