//! Where a direction stands among frames, and what the hook guesses of that.

use crate::flow::{Guess, Offset};
use crate::http::h2::frame::{Flags, HEADER_LEN, Header};

/// Where a direction stands.
#[derive(Debug)]
pub(super) struct Place {
    /// Where the frame begins that is being read, or the next one.
    pub(super) offset: Offset,
    guesses: Guesses,
    /// Length of the last DATA that had no flags.
    pub(super) usual: u32,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            offset: Offset::ORIGIN,
            guesses: Guesses::default(),
            usual: 0,
        }
    }
}

impl Place {
    /// A frame begins there.
    pub(super) fn begins(&mut self, offset: Offset) {
        self.offset = offset;
        self.guesses.begins(offset);
    }

    /// The frame that began last is passed: the next one begins.
    pub(super) fn pass(&mut self, header: &Header) {
        self.begins(self.offset + HEADER_LEN as u64 + u64::from(header.length));
    }

    /// DATA begins.
    pub(super) fn data(&mut self, header: &Header) {
        if header.flags == Flags(0) {
            self.usual = header.length;
        }
    }

    /// The hook guesses that a frame begins at `at`. `is_known`: where frames begin is.
    pub(super) fn guess(&mut self, at: Offset, is_known: bool) {
        self.guesses.ask(at, is_known.then_some(self.offset));
    }

    /// What became of the hook's last guess, if that is known.
    pub(super) fn judged(&self) -> Option<Guess> {
        self.guesses.judged()
    }
}

/// The last guess, and whether it is right, once that is known.
#[derive(Debug, Default)]
struct Guesses(Option<(Offset, Option<bool>)>);

impl Guesses {
    /// The hook guesses that a frame begins there, while the one that begins at `current`, if that
    /// is known, is being read. What was passed is not remembered: then the guess counts as wrong.
    fn ask(&mut self, at: Offset, current: Option<Offset>) {
        if self.0.is_none_or(|(before, _)| before != at) {
            self.0 = Some((at, None));
            if let Some(current) = current {
                self.begins(current);
            }
        }
    }

    /// A frame begins at `offset`, and none between it and the one before.
    fn begins(&mut self, offset: Offset) {
        if let Some((at, is_right @ None)) = &mut self.0
            && offset >= *at
        {
            *is_right = Some(offset == *at);
        }
    }

    /// What became of the last one, if that is known.
    fn judged(&self) -> Option<Guess> {
        let (at, is_right) = self.0?;
        is_right.map(|is_right| Guess { at, is_right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(at: u64, current: Option<u64>, begins: &[u64], expected: Option<bool>) {
        let mut guesses = Guesses::default();
        guesses.ask(Offset(at), current.map(Offset));
        for offset in begins {
            guesses.begins(Offset(*offset));
            // Said with each record.
            guesses.ask(Offset(at), current.map(Offset));
        }
        let judged = guesses.judged();
        assert_eq!(judged.map(|guess| guess.is_right), expected);
        assert!(judged.is_none_or(|guess| guess.at == Offset(at)));
    }

    #[test]
    fn the_first_frame_that_is_not_before_it_decides() {
        check(50, Some(10), &[20, 50, 60], Some(true));
        check(50, Some(10), &[20, 49, 51], Some(false));
        check(50, Some(10), &[20], None);
        check(50, Some(50), &[], Some(true));
        check(50, Some(51), &[50], Some(false));
        check(50, None, &[50], Some(true));
    }

    #[test]
    fn a_later_guess_takes_its_place() {
        let mut guesses = Guesses::default();
        guesses.ask(Offset(50), Some(Offset(50)));
        guesses.ask(Offset(70), Some(Offset(50)));
        assert_eq!(guesses.judged(), None);
        guesses.begins(Offset(70));
        let right = Guess {
            at: Offset(70),
            is_right: true,
        };
        assert_eq!(guesses.judged(), Some(right));
    }
}
