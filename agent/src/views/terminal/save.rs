//! What leaves the screen: the clipboard of the terminal, and files.
//!
//! What is written was captured: files are for their owner alone, and no link is followed.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::files::{Files, Kind, Output};
use crate::har;
use crate::plural::counted;
use crate::views::store::Store;

/// Bytes that terminals take for their clipboard: xterm's and tmux's bound is 100 000 characters of
/// base64 or more; this stays below.
pub(super) const MAX_CLIPBOARD: usize = 72_000;

/// Names that are tried.
const MOST: u32 = 1_000;

/// The sequence that puts a text into the clipboard of the terminal, over ssh too (OSC 52).
#[must_use]
pub fn clipboard(text: &str) -> Vec<u8> {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text)).into_bytes()
}

/// Writes a text to a file; says what came of it.
#[must_use]
pub fn text(path: &Path, text: &str) -> String {
    said(path, |output| {
        let mut file = output.start()?;
        file.write_all(text.as_bytes())?;
        Ok("written".to_owned())
    })
}

/// Writes exchanges to a HAR file; says what came of it.
#[must_use]
pub fn har(path: &Path, numbers: &[u64], store: &Store) -> String {
    said(path, |output| {
        let count = entries(output, numbers, store)?;
        Ok(match count == numbers.len() {
            true => format!("{} written", counted(count as u64, "exchange")),
            false => format!(
                "{count} of {} written: the rest is gone",
                counted(numbers.len() as u64, "exchange")
            ),
        })
    })
}

fn entries(output: Output, numbers: &[u64], store: &Store) -> io::Result<usize> {
    let mut writer = har::Writer::create(output)?;
    let mut count = 0;
    for shown in numbers.iter().filter_map(|id| store.get(*id)) {
        writer.write(&shown.sanitized)?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}

/// A file that was not there, by another name where the wanted one is taken: a key should not cost
/// what was saved before. A descriptor or a device is not what is meant, and the screen has the
/// terminal.
fn open(path: &Path) -> Result<Output, String> {
    for number in 1..=MOST {
        let output = Files::new().output(&numbered(path, number));
        let output = output.map_err(|reason| reason.to_string())?;
        match output.kind() {
            Kind::File if output.is_new() => return Ok(output),
            Kind::File => {}
            _ => return Err("it is no file".to_owned()),
        }
    }
    Err("it is there already, and so are others like it: choose another name".to_owned())
}

/// `name-2.har` beside `name.har`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let Some(stem) = path.file_stem().filter(|_| number > 1) else {
        return path.to_owned();
    };
    let mut name = stem.to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Writes a file, and says what came of it.
fn said(path: &Path, write: impl FnOnce(Output) -> io::Result<String>) -> String {
    let written = open(path).and_then(|output| {
        let taken = output.path().to_owned();
        let text = write(output).map_err(|error| error.to_string())?;
        Ok((taken, text))
    });
    match written {
        Ok((taken, text)) if taken == path => format!("{}: {text}", path.display()),
        Ok((taken, text)) => format!(
            "{}: {text}; {} was there already",
            taken.display(),
            path.display()
        ),
        Err(reason) => format!("{} is not written: {reason}", path.display()),
    }
}

#[cfg(test)]
mod tests;
