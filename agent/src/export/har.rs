//! Exchanges to a HAR file: unlike spans, they keep every header field and both bodies as they
//! came.

use std::io::{self, Write};
use std::time::Duration;

use super::Batch;
use super::batch::Buffered;
use super::handle::{Encode, Input};
use crate::files::Output;
use crate::har::{OutputPlace, Writer, push_entry};

/// Entries reach the file soon after their exchange.
pub(super) const AGE: Duration = Duration::from_secs(1);
/// Bytes of a write: a few entries with bodies.
const BATCH: usize = 256 * 1024;

/// Fills buffers with entries.
#[derive(Debug, Default)]
pub(super) struct Entries(Buffered);

impl Encode for Entries {
    fn add(&mut self, input: Input<'_>) -> Option<Batch> {
        let Input::Exchange(sanitized, _) = input else {
            return None;
        };
        self.0.add(BATCH, |buffer| {
            if !buffer.is_empty() {
                buffer.extend_from_slice(b",\n");
            }
            push_entry(buffer, sanitized);
        })
    }

    fn close(&mut self) -> Option<Batch> {
        self.0.close()
    }
}

/// A HAR file as a writer of whole batches: each write is the entries of one, and a flush makes the
/// document whole.
pub(super) struct Document(Writer<OutputPlace>);

impl Document {
    pub(super) fn create(output: Output) -> io::Result<Self> {
        Writer::create(output).map(Self)
    }
}

impl Write for Document {
    fn write(&mut self, entries: &[u8]) -> io::Result<usize> {
        self.0.append(entries)?;
        Ok(entries.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.settle()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::files::Files;
    use crate::policy::fixture;
    use crate::redact::fixture::sanitize;
    use crate::redact::{Config, Sanitized};

    fn exchange(body: usize) -> Sanitized {
        let response = format!("HTTP/1.1 200 X\r\n\r\n{}", "x".repeat(body));
        let exchange = fixture::exchange("GET / HTTP/1.1\r\n\r\n", response);
        sanitize(&Config::everything(), exchange)
    }

    /// Batches of so many entries come of exchanges with bodies of these sizes.
    fn check(bodies: &[usize], expected: &[u64]) {
        let path = std::env::temp_dir().join(format!(
            "meshtap-export-{}-{}.har",
            std::process::id(),
            bodies.len()
        ));
        let output = Files::default().output(&path).unwrap();
        let mut document = Document::create(output).unwrap();
        let mut entries = Entries::default();
        let mut sizes = Vec::new();
        let mut take = |batch: Option<Batch>| {
            if let Some(batch) = batch {
                sizes.push(batch.items);
                document.write_all(&batch.parts[0]).unwrap();
                document.flush().unwrap();
            }
        };
        for &body in bodies {
            take(entries.add(Input::Exchange(&exchange(body), &Arc::default())));
        }
        take(entries.close());
        take(entries.close());
        assert_eq!(sizes, expected);
        let text = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let found = json["log"]["entries"].as_array().unwrap();
        let sizes: Vec<_> = found
            .iter()
            .map(|entry| entry["response"]["content"]["size"].as_u64().unwrap() as usize)
            .collect();
        assert_eq!(sizes, bodies);
    }

    #[test]
    fn batches() {
        check(&[1], &[1]);
        check(&[1, 2, 3], &[3]);
        check(&[BATCH, 1, 2, BATCH], &[1, 3]);
    }
}
