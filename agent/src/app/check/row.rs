//! A line of `meshtap check`: what was looked at, whether it is there, and what to do.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Ok,
    Missing(Need),
    /// Nobody asks for it here, or it could not be looked at because of another row.
    NotApplicable,
}

/// What misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Capture.
    Capture,
    /// Something that the configuration asks for. Capture works without it.
    Feature,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) presence: Presence,
    pub(super) why: String,
    /// What to do; empty where nothing is.
    pub(super) remedy: String,
}

impl Row {
    pub(super) fn ok(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, Presence::Ok, why.into(), String::new())
    }

    pub(super) fn idle(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, Presence::NotApplicable, why.into(), String::new())
    }

    pub(super) fn missing(
        name: &str,
        need: Need,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(name, Presence::Missing(need), why.into(), remedy.into())
    }

    fn new(name: &str, presence: Presence, why: String, remedy: String) -> Self {
        Self {
            name: name.to_owned(),
            presence,
            why,
            remedy,
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "result": match self.presence {
                Presence::Ok => "ok",
                Presence::Missing(_) => "missing",
                Presence::NotApplicable => "not_applicable",
            },
            "needed_for": match self.presence {
                Presence::Missing(Need::Capture) => Some("capture"),
                Presence::Missing(Need::Feature) => Some("feature"),
                _ => None,
            },
            "why": self.why,
            "do": (!self.remedy.is_empty()).then_some(&self.remedy),
        })
    }
}

/// 0: everything is there. 1: capture works, with less than is asked for. 2: nothing is captured.
pub(super) fn exit_code(rows: &[Row]) -> u8 {
    let code = |row: &Row| match row.presence {
        Presence::Missing(Need::Capture) => 2,
        Presence::Missing(Need::Feature) => 1,
        Presence::Ok | Presence::NotApplicable => 0,
    };
    rows.iter().map(code).max().unwrap_or(0)
}

/// For a person.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let sign = match row.presence {
            Presence::Ok => "✓",
            Presence::Missing(_) => "✗",
            Presence::NotApplicable => "–",
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(text, "{sign} {:width$}  {}", row.name, row.why);
        if !row.remedy.is_empty() {
            let _ = writeln!(text, "  {:width$}  → {}", "", row.remedy);
        }
    }
    let _ = writeln!(text, "{}", verdict(exit_code(rows)));
    text
}

const fn verdict(code: u8) -> &'static str {
    match code {
        0 => "everything is there",
        1 => "capture works; what is marked ✗ is missing",
        _ => "nothing can be captured here until what is marked ✗ is there",
    }
}

/// For scripts.
pub(super) fn json(rows: &[Row]) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "exit": exit_code(rows),
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

/// For scripts, where nothing could be looked at.
pub(super) fn no_json(error: &str, code: u8) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "exit": code,
        "rows": [],
        "error": error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_row_decides() {
        let ok = Row::ok("a", "");
        let idle = Row::idle("b", "");
        let less = Row::missing("c", Need::Feature, "", "");
        let nothing = Row::missing("d", Need::Capture, "", "");
        let check = |rows: &[&Row], expected| {
            let rows: Vec<_> = rows.iter().map(|row| (*row).clone()).collect();
            assert_eq!(exit_code(&rows), expected, "{rows:?}");
        };
        check(&[], 0);
        check(&[&ok, &idle], 0);
        check(&[&ok, &less, &idle], 1);
        check(&[&nothing, &less], 2);
        check(&[&less, &nothing], 2);
    }

    #[test]
    fn what_to_do_stands_below_why() {
        let rows = [
            Row::ok("kernel", "6.18"),
            Row::missing("btf", Need::Feature, "not there", "ask for it"),
        ];
        assert_eq!(
            table(&rows),
            "✓ kernel  6.18\n✗ btf     not there\n          → ask for it\n\
             capture works; what is marked ✗ is missing\n"
        );
        let json = json(&rows);
        assert_eq!(json["exit"], 1);
        assert_eq!(json["rows"][0]["do"], Value::Null);
        assert_eq!(json["rows"][1]["result"], "missing");
        assert_eq!(json["rows"][1]["needed_for"], "feature");
        assert_eq!(json["rows"][1]["do"], "ask for it");
    }
}
