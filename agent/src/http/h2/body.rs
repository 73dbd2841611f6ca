//! The body of a message: what of it is kept, how large it truly is.

use bytes::Bytes;

use crate::http::rpc::Counter;
use crate::http::{Body, Fields, Framing};

/// A body being read from the DATA of a stream.
#[derive(Debug, Default)]
pub struct BodyReader {
    kept: Vec<u8>,
    size: u64,
    missing: u64,
    /// A byte that was wanted is missing: what follows it is not kept.
    broken: bool,
    /// It is longer than what is kept.
    over: bool,
    /// Counts messages, in a call.
    messages: Option<Box<Counter>>,
}

impl BodyReader {
    /// The body is messages of a call, or is not.
    pub fn count(&mut self, counter: Option<Counter>) {
        self.messages = counter.map(Box::new);
        // What came before its head is not counted.
        if let Some(messages) = &mut self.messages
            && (self.broken || self.size > 0)
        {
            messages.lose();
        }
    }

    /// Nothing of it came, as far as is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Takes the next bytes; keeps at most `limit` of all. Says how many are past it.
    pub fn push(&mut self, bytes: &[u8], limit: usize) -> u64 {
        let len = bytes.len() as u64;
        self.size = self.size.saturating_add(len);
        if let Some(messages) = &mut self.messages {
            messages.push(bytes);
        }
        let unwanted = self.size.saturating_sub(limit as u64).min(len);
        self.over |= unwanted > 0;
        if self.broken {
            return unwanted;
        }
        let room = limit.saturating_sub(self.kept.len()).min(bytes.len());
        if let Some(bytes) = bytes.get(..room) {
            self.kept.extend_from_slice(bytes);
        }
        unwanted
    }

    /// The next bytes are missing. `lost`: not on purpose. True when any are lost.
    pub fn miss(&mut self, len: u64, lost: bool, limit: usize) -> bool {
        let wanted = (limit as u64).saturating_sub(self.size).min(len);
        self.size = self.size.saturating_add(len);
        self.broken |= wanted > 0;
        self.over |= wanted < len;
        if let Some(messages) = &mut self.messages {
            messages.miss(len);
        }
        if lost {
            self.missing += len;
        }
        lost && len > 0
    }

    /// Bytes are missing, and nobody knows how many: what follows them is not kept, and which of it
    /// begins a message is not known.
    pub fn lose(&mut self) {
        self.broken = true;
        if let Some(messages) = &mut self.messages {
            messages.lose();
        }
    }

    /// Bytes are missing, and not on purpose.
    #[must_use]
    pub const fn has_missing(&self) -> bool {
        self.missing > 0
    }

    /// Keeps at most so many bytes of those that came.
    pub fn truncate(&mut self, limit: usize) {
        self.over |= self.kept.len() > limit;
        self.kept.truncate(limit);
    }

    /// What came is no body after all: the bytes of its beginning that were kept, and how many
    /// follow them.
    pub fn take(&mut self) -> (Vec<u8>, u64) {
        let Self { kept, size, .. } = std::mem::take(self);
        let rest = size - kept.len() as u64;
        (kept, rest)
    }

    /// Bytes held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        let counter = match self.messages {
            Some(_) => size_of::<Counter>(),
            None => 0,
        };
        self.kept.capacity() + counter
    }

    /// What there is. `size_exact`: its end was seen, and nothing of unknown length is missing.
    pub fn finish(&mut self, size_exact: bool, trailers: Option<Box<Fields>>) -> Body {
        let mut kept = std::mem::take(&mut self.kept);
        kept.shrink_to_fit();
        let truncated = self.over || self.missing == 0 && self.size > kept.len() as u64;
        Body {
            truncated,
            bytes: Bytes::from(kept),
            size: self.size,
            size_exact,
            missing: self.missing,
            framing: match self.size {
                0 => Framing::None,
                _ => Framing::Stream,
            },
            trailers,
            messages: self.messages.as_ref().map(|messages| messages.seen()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps: bytes, or how many are missing (negative: lost). Then bytes kept, size, missing,
    /// truncated.
    fn check(steps: &[Result<&str, i64>], expected: (&str, u64, u64, bool)) {
        let mut reader = BodyReader::default();
        for step in steps {
            match step {
                Ok(text) => {
                    reader.push(text.as_bytes(), 8);
                }
                Err(len) => {
                    reader.miss(len.unsigned_abs(), *len < 0, 8);
                }
            }
        }
        let body = reader.finish(true, None);
        let text = std::str::from_utf8(&body.bytes).unwrap();
        assert_eq!((text, body.size, body.missing, body.truncated), expected);
    }

    #[test]
    fn bodies() {
        check(&[], ("", 0, 0, false));
        check(&[Ok("abc"), Ok("def")], ("abcdef", 6, 0, false));
        check(&[Ok("abcdef"), Ok("ghij")], ("abcdefgh", 10, 0, true));
        // Omitted on purpose, and lost: within what is wanted, and past it.
        check(
            &[Ok("abcdefgh"), Err(100), Ok("x")],
            ("abcdefgh", 109, 0, true),
        );
        check(&[Ok("abcdefgh"), Err(-100)], ("abcdefgh", 108, 100, true));
        check(&[Ok("abc"), Err(-2), Ok("fgh")], ("abc", 8, 2, false));
        check(&[Ok("abc"), Err(-9)], ("abc", 12, 9, true));
    }
}
