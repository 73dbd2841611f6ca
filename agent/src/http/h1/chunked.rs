//! Chunked transfer coding (RFC 9112 §7.1): sizes, extensions, data, trailers.

use super::head::find_end;

/// Longest trailer section kept; a longer one is read past.
const TRAILERS: usize = 16 * 1024;

/// Where the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the hexadecimal size; whether there was a digit.
    Size(bool),
    /// After the size: extensions, up to the line's end. Servers differ in how many bytes they
    /// take, so any number is passed over.
    Extension,
    /// In the data.
    Data,
    /// After the data: CR, or LF.
    DataEnd,
    /// After that CR.
    DataLineFeed,
    /// After the last chunk.
    Trailers,
}

/// A part that the decoder made out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// More input is needed.
    More,
    /// Content.
    Data(&'a [u8]),
    /// The body is over.
    End,
    /// This is not chunked coding.
    Malformed,
}

/// The decoder.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the chunk that are still to come; while in its size, the size so far.
    left: u64,
    /// The trailer section so far.
    trailers: Vec<u8>,
    /// It was too long to keep.
    overflow: bool,
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Size(false),
            left: 0,
            trailers: Vec::new(),
            overflow: false,
        }
    }

    /// Bytes held.
    pub(super) const fn memory(&self) -> usize {
        self.trailers.capacity()
    }

    /// Nothing has been fed.
    pub(super) fn untouched(&self) -> bool {
        self.state == State::Size(false) && self.left == 0
    }

    /// Bytes of the current chunk's data that are still to come.
    pub(super) const fn left(&self) -> u64 {
        match self.state {
            State::Data => self.left,
            _ => 0,
        }
    }

    /// The trailer section, with its last empty line; empty when there was none, or too much.
    pub(super) fn into_trailers(self) -> Vec<u8> {
        match self.overflow {
            true => Vec::new(),
            false => self.trailers,
        }
    }

    /// Bytes are missing. `false`: no longer clear where chunks begin.
    pub(super) fn gap(&mut self, len: u64) -> bool {
        if self.state != State::Data || len > self.left {
            return false;
        }
        self.take(len);
        true
    }

    fn take(&mut self, len: u64) {
        self.left -= len;
        if self.left == 0 {
            self.state = State::DataEnd;
        }
    }

    /// Takes what it can of the input.
    pub(super) fn feed<'a>(&mut self, input: &mut &'a [u8]) -> Part<'a> {
        loop {
            match self.state {
                State::Data => {
                    if input.is_empty() {
                        return Part::More;
                    }
                    let len = usize::try_from(self.left).unwrap_or(usize::MAX);
                    let (data, rest) = input.split_at(len.min(input.len()));
                    *input = rest;
                    self.take(data.len() as u64);
                    return Part::Data(data);
                }
                State::Extension => match memchr::memchr(b'\n', input) {
                    Some(at) => {
                        *input = input.get(at + 1..).unwrap_or_default();
                        self.state = self.chunk();
                    }
                    None => {
                        *input = &[];
                        return Part::More;
                    }
                },
                State::Trailers => {
                    if let Some(part) = self.trailer(input) {
                        return part;
                    }
                }
                _ => {
                    let Some((byte, rest)) = input.split_first() else {
                        return Part::More;
                    };
                    *input = rest;
                    match self.byte(*byte) {
                        Some(state) => self.state = state,
                        None => return Part::Malformed,
                    }
                }
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                // Leading zeros say nothing, however many: servers take them.
                if self.left >> 60 != 0 {
                    return None;
                }
                self.left = (self.left << 4) | u64::from(digit);
                Some(State::Size(true))
            }
            (State::Size(true), b'\n') => Some(self.chunk()),
            (State::Size(true), b'\r' | b' ' | b'\t' | b';') => Some(State::Extension),
            (State::DataEnd, b'\r') => Some(State::DataLineFeed),
            (State::DataEnd | State::DataLineFeed, b'\n') => {
                self.left = 0;
                Some(State::Size(false))
            }
            _ => None,
        }
    }

    const fn chunk(&mut self) -> State {
        match self.left {
            0 => State::Trailers,
            _ => State::Data,
        }
    }

    /// The section ends with an empty line; it is one itself when there are no trailers. `None`: go
    /// on.
    fn trailer<'a>(&mut self, input: &mut &'a [u8]) -> Option<Part<'a>> {
        if input.is_empty() {
            return Some(Part::More);
        }
        let before = self.trailers.len();
        let room = TRAILERS.saturating_sub(before).min(input.len());
        self.trailers
            .extend_from_slice(input.get(..room).unwrap_or_default());
        let end = match self.trailers.as_slice() {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            // Where the last search stopped, less what may be part of an empty line.
            trailers => find_end(trailers, before.saturating_sub(2)),
        };
        if let Some(end) = end {
            *input = input.get(end.saturating_sub(before)..).unwrap_or_default();
            self.trailers.truncate(end);
            return Some(Part::End);
        }
        *input = input.get(room..).unwrap_or_default();
        if self.trailers.len() >= TRAILERS {
            // The last bytes may be the beginning of the end; what stands before them is no line
            // end.
            self.overflow = true;
            let tail = self.trailers.len() - 2;
            self.trailers.drain(..tail);
            self.trailers.insert(0, b'-');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, trailer section, and what is left of the input.
    type Decoded = Option<(String, String, String)>;

    fn decode(input: &str, step: usize) -> Decoded {
        let mut chunked = Chunked::new();
        let mut content = Vec::new();
        let bytes = input.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let mut chunk = &bytes[at..(at + step).min(bytes.len())];
            loop {
                match chunked.feed(&mut chunk) {
                    Part::Data(data) => content.extend_from_slice(data),
                    Part::More => break,
                    Part::Malformed => return None,
                    Part::End => {
                        let rest = at + step.min(bytes.len() - at) - chunk.len();
                        return Some((
                            String::from_utf8(content).unwrap(),
                            String::from_utf8(chunked.into_trailers()).unwrap(),
                            input[rest..].to_owned(),
                        ));
                    }
                }
            }
            at += step;
        }
        Some((
            String::from_utf8(content).unwrap(),
            "?".into(),
            String::new(),
        ))
    }

    fn check(input: &str, expected: Option<(&str, &str, &str)>) {
        let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
        for step in [1, 2, 3, 7, input.len().max(1)] {
            assert_eq!(decode(input, step), expected, "{step} {input:?}");
        }
    }

    #[test]
    fn bodies() {
        check("0\r\n\r\nrest", Some(("", "\r\n", "rest")));
        check("5\r\nhello\r\n0\r\n\r\n", Some(("hello", "\r\n", "")));
        check(
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nx",
            Some(("abcde", "\r\n", "x")),
        );
        check(
            "A\r\n0123456789\r\n00\r\n\r\n",
            Some(("0123456789", "\r\n", "")),
        );
        check(
            "3;a=b;c=\"d;e\"\r\nabc\r\n0;x\r\n\r\n",
            Some(("abc", "\r\n", "")),
        );
        check("3 \r\nabc\r\n0 ; y\r\n\r\n", Some(("abc", "\r\n", "")));
        check("3\nabc\n0\n\nx", Some(("abc", "\n", "x")));
        check(
            "1\r\na\r\n0\r\nX: 1\r\nY: 2\r\n\r\nz",
            Some(("a", "X: 1\r\nY: 2\r\n\r\n", "z")),
        );
        check("0\r\nX: 1\n\nz", Some(("", "X: 1\n\n", "z")));
    }

    #[test]
    fn errors() {
        check("\r\n", None);
        check("g\r\n", None);
        check("3\r\nabcd\r\n", None);
        check("-1\r\n", None);
        check("fffffffffffffffff\r\n", None);
        check("10000000000000000\r\n", None);
        check("0010000000000000000\r\n", None);
        check("ffffffffffffffff\r\nab", Some(("ab", "?", "")));
    }

    #[test]
    fn sizes_of_any_length() {
        for zeros in [15, 16, 17, 40, 5000] {
            let zeros = "0".repeat(zeros);
            check(
                &format!("{zeros}2\r\nab\r\n{zeros}\r\n\r\nx"),
                Some(("ab", "\r\n", "x")),
            );
        }
        check("00ffffffffffffffff\r\nab", Some(("ab", "?", "")));
        for len in [4096, 16_383, 16_384, 20_000, 100_000] {
            let extension = "x".repeat(len);
            check(
                &format!("2;{extension}\r\nab\r\n0;{extension}\n\r\nx"),
                Some(("ab", "\r\n", "x")),
            );
        }
    }

    #[test]
    fn trailers_over_the_bound_are_read_past() {
        let long = format!("0\r\n{}\r\nrest", "X: 1\r\n".repeat(10_000));
        check(&long, Some(("", "", "rest")));
    }

    #[test]
    fn gaps() {
        let mut chunked = Chunked::new();
        let mut input: &[u8] = b"a\r\nab";
        assert_eq!(chunked.feed(&mut input), Part::Data(b"ab"));
        assert!(!chunked.gap(9));
        assert!(chunked.gap(8));
        assert!(!chunked.gap(1));
        let mut input: &[u8] = b"\r\n0\r\n\r\n";
        assert_eq!(chunked.feed(&mut input), Part::End);
    }
}
