//! Where a command of a document runs: `commands.md`.

use std::fs;

use super::guide::root;

/// A row of the table.
pub(crate) struct Place {
    /// What the command begins with.
    pub(crate) begins: String,
    /// `host`, `cluster`, …
    pub(crate) place: String,
    /// The file that runs it, below the workspace; empty: nothing does.
    pub(crate) by: String,
}

/// Every row.
pub(crate) fn all() -> Vec<Place> {
    let text = fs::read_to_string(root().join("tests/docs/commands.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let cells = <[&str; 3]>::try_from(cells.as_slice());
        let [begins, place, by] = cells.map_err(|_| format!("three cells: {row}")).unwrap();
        Place {
            begins: begins.trim_matches('`').to_owned(),
            place: place.to_owned(),
            by: by.trim_matches(['|', ' ']).to_owned(),
        }
    });
    rows.collect()
}

/// The row of a command, by its number.
pub(crate) fn find(places: &[Place], command: &str) -> Option<usize> {
    let words: Vec<_> = command.split_whitespace().collect();
    let plain = words.join(" ");
    let plain = plain.strip_prefix("sudo ").unwrap_or(&plain);
    let fits = |(_, place): &(usize, &Place)| plain.starts_with(&place.begins);
    let fitting = places.iter().enumerate().filter(fits);
    fitting
        .max_by_key(|(_, place)| place.begins.len())
        .map(|(number, _)| number)
}
