//! A name as a sequence of words.

/// Most letters and digits of a name that are looked at, of a longer one the last. Real names are
/// below 64.
pub(super) const LONGEST: usize = 127;

/// A name's letters and digits in lower case, and where its words begin.
pub(super) struct Name {
    text: [u8; LONGEST],
    pub(super) len: usize,
    /// Bit `n`: a word begins at letter `n`.
    starts: u128,
}

/// What the byte before was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Separator,
    Lower,
    Upper,
}

impl Name {
    pub(super) fn new(raw: &[u8]) -> Self {
        let raw = raw.get(raw.len().saturating_sub(LONGEST)..).unwrap_or(raw);
        let mut name = Self {
            text: [0; LONGEST],
            len: 0,
            starts: 0,
        };
        let mut before = [Before::Separator; 2];
        for &byte in raw {
            let now = match byte {
                b'A'..=b'Z' => Before::Upper,
                b'a'..=b'z' | b'0'..=b'9' => Before::Lower,
                // Letters of other scripts are omitted, and end no word.
                0x80.. => continue,
                _ => {
                    before = [Before::Separator; 2];
                    continue;
                }
            };
            let begins = match (before[1], now) {
                (Before::Separator, _) | (Before::Lower, Before::Upper) => true,
                // `APIKey`: the last capital begins a word.
                (Before::Upper, Before::Lower) if before[0] == Before::Upper => {
                    name.starts |= 1 << (name.len - 1);
                    false
                }
                _ => false,
            };
            name.starts |= u128::from(begins) << name.len;
            // `raw` has at most `LONGEST` bytes, and each adds one letter at most.
            name.text[name.len] = byte.to_ascii_lowercase();
            name.len += 1;
            before = [before[1], now];
        }
        name
    }

    pub(super) fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    /// A part of it, all of whose bytes are ASCII.
    pub(super) fn part(&self, start: usize, end: usize) -> &str {
        let part = self.text().get(start..end).unwrap_or_default();
        str::from_utf8(part).unwrap_or_default()
    }

    pub(super) fn is_start(&self, at: usize) -> bool {
        self.starts >> at & 1 == 1
    }

    /// Where the word that `at` is in begins.
    pub(super) fn start_of_word(&self, at: usize) -> usize {
        let before = self.starts << (127 - at);
        at.saturating_sub(before.leading_zeros() as usize)
    }

    /// Where the word that ends at `at` or goes on there ends.
    pub(super) fn end_of_word(&self, at: usize) -> usize {
        let after = self.starts.checked_shr(at as u32).unwrap_or(0);
        self.len.min(at + after.trailing_zeros() as usize)
    }

    /// The words from `from`, where one begins.
    pub(super) fn words(&self, from: usize) -> impl Iterator<Item = &str> {
        let mut at = from;
        std::iter::from_fn(move || {
            if at >= self.len {
                return None;
            }
            let end = self.end_of_word(at + 1);
            let word = self.part(at, end);
            at = end;
            Some(word)
        })
    }
}
