//! Content codings (RFC 9110 §8.4): from the bytes that travelled to the bytes that were meant.
//!
//! ```text
//! Content-Encoding: gzip, br      body ─► br ─► gzip ─► representation
//! ```
//!
//! Bodies are often captured only in part, so what decodes of a prefix is a result and not an
//! error. An error is a coding that is not known or bytes that are not of that coding: then the raw
//! body is what there is to say.
//!
//! Hostile input costs no more than the caller's cap: output, window and the number of stacked
//! codings are bounded here.

mod br;
mod inflate;
mod zstd;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

/// Most codings stacked on one body. More than two is not seen in the wild; curl stops at five as
/// well.
pub const MAX_CODINGS: usize = 5;

/// Output of one coding per byte of its input, past [`FREE_OUTPUT`]. DEFLATE cannot exceed 1032 :
/// 1, so this bounds only what the other codings can do with a few bytes.
pub const MAX_RATIO: usize = 1100;

/// Output that is given whatever the ratio: small bodies of one repeated byte are no attack.
pub const FREE_OUTPUT: usize = 1024 * 1024;

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// No coding, or no byte: the body is as it was meant.
    Identity,
    /// The codings are removed.
    Decoded {
        /// The representation, or a prefix of it.
        bytes: Bytes,
        /// More may follow: the captured bytes, the coded stream or the room for output ended
        /// first.
        truncated: bool,
    },
    /// The codings cannot be removed; the raw body stands.
    Failed {
        /// Why.
        reason: Undecodable,
    },
}

/// Why a body's codings cannot be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undecodable {
    /// `Content-Encoding` names a coding that is not known here.
    UnknownCoding,
    /// More than [`MAX_CODINGS`].
    TooManyCodings,
    /// The bytes are not of the coding, or fail its checksum.
    Corrupt,
    /// The whole body is there and ends before its first decoded byte.
    Cut,
    /// The stream asks for a window larger than the coding's specification lets a recipient expect.
    Window,
    /// The decoder gave up: no memory, or an error of its own.
    Decoder,
}

impl Undecodable {
    /// Every reason, in order.
    pub const ALL: [Self; 6] = [
        Self::UnknownCoding,
        Self::TooManyCodings,
        Self::Corrupt,
        Self::Cut,
        Self::Window,
        Self::Decoder,
    ];

    /// The metric's label and the name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnknownCoding => "unknown_coding",
            Self::TooManyCodings => "too_many_codings",
            Self::Corrupt => "corrupt",
            Self::Cut => "cut",
            Self::Window => "window",
            Self::Decoder => "decoder",
        }
    }
}

/// A coding that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Coding); 5] = [
            (b"gzip", Coding::Gzip),
            (b"x-gzip", Coding::Gzip),
            (b"deflate", Coding::Deflate),
            (b"br", Coding::Brotli),
            (b"zstd", Coding::Zstd),
        ];
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, coding)| *coding)
    }

    fn remove(self, input: &[u8], output: &mut Output) -> Result<End, Undecodable> {
        match self {
            Self::Gzip => inflate::gzip(input, output),
            Self::Deflate => inflate::deflate(input, output),
            Self::Brotli => br::decode(input, output),
            Self::Zstd => zstd::decode(input, output),
        }
    }
}

/// How the input of one coding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the end of the coded stream.
    Finished,
    /// Before the end of the coded stream.
    Cut,
    /// Not reached: the output is full.
    Full,
}

/// Decoded bytes, with a bound.
#[derive(Debug)]
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

impl Output {
    /// First allocation per input byte: text is coded to about a quarter.
    const EXPECTED_RATIO: usize = 4;
    /// Least allocation: what decoders write at once.
    const LEAST: usize = 4096;

    fn new(input: usize, cap: usize) -> Self {
        let limit = cap.min(input.saturating_mul(MAX_RATIO).max(FREE_OUTPUT));
        let expected = input.saturating_mul(Self::EXPECTED_RATIO);
        Self {
            bytes: Vec::with_capacity(expected.max(Self::LEAST).min(limit.saturating_add(1))),
            limit,
        }
    }

    /// Makes room for at least one more byte; false when the limit is passed. One byte past the
    /// limit is let in, so that a stream that ends exactly at the limit is not taken for a
    /// longer one.
    fn grow(&mut self) -> bool {
        let len = self.bytes.len();
        if len > self.limit {
            return false;
        }
        if len == self.bytes.capacity() {
            let most = self.limit.saturating_add(1) - len;
            self.bytes.reserve(len.max(Self::LEAST).min(most));
        }
        true
    }

    fn full(&self) -> bool {
        self.bytes.len() > self.limit
    }
}

/// Removes the codings that `codings` (the values of `Content-Encoding`, in wire order) name from
/// `body`.
///
/// `complete` says that `body` is all of it. No more than `cap` bytes come out.
#[must_use]
pub fn decode<'a>(
    codings: impl IntoIterator<Item = &'a [u8]>,
    body: &Bytes,
    complete: bool,
    cap: usize,
) -> Decoded {
    let list = match List::parse(codings) {
        Ok(list) => list,
        Err(reason) => return Decoded::Failed { reason },
    };
    if list.len == 0 || body.is_empty() {
        return Decoded::Identity;
    }
    // The decoders are other people's code over hostile bytes: an error in one costs this body and
    // nothing else.
    let attempt = catch_unwind(AssertUnwindSafe(|| list.remove(body, complete, cap)));
    match attempt.unwrap_or(Err(Undecodable::Decoder)) {
        Ok((bytes, truncated)) => Decoded::Decoded {
            bytes: Bytes::from(bytes),
            truncated,
        },
        Err(reason) => Decoded::Failed { reason },
    }
}

/// The codings of a body in the order in which they were applied.
struct List {
    codings: [Coding; MAX_CODINGS],
    len: usize,
}

impl List {
    fn parse<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, Undecodable> {
        let mut list = Self {
            codings: [Coding::Gzip; MAX_CODINGS],
            len: 0,
        };
        let names = values
            .into_iter()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        for name in names {
            let coding = Coding::named(name).ok_or(Undecodable::UnknownCoding)?;
            let place = list.codings.get_mut(list.len);
            *place.ok_or(Undecodable::TooManyCodings)? = coding;
            list.len += 1;
        }
        Ok(list)
    }

    /// The representation, and whether more of it may follow.
    fn remove(
        &self,
        body: &[u8],
        complete: bool,
        cap: usize,
    ) -> Result<(Vec<u8>, bool), Undecodable> {
        let mut truncated = !complete;
        let mut current: Option<Vec<u8>> = None;
        for coding in self.codings.iter().take(self.len).rev() {
            let input = current.as_deref().unwrap_or(body);
            let mut output = Output::new(input.len(), cap);
            let end = coding.remove(input, &mut output)?;
            output.bytes.truncate(output.limit);
            if end == End::Cut && !truncated && output.bytes.is_empty() {
                return Err(Undecodable::Cut);
            }
            truncated |= end != End::Finished;
            current = Some(output.bytes);
        }
        Ok((current.unwrap_or_default(), truncated))
    }
}

#[cfg(test)]
mod tests;
