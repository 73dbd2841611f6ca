//! Protocol Buffers without their schema: the numbers of fields and what their values can be, in
//! the form of `protoc --decode_raw`.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use std::fmt::Write as _;

use crate::visible::{self, Keep, hidden};

/// Deepest level that is looked into; what is deeper is shown as bytes. Each level looks at a byte
/// once, so the work is at most so many times the message.
const MAX_LEVELS: usize = 16;
/// Bytes of a value without structure that are shown; the page's bytes, and files, have all.
const MAX_BYTES: usize = 64;
/// Spaces of one level.
const INDENT: usize = 2;

/// Media types of one message without an envelope.
const MEDIA_TYPES: [&[u8]; 5] = [
    b"application/protobuf",
    b"application/x-protobuf",
    b"application/vnd.google.protobuf",
    b"application/x-google-protobuf",
    b"application/proto",
];

/// Whether a body of this media type is a message.
pub(crate) fn is_one(media_type: &[u8]) -> bool {
    MEDIA_TYPES
        .iter()
        .any(|known| known.eq_ignore_ascii_case(media_type))
}

/// A message as lines, or nothing where the bytes are none. Of one that is not `whole`, what is
/// there.
pub(crate) fn text(bytes: &[u8], whole: bool) -> Option<String> {
    let mut out = Text {
        out: String::new(),
        level: 0,
    };
    let mut reader = Reader { bytes, whole };
    out.message(&mut reader, None)?;
    (!out.out.is_empty()).then_some(out.out)
}

/// Bytes that are to be read.
struct Reader<'a> {
    bytes: &'a [u8],
    /// They end where the message does; otherwise they are its start.
    whole: bool,
}

impl<'a> Reader<'a> {
    /// The next bytes, or as many as there are of a message that is cut.
    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > self.bytes.len() && self.whole {
            return None;
        }
        let (taken, rest) = self.bytes.split_at(len.min(self.bytes.len()));
        self.bytes = rest;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    /// Seven bits a byte, the lowest first, ten bytes at most.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has the last of 64 bits.
            if at == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * at);
            if byte & 0x80 == 0 {
                self.bytes = self.bytes.get(at + 1..)?;
                return Some(value);
            }
        }
        None
    }
}

struct Text {
    out: String,
    level: usize,
}

impl Text {
    /// All fields up to the end, or up to the end of the group `within`. Nothing where this is no
    /// message.
    fn message(&mut self, reader: &mut Reader<'_>, within: Option<u64>) -> Option<()> {
        while !reader.bytes.is_empty() {
            let start = self.out.len();
            match self.field(reader, within) {
                Some(true) => {}
                Some(false) => return Some(()),
                None if reader.whole || reader.bytes.len() > 16 => return None,
                // The message is cut, and its last field with it.
                None => {
                    self.out.truncate(start);
                    reader.bytes = &[];
                }
            }
        }
        (within.is_none() || !reader.whole).then_some(())
    }

    /// One field; `false` where it is the end of the group.
    fn field(&mut self, reader: &mut Reader<'_>, within: Option<u64>) -> Option<bool> {
        let tag = reader.varint()?;
        let number = tag >> 3;
        // 29 bits, and none is 0.
        if number == 0 || number >= 1 << 29 {
            return None;
        }
        match tag & 7 {
            0 => {
                let value = reader.varint()?;
                self.start(number, ": ");
                let _ = write!(self.out, "{value}");
                if value > i64::MAX as u64 {
                    let _ = write!(self.out, " ({})", value.cast_signed());
                }
            }
            1 => {
                let value = u64::from_le_bytes(reader.fixed()?);
                self.start(number, ": ");
                let _ = write!(self.out, "{value:#018x}");
                self.number(f64::from_bits(value));
            }
            2 => {
                let len = reader.varint()?;
                let is_cut = len > reader.bytes.len() as u64;
                let value = reader.take(len)?;
                self.value(number, value, !is_cut);
                return Some(true);
            }
            3 => return self.group(number, reader),
            4 => return (within == Some(number)).then_some(false),
            5 => {
                let value = u32::from_le_bytes(reader.fixed()?);
                self.start(number, ": ");
                let _ = write!(self.out, "{value:#010x}");
                self.number(f32::from_bits(value).into());
            }
            _ => return None,
        }
        self.out.push('\n');
        Some(true)
    }

    fn start(&mut self, number: u64, then: &str) {
        let indent = self.level * INDENT;
        let _ = write!(self.out, "{:indent$}{number}{then}", "");
    }

    /// What a fixed value is as a number with a fraction, where it looks like one.
    fn number(&mut self, value: f64) {
        if value == 0.0 || (1e-6..1e15).contains(&value.abs()) {
            let _ = write!(self.out, " ({value})");
        }
    }

    /// A value with a length: text, a message, or bytes.
    fn value(&mut self, number: u64, value: &[u8], whole: bool) {
        let text = str::from_utf8(value).ok();
        if text.is_none_or(|text| text.chars().any(hidden)) && self.nested(number, value, whole) {
            return;
        }
        self.start(number, ": ");
        let is_text = |c: char| !hidden(c) || matches!(c, '\t' | '\r' | '\n');
        match text.filter(|text| text.chars().all(is_text)) {
            Some(text) => self.quoted(text.as_bytes()),
            None => self.bytes(value),
        }
        self.out.push_str(if whole { "\n" } else { " …\n" });
    }

