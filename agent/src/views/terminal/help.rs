//! The help: every key, and the filter language.

use super::body::Line;
use super::ink::Ink;
use crate::views::filter;

const TABLE: &[(&str, &str)] = &[
    ("↑ ↓ j k", "select; PgUp PgDn Home End, g G"),
    ("Enter", "look at the exchange; of totals: at its exchanges"),
    ("Esc", "back; forget the filter"),
    ("/", "filter as you type"),
    ("Space", "pause: nothing new is shown until Space again"),
    ("f", "follow the newest"),
    (
        "o O",
        "sort by time, duration, size, status; the other way round",
    ),
    ("m u", "mark; unmark all"),
    (
        "c",
        "copy as curl, to the clipboard of the terminal (OSC 52)",
    ),
    ("w", "write the curl command to a file"),
    ("s", "save as HAR what is marked, else all of the table"),
    ("t", "totals, and back to exchanges"),
    ("b", "totals by route, client, server, status, edge"),
    ("?", "this help"),
    ("q Ctrl-C", "end, with the ledger"),
];

const DETAIL: &[(&str, &str)] = &[
    ("↑ ↓ PgUp PgDn", "scroll; Home, End"),
    ("Tab", "to the request, to the response"),
    ("← → [ ]", "the exchange before, the next one"),
    ("/ n N", "find text; the next, the one before"),
    ("c w m", "as in the table"),
    ("Esc q", "back to the table"),
];

/// All of it.
pub(super) fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    part(&mut lines, "Table", TABLE, 10);
    part(&mut lines, "An exchange", DETAIL, 14);
    part(&mut lines, "Filter", filter::HELP, 18);
    let words = [
        "Kinds narrow each other; values of one kind, and repeated kinds, widen it.",
        "Quote what has a space or a colon: \"a b\", path:\"/x y\".",
        "",
        "Failed: no response, a 5xx, or a call (gRPC) that did not end with OK.",
        "Secrets are shown as hashes unless meshtap was started with --no-redact.",
    ];
    lines.extend(words.map(|line| (line.to_owned(), Ink::Dim)));
    lines
}

fn part(lines: &mut Vec<Line>, title: &str, entries: &[(&str, &str)], width: usize) {
    lines.push((title.to_owned(), Ink::Title));
    for (key, text) in entries {
        lines.push((format!("  {key:<width$}{text}"), Ink::Plain));
    }
    lines.push((String::new(), Ink::Plain));
}
