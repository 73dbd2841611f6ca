//! Messages in envelopes: a byte of flags, four bytes of length, and the message.

use super::Protocol;
use crate::http::Fields;

/// Bytes before a message.
pub const PREFIX: usize = 5;

/// Flag of an envelope: the message is compressed.
const COMPRESSED: u8 = 1;

/// The messages of one direction of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// How many began.
    pub count: u64,
    /// Bytes of them that travelled, without envelopes. What an envelope announces does not count.
    pub bytes: u64,
    /// There may be more: bytes are missing, or the last message is cut.
    pub inexact: bool,
}

/// Counts messages while their bytes pass by.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    seen: Messages,
    /// The envelope at hand, and how much of its prefix came.
    prefix: [u8; PREFIX],
    have: usize,
    /// Bytes of its message that are to come.
    left: u64,
    /// It is a message.
    counts: bool,
    /// Flags of the envelope that ends a call.
    last: Option<u8>,
}

impl Counter {
    /// `last`: flags of the envelope that ends a call and is no message.
    #[must_use]
    pub const fn new(last: Option<u8>) -> Self {
        Self {
            seen: Messages {
                count: 0,
                bytes: 0,
                inexact: false,
            },
            prefix: [0; PREFIX],
            have: 0,
            left: 0,
            counts: false,
            last,
        }
    }

    /// Of a body with these fields, if its messages can be counted while they pass by.
    #[must_use]
    pub fn of(fields: &Fields) -> Option<Self> {
        let protocol = Protocol::of_media_type(fields.get("content-type")?)?;
        protocol.is_counted().then(|| Self::new(protocol.last()))
    }

    /// What was counted.
    #[must_use]
    pub const fn seen(&self) -> Messages {
        Messages {
            inexact: self.seen.inexact || self.left > 0 || self.have > 0,
            ..self.seen
        }
    }

    /// The next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.seen.inexact {
            return;
        }
        while !bytes.is_empty() {
            if self.left > 0 {
                let len = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.passes(len as u64);
                bytes = bytes.get(len..).unwrap_or_default();
                continue;
            }
            let wanted = (PREFIX - self.have).min(bytes.len());
            let (more, rest) = bytes.split_at(wanted);
            if let Some(to) = self.prefix.get_mut(self.have..self.have + wanted) {
                to.copy_from_slice(more);
            }
            bytes = rest;
            self.have += wanted;
            if self.have == PREFIX {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let [flags, a, b, c, d] = self.prefix;
        self.have = 0;
        self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
        self.counts = self.last.is_none_or(|last| flags & last == 0);
        self.seen.count += u64::from(self.counts);
    }

    /// So many bytes of the message at hand.
    const fn passes(&mut self, len: u64) {
        self.left -= len;
        if self.counts {
            self.seen.bytes += len;
        }
    }

    /// The next bytes are missing.
    pub const fn miss(&mut self, len: u64) {
        let inside = if self.left < len { self.left } else { len };
        self.passes(inside);
        self.seen.inexact |= inside < len;
    }

    /// So many bytes are missing that nobody knows what the next ones are.
    pub const fn lose(&mut self) {
        self.seen.inexact = true;
    }
}

/// An envelope in bytes that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Its flags.
    pub flags: u8,
    /// Bytes of the message.
    pub length: u32,
    /// The message, or what there is of it.
    pub payload: &'a [u8],
    /// All of it is there.
    pub whole: bool,
}

impl Envelope<'_> {
    /// The message is compressed.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.flags & COMPRESSED != 0
    }

    /// Writes it as it is.
    pub fn copy(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.extend_from_slice(&self.length.to_be_bytes());
        out.extend_from_slice(self.payload);
    }

    /// Writes a message that is not compressed, with the other flags of this one.
    pub fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        let flags = self.flags & !COMPRESSED;
        Self { flags, ..*self }.replace(payload, out);
    }

    /// Writes another message in place of this one.
    pub fn replace(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.push(self.flags);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
    }
}

/// The envelopes in the beginning of a body, in order. A prefix that is cut ends them.
#[derive(Clone, Debug)]
pub struct Envelopes<'a>(pub &'a [u8]);

impl<'a> Iterator for Envelopes<'a> {
    type Item = Envelope<'a>;

    fn next(&mut self) -> Option<Envelope<'a>> {
        let (prefix, rest) = self.0.split_first_chunk::<PREFIX>()?;
        let [flags, a, b, c, d] = *prefix;
        let length = u32::from_be_bytes([a, b, c, d]);
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        let (payload, after) = rest.split_at(wanted.min(rest.len()));
        self.0 = after;
        Some(Envelope {
            flags,
            length,
            payload,
            whole: payload.len() == wanted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three messages, and an envelope that ends a call of gRPC-web.
    const BODY: &[u8] = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x02de\x80\0\0\0\x01x";

    fn check(steps: &[Result<&[u8], u64>], expected: (u64, u64, bool)) {
        let mut counter = Counter::new(Some(0x80));
        for step in steps {
            match step {
                Ok(bytes) => counter.push(bytes),
                Err(len) => counter.miss(*len),
            }
        }
        let Messages {
            count,
            bytes,
            inexact,
        } = counter.seen();
        assert_eq!((count, bytes, inexact), expected);
    }

    #[test]
    fn however_they_are_cut() {
        for size in 1..=BODY.len() {
            let chunks: Vec<_> = BODY.chunks(size).map(Ok).collect();
            check(&chunks, (3, 5, false));
        }
        check(&[], (0, 0, false));
    }

    #[test]
    fn missing_bytes() {
        // Within a message; up to its end; past it.
        check(&[Ok(&BODY[..6]), Err(1), Ok(&BODY[7..])], (3, 5, false));
        check(&[Ok(&BODY[..5]), Err(3), Ok(&BODY[8..])], (3, 5, false));
        check(&[Ok(&BODY[..6]), Err(3), Ok(&BODY[9..])], (1, 3, true));
        check(&[Err(1), Ok(BODY)], (0, 0, true));
    }

    #[test]
    fn what_is_announced_and_does_not_come() {
        check(&[Ok(b"\0\xff\xff\xff\xffabc")], (1, 3, true));
        check(&[Ok(b"\0\xff\xff\xff\xff")], (1, 0, true));
        check(&[Ok(b"\0\xff\xff\xff\xffabc"), Err(4)], (1, 7, true));
        check(&[Ok(b"\x80\xff\xff\xff\xffabc")], (0, 0, true));
        check(&[Ok(BODY), Ok(b"\0\0")], (3, 5, true));
    }

    #[test]
    fn envelopes() {
        let shown: Vec<_> = Envelopes(&BODY[..BODY.len() - 1])
            .map(|envelope| (envelope.flags, envelope.payload, envelope.whole))
            .collect();
        let expected: [(u8, &[u8], bool); 4] = [
            (0, b"abc", true),
            (1, b"", true),
            (0, b"de", true),
            (0x80, b"", false),
        ];
        assert_eq!(shown, expected);
        assert_eq!(Envelopes(b"\0\0\0\0").count(), 0);
        let mut out = Vec::new();
        for envelope in Envelopes(BODY) {
            assert_eq!(envelope.is_compressed(), envelope.flags & 1 == 1);
            envelope.write(envelope.payload, &mut out);
        }
        assert_eq!(out.len(), BODY.len());
    }
}
