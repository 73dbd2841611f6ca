//! What leaves the screen: the clipboard of the terminal, and files.
//!
//! What is written was captured: files are for their owner alone, and no link is followed.

use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::files::Files;
use crate::har;
use crate::plural::counted;
use crate::views::store::Store;

/// Bytes that terminals take for their clipboard: xterm's and tmux's bound is 100 000 characters of
/// base64 or more; this stays below.
pub(super) const MAX_CLIPBOARD: usize = 72_000;

/// The sequence that puts a text into the clipboard of the terminal, over ssh too (OSC 52).
#[must_use]
pub fn clipboard(text: &str) -> Vec<u8> {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text)).into_bytes()
}

/// Writes a text to a file; says what came of it.
#[must_use]
pub fn text(path: &Path, text: &str) -> String {
    let written = open(path).and_then(|output| {
        let mut file = output.start().map_err(|error| error.to_string())?;
        file.write_all(text.as_bytes())
            .map_err(|error| error.to_string())
    });
    said(path, written.map(|()| "written".to_owned()))
}

/// Writes exchanges to a HAR file; says what came of it.
#[must_use]
pub fn har(path: &Path, numbers: &[u64], store: &Store) -> String {
    let written = open(path)
        .and_then(|output| entries(output, numbers, store).map_err(|error| error.to_string()));
    said(
        path,
        written.map(|count| match count == numbers.len() {
            true => format!("{} written", counted(count as u64, "exchange")),
            false => format!(
                "{count} of {} written: the rest is gone",
                counted(numbers.len() as u64, "exchange")
            ),
        }),
    )
}

fn entries(output: crate::files::Output, numbers: &[u64], store: &Store) -> io::Result<usize> {
    let mut writer = har::Writer::create(output)?;
    let mut count = 0;
    for shown in numbers.iter().filter_map(|id| store.get(*id)) {
        writer.write(&shown.sanitized)?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}

/// A file alone: a descriptor or a device is not what is meant, and the screen has the terminal.
fn open(path: &Path) -> Result<crate::files::Output, String> {
    let output = Files::new()
        .output(path)
        .map_err(|reason| reason.to_string())?;
    match output.kind() {
        crate::files::Kind::File => Ok(output),
        _ => Err("it is no file".to_owned()),
    }
}

fn said(path: &Path, written: Result<String, String>) -> String {
    match written {
        Ok(text) => format!("{}: {text}", path.display()),
        Err(reason) => format!("{} is not written: {reason}", path.display()),
    }
}

#[cfg(test)]
mod tests;
