//! The access log as a destination: lines to standard output, or to a file that is opened again
//! when it is asked for (SIGHUP, as logrotate(8) has it).

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Batch;
use super::batch::Buffered;
use super::handle::{Encode, Input};
use crate::files::{Files, Kind, Output};
use crate::signal::access_log::{Lines, Rules};

/// Lines appear soon after their exchange.
pub(super) const AGE: Duration = Duration::from_millis(100);
/// A pipe's buffer (Linux): one write fills it.
const BATCH: usize = 64 * 1024;

/// Asks for files to be opened again.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicU64>);

impl Reopen {
    /// Before the next line.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// An access log that is to be written.
#[derive(Debug)]
pub struct AccessLog {
    /// Where to.
    pub output: Output,
    /// Which lines there are.
    pub rules: Arc<Rules>,
    /// When to open it again.
    pub reopen: Reopen,
}

/// Fills buffers with lines.
#[derive(Debug)]
pub(super) struct Encoder {
    lines: Lines,
    buffered: Buffered,
}

impl Encoder {
    pub(super) fn new(lines: Lines) -> Self {
        Self {
            lines,
            buffered: Buffered::default(),
        }
    }
}

impl Encode for Encoder {
    fn add(&mut self, input: Input<'_>) -> Option<Batch> {
        let Input::Exchange(sanitized, _) = input else {
            return None;
        };
        let Self { lines, buffered } = self;
        buffered.add(BATCH, |buffer| lines.write(buffer, sanitized))
    }

    fn close(&mut self) -> Option<Batch> {
        self.buffered.close()
    }
}

/// A file that lines are appended to.
pub(super) struct Appended {
    path: PathBuf,
    file: File,
    /// Only a file of ours is opened again.
    kind: Kind,
    reopen: Reopen,
    opened: u64,
}

impl Appended {
    pub(super) fn open(output: Output, reopen: Reopen) -> io::Result<Self> {
        let (path, kind) = (output.path().to_owned(), output.kind());
        Ok(Self {
            path,
            kind,
            opened: reopen.count(),
            file: output.append()?,
            reopen,
        })
    }

    /// Opens the file again when that was asked for. Where it cannot be opened the one before is
    /// written on, and the next line tries again.
    fn follow(&mut self) {
        let asked = self.reopen.count();
        if asked == self.opened || self.kind != Kind::File {
            return;
        }
        let opened = Files::default()
            .output(&self.path)
            .map_err(io::Error::other);
        match opened.and_then(Output::append) {
            Ok(file) => {
                self.file = file;
                self.opened = asked;
            }
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the access log cannot be opened again");
            }
        }
    }
}

impl Write for Appended {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.follow();
        // Whole lines: a file that is opened again begins with one.
        self.file.write_all(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::policy::fixture;
    use crate::redact::Config;
    use crate::redact::fixture::sanitize;
    use crate::signal::access_log::AccessLogSection;

    #[test]
    fn lines_are_appended_and_the_file_is_opened_again() {
        let folder =
            std::env::temp_dir().join(format!("meshtap-access-log-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (path, old) = (folder.join("access.log"), folder.join("access.log.1"));
        let open = || Files::default().output(&path).unwrap();
        let reopen = Reopen::default();
        let mut log = Appended::open(open(), reopen.clone()).unwrap();
        log.write_all(b"1\n").unwrap();
        drop(log);
        let mut log = Appended::open(open(), reopen.clone()).unwrap();
        log.write_all(b"2\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.write_all(b"3\n").unwrap();
        reopen.ask();
        log.write_all(b"4\n").unwrap();
        log.write_all(b"5\n").unwrap();
        let read = |path| fs::read_to_string(path).unwrap();
        let found = (read(&old), read(&path));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ("1\n2\n3\n".to_owned(), "4\n5\n".to_owned()));
    }

    #[test]
    fn a_filter_lets_lines_through() {
        let section = AccessLogSection {
            text: Some("%RESPONSE_CODE%".to_owned()),
            filter: Some("response.code >= 500".to_owned()),
            ..AccessLogSection::default()
        };
        let mut encoder = Encoder::new(Lines::new(Arc::new(Rules::new(&section).unwrap())));
        for status in [200, 503, 404, 500] {
            let response = format!("HTTP/1.1 {status} X\r\n\r\n");
            let exchange = fixture::exchange("GET / HTTP/1.1\r\n\r\n", response);
            let sanitized = sanitize(&Config::default(), exchange);
            encoder.add(Input::Exchange(&sanitized, &Arc::default()));
        }
        let batch = encoder.close().unwrap();
        assert_eq!((batch.items, &*batch.parts[0]), (4, &b"503\n500\n"[..]));
        assert!(encoder.close().is_none());
    }
}
