//! Captured text made safe for a terminal, whoever writes it: `tap`, lines of spans, access logs.
//!
//! A request can carry escape sequences that move the cursor, set the title or hide text, and
//! Unicode controls that reorder it (Trojan Source, CVE-2021-42574). Everything that is not plainly
//! visible is written as `\xNN` or `\u{NNNN}`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// Which controls stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// None: the text stays on one line.
    Nothing,
    /// Tabs. Lines are split by the caller.
    Tabs,
}

/// Appends `bytes` to `out`, escaped.
pub(crate) fn write(out: &mut Vec<u8>, bytes: &[u8], keep: Keep) {
    if bytes.iter().all(|b| matches!(b, b' '..=b'~')) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            character(out, c, keep);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn character(out: &mut Vec<u8>, c: char, keep: Keep) {
    if c == '\t' && keep == Keep::Tabs || !hidden(c) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else if c.is_ascii() {
        let _ = write!(out, "\\x{:02x}", u32::from(c));
    } else {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    }
}

/// Controls (C0, DEL, C1), and format characters that reorder, join or hide what is around them.
pub(crate) fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes compact JSON in which characters that a terminal would obey or hide are escaped, which
/// JSON allows for any character.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json;

impl Formatter for Json {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Every byte is looked at, which the compiler turns into a few vector instructions.
        let is_plain = fragment.bytes().fold(true, |all, b| all & (b < 0x7f));
        let mut written = 0;
        if !is_plain {
            for (at, c) in fragment.char_indices().filter(|(_, c)| hidden(*c)) {
                out.write_all(fragment.as_bytes().get(written..at).unwrap_or_default())?;
                written = at + c.len_utf8();
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        out.write_all(fragment.as_bytes().get(written..).unwrap_or_default())
    }
}

/// Appends a value as JSON: see [`Json`].
pub(crate) fn write_json(
    out: &mut Vec<u8>,
    value: &(impl Serialize + ?Sized),
) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: impl AsRef<[u8]>, expected: &str) {
        let mut out = Vec::new();
        write(&mut out, input.as_ref(), Keep::Nothing);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn visible_text_is_unchanged() {
        check("/a?b=c&d=\"x\\y\"~", "/a?b=c&d=\"x\\y\"~");
        check("/größe/日本/🦀", "/größe/日本/🦀");
    }

    #[test]
    fn terminal_sequences_are_shown_not_obeyed() {
        check("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07");
        check("a\r\nb\tc\0\x7f", "a\\x0d\\x0ab\\x09c\\x00\\x7f");
        check("\u{9b}31m", "\\u{9b}31m");
    }

    #[test]
    fn reordering_and_hiding_is_shown() {
        check(
            "a\u{202e}b\u{2066}c\u{200b}d",
            "a\\u{202e}b\\u{2066}c\\u{200b}d",
        );
        check("\u{feff}\u{2028}\u{e0041}", "\\u{feff}\\u{2028}\\u{e0041}");
    }

    #[test]
    fn bytes_that_are_not_utf8() {
        check(b"a\xff\xc3(\x9b", "a\\xff\\xc3(\\x9b");
        check(b"\xf0\x9f\xa6", "\\xf0\\x9f\\xa6");
    }

    #[test]
    fn tabs_can_stay() {
        let mut out = Vec::new();
        write(&mut out, b"a\tb\x1b", Keep::Tabs);
        assert_eq!(out, b"a\tb\\x1b");
    }

    #[test]
    fn nothing_hidden_ever_passes() {
        for code in 0..=0x10_ffff_u32 {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            let mut out = Vec::new();
            write(
                &mut out,
                c.encode_utf8(&mut [0; 4]).as_bytes(),
                Keep::Nothing,
            );
            let text = String::from_utf8(out).expect("UTF-8 out");
            assert!(!text.chars().any(char::is_control), "U+{code:04X}");
        }
    }
}
