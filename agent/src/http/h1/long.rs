//! The rest of a request's head that is over the bounds: where it ends, and what it says of the
//! body. Nothing else of it is kept.

use super::framing::{self, Framed, Traits};
use super::head::{self, ReadError};
use crate::http::{Bounds, RequestHead};

/// Fields that say how the body ends, or whether it comes at all.
const FIELDS: [&[u8]; 4] = [
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"upgrade",
];
/// Bytes of a line that are kept until it is whole: a field that says how the body ends is shorter.
const LINE: usize = 512;
/// Bytes of such lines: a hundred of them.
const KEPT: usize = 8 * 1024;
/// Longest head whose end is looked for: sixteen times what servers accept at most.
const MOST: usize = 1024 * 1024;
/// A first line ends with it.
const OLD_VERSION: &[u8] = b"HTTP/1.0";

/// A head that is passed over.
#[derive(Debug)]
pub(super) struct LongHead {
    /// A head of its own: the method, the version, and the lines of [`FIELDS`].
    kept: Vec<u8>,
    /// The line that is read: its first bytes, and its last.
    line: Vec<u8>,
    last: Vec<u8>,
    /// Fold lines belong to a kept one (RFC 9112 §5.2).
    folds: bool,
    /// Bytes that are still looked at.
    left: usize,
}

impl LongHead {
    /// The head that begins with `start`.
    pub(super) fn new(start: &[u8]) -> Self {
        let mut head = Self {
            kept: Vec::new(),
            line: Vec::new(),
            last: Vec::new(),
            folds: false,
            left: MOST,
        };
        let mut rest = start;
        // It has no end: that is why it is too long.
        let _end = head.feed(&mut rest);
        head
    }

    pub(super) const fn memory(&self) -> usize {
        self.kept.capacity() + self.line.capacity() + self.last.capacity()
    }

    /// Takes bytes up to its end. What it says of the body, once it has ended; an error when that
    /// cannot be known.
    pub(super) fn feed(
        &mut self,
        input: &mut &[u8],
    ) -> Option<Result<(Framed, Traits), ReadError>> {
        while !input.is_empty() {
            let end = memchr::memchr(b'\n', input);
            let (part, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
            *input = rest;
            let Some(left) = self.left.checked_sub(part.len()) else {
                return Some(Err(ReadError::TooLarge));
            };
            self.left = left;
            self.add(part);
            if end.is_none() {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if matches!(line.as_slice(), b"\n" | b"\r\n") && !self.kept.is_empty() {
                return Some(self.framing());
            }
            if !self.line(&line) {
                return Some(Err(ReadError::Malformed));
            }
            self.line = line;
            self.line.clear();
            self.last.clear();
        }
        None
    }

    fn add(&mut self, part: &[u8]) {
        let room = LINE - self.line.len().min(LINE);
        self.line
            .extend_from_slice(part.get(..room).unwrap_or(part));
        let most = OLD_VERSION.len() + b"\r\n".len();
        self.last.extend_from_slice(
            part.get(part.len().saturating_sub(most)..)
                .unwrap_or_default(),
        );
        let over = self.last.len().saturating_sub(most);
        self.last.drain(..over);
    }

    /// A line is whole, or its first bytes are there. False: what the head says cannot be known.
    fn line(&mut self, line: &[u8]) -> bool {
        if self.kept.is_empty() {
            return self.first_line(line);
        }
        let folds = line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        self.folds = match folds {
            true => self.folds,
            false => {
                let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
                let name = name.trim_ascii();
                FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name))
            }
        };
        if !self.folds {
            return true;
        }
        self.kept.extend_from_slice(line);
        line.ends_with(b"\n") && self.kept.len() <= KEPT
    }

    fn first_line(&mut self, line: &[u8]) -> bool {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            return false;
        };
        let version: &[u8] = match self.last.trim_ascii_end().ends_with(OLD_VERSION) {
            true => OLD_VERSION,
            false => b"HTTP/1.1",
        };
        self.kept = [
            line.get(..space).unwrap_or_default(),
            b" / ",
            version,
            b"\r\n",
        ]
        .concat();
        true
    }

    fn framing(&mut self) -> Result<(Framed, Traits), ReadError> {
        self.kept.extend_from_slice(b"\r\n");
        let bounds = Bounds {
            head: 2 * KEPT,
            body: 0,
        };
        let parsed = head::parse::<RequestHead>(&self.kept, &bounds)?;
        framing::request(&parsed.ok_or(ReadError::Malformed)?.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head of this first line and these fields, in steps of so many bytes; what follows it.
    #[track_caller]
    fn check(head: &str, expected: Result<Framed, ReadError>) {
        for step in [1, 7, head.len()] {
            let (start, rest) = head.as_bytes().split_at(step.min(5));
            let mut long = LongHead::new(start);
            let mut found = None;
            let mut left: Vec<u8> = Vec::new();
            for mut part in rest.chunks(step) {
                if found.is_none() {
                    found = long.feed(&mut part);
                }
                left.extend_from_slice(part);
            }
            let framed = found.map(|found| found.map(|(framed, _)| framed));
            assert_eq!(framed, Some(expected), "{step}");
            if expected.is_ok() {
                assert_eq!(left, b"next", "{step}");
            }
        }
    }

    #[test]
    fn how_the_body_ends() {
        let long = "x".repeat(70_000);
        let head = |fields: &str| format!("POST /{long} HTTP/1.1\r\nA: {long}\r\n{fields}\r\nnext");
        check(&head(""), Ok(Framed::None));
        check(&head("Content-Length: 12\r\n"), Ok(Framed::Length(12)));
        check(&head("content-length:12\nB: c\n"), Ok(Framed::Length(12)));
        check(&head("Content-Length:\r\n 12\r\n"), Ok(Framed::Length(12)));
        check(
            &head(&format!("B: {long}\r\nTransfer-Encoding: chunked\r\n")),
            Ok(Framed::Chunked),
        );
        check(&head("B:\r\n Content-Length: 12\r\n"), Ok(Framed::None));
        check(&head("Content-Length: x\r\n"), Err(ReadError::Malformed));
        check(
            &head(&format!("Content-Length: {long}\r\n")),
            Err(ReadError::Malformed),
        );
    }

    #[test]
    fn a_version_at_the_end_of_a_long_line() {
        let long = "x".repeat(70_000);
        for (version, doubtful) in [("1.0", true), ("1.1", false)] {
            let head = format!("PUT /{long} HTTP/{version}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let mut long = LongHead::new(b"");
            let found = long.feed(&mut head.as_bytes()).unwrap().unwrap();
            assert_eq!(found.1.doubtful, doubtful, "{version}");
        }
    }

    #[test]
    fn an_end_that_does_not_come() {
        let mut long = LongHead::new(b"GET / HTTP/1.1\r\n");
        let field = b"A: b\r\n";
        let mut fields = 0;
        while long.feed(&mut field.as_slice()).is_none() {
            fields += 1;
            assert!(long.memory() < 4 * LINE);
        }
        assert!(fields * field.len() <= MOST);
    }
}