    fn quoted(&mut self, text: &[u8]) {
        let mut shown = Vec::with_capacity(text.len() + 2);
        visible::write(&mut shown, text, Keep::Nothing);
        let _ = write!(self.out, "\"{}\"", String::from_utf8_lossy(&shown));
    }

    fn bytes(&mut self, value: &[u8]) {
        for byte in value.iter().take(MAX_BYTES) {
            let _ = write!(self.out, "{byte:02x}");
        }
        if value.len() > MAX_BYTES {
            let _ = write!(self.out, "… ({} bytes)", value.len());
        }
    }

    /// A message in a field, if it is one.
    fn nested(&mut self, number: u64, value: &[u8], whole: bool) -> bool {
        let start = self.out.len();
        let mut inner = Reader {
            bytes: value,
            whole,
        };
        let is_one = !value.is_empty() && self.block(number, &mut inner, None).is_some();
        if !is_one {
            self.out.truncate(start);
        }
        is_one
    }

    fn group(&mut self, number: u64, reader: &mut Reader<'_>) -> Option<bool> {
        self.block(number, reader, Some(number))?;
        Some(true)
    }

    /// Fields in braces.
    fn block(&mut self, number: u64, reader: &mut Reader<'_>, within: Option<u64>) -> Option<()> {
        if self.level == MAX_LEVELS {
            return None;
        }
        self.start(number, " {\n");
        self.level += 1;
        let read = self.message(reader, within);
        self.level -= 1;
        let indent = self.level * INDENT;
        let _ = writeln!(self.out, "{:indent$}}}", "");
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&str]) {
        let text = text(bytes, true).expect("a message");
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    /// The examples of the encoding's own description.
    #[test]
    fn documented_examples() {
        check(b"\x08\x96\x01", &["1: 150"]);
        check(b"\x12\x07testing", &["2: \"testing\""]);
        check(b"\x1a\x03\x08\x96\x01", &["3 {", "  1: 150", "}"]);
        // Packed: 3, 270, 86942 can be a message as well as bytes.
        check(b"\x32\x06\x03\x8e\x02\x9e\xa7\x05", &["6: 038e029ea705"]);
    }

    #[test]
    fn each_wire_type() {
        check(
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            &["1: 18446744073709551615 (-1)"],
        );
        check(
            b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f",
            &["1: 0x3ff8000000000000 (1.5)"],
        );
        check(b"\x0d\x00\x00\xc0\xbf", &["1: 0xbfc00000 (-1.5)"]);
        check(b"\x0d\x01\x00\x00\x00", &["1: 0x00000001"]);
        check(b"\x0b\x10\x05\x0c", &["1 {", "  2: 5", "}"]);
        check(b"\x12\x00", &["2: \"\""]);
    }

    #[test]
    fn text_before_messages_and_messages_before_lines() {
        // A message may be text by chance: no control characters make it text.
        check(b"\x0a\x04 abc", &["1: \" abc\""]);
        // Its length is a line feed's: it is a message, since it can be one.
        check(b"\x0a\x05\x0a\x03a\tb", &["1 {", "  1: \"a\\x09b\"", "}"]);
        check(b"\x0a\x03a\nb", &["1: \"a\\x0ab\""]);
        check(b"\x0a\x03\x1b[2", &["1: 1b5b32"]);
    }

    #[test]
    fn what_is_none() {
        let none: [&[u8]; 9] = [
            b"",
            b"\x00\x01",                                     // Field 0.
            b"\x08",                                         // No value.
            b"\x0a\x05abc",                                  // Longer than there is.
            b"\x0e\x01",                                     // Wire type 6.
            b"\x0b\x10\x05",                                 // A group without its end.
            b"\x0b\x10\x05\x14",                             // Another's end.
            b"\x0c",                                         // An end of nothing.
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", // 65 bits.
        ];
        for bytes in none {
            assert_eq!(text(bytes, true), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_cut_message_shows_what_is_there() {
        let whole = b"\x08\x96\x01\x12\x0dmuch that is \x1a\x05\x08\x01\x10\x02\x18";
        for end in 3..whole.len() {
            let shown = text(&whole[..end], false).unwrap_or_default();
            assert!(shown.starts_with("1: 150\n"), "{end}: {shown}");
        }
        let shown = text(&whole[..9], false).unwrap();
        assert_eq!(shown, "1: 150\n2: \"much\" …\n");
    }

    #[test]
    fn deep_ones_end_and_long_ones_are_short() {
        let mut bytes = vec![0x08, 1];
        for _ in 0..100 {
            let mut outer = vec![0x0a, u8::try_from(bytes.len()).unwrap()];
            outer.append(&mut bytes);
            bytes = outer;
            if bytes.len() > 120 {
                break;
            }
        }
        let shown = text(&bytes, true).unwrap();
        assert_eq!(shown.matches('{').count(), MAX_LEVELS);
        let groups = [0x0b; 100_000];
        assert_eq!(text(&groups, true), None);
        let mut long = vec![0x0a, 0xe8, 0x07];
        long.resize(3 + 1000, 0xff);
        assert!(text(&long, true).unwrap().ends_with("… (1000 bytes)\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>, whole: bool) {
            if let Some(shown) = text(&bytes, whole) {
                proptest::prop_assert!(shown.lines().all(|line| !line.chars().any(hidden)));
            }
        }
    }
}
