//! Terms that stand in two words.

use super::folded;

/// Which letters follow each other in terms: two, and the one after them, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Across(Box<[u64; Across::PAIRS]>);

impl Across {
    const LETTERS: usize = 36;
    const PAIRS: usize = Self::LETTERS * Self::LETTERS;

    pub(super) fn new<'a>(terms: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all = Self(Box::new([0; Self::PAIRS]));
        for term in terms {
            for place in 1..term.len() {
                let pair = Self::pair(term[place - 1], term[place]);
                if let Some(mask) = pair.and_then(|pair| all.0.get_mut(pair)) {
                    *mask |= match term.get(place + 1).copied().and_then(Self::letter) {
                        Some(next) => 1 << next,
                        None => u64::MAX,
                    };
                }
            }
        }
        all
    }

    fn letter(byte: u8) -> Option<usize> {
        let byte = folded(byte)?;
        Some(usize::from(match byte {
            b'a'.. => byte - b'a',
            _ => byte - b'0' + 26,
        }))
    }

    fn pair(first: u8, second: u8) -> Option<usize> {
        Some(Self::letter(first)? * Self::LETTERS + Self::letter(second)?)
    }

    /// A term may go on from what ends with `before` to what begins with `after`. What is no letter
    /// or digit may be anything.
    pub(super) fn has(&self, before: &[u8], after: &[u8]) -> bool {
        let (Some(&last), &[first, second, ..]) = (before.last(), after) else {
            return true;
        };
        match (Self::pair(last, first), Self::letter(second)) {
            (Some(pair), Some(third)) => self.0.get(pair).is_none_or(|mask| mask >> third & 1 == 1),
            _ => true,
        }
    }
}
