//! Payment card numbers.

use std::ops::Range;

use super::begins;
use crate::redact::counts::Rule;
use crate::redact::edit::{Coding, Edit, Edits};
use crate::redact::effort::Effort;

/// Payment card numbers (ISO/IEC 7812): the digits of a network, single spaces or dashes between
/// them allowed, that pass the Luhn check.
/// `places`: where to look, in order; of two neighbours in a number at least one is a digit.
pub(in crate::redact) fn cards(
    text: &[u8],
    places: &[usize],
    effort: &mut Effort,
    edits: &mut Edits,
) {
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let mut done = 0;
    for &at in places {
        if at < done || !is_digit(at) && !is_digit(at + 1) {
            continue;
        }
        let start = digits_start(text, if is_digit(at) { at } else { at + 1 }, done);
        let end = digits_end(text, start);
        if !effort.spend(end - start) {
            return;
        }
        if begins(text, start) && is_card(text.get(start..end).unwrap_or_default()) {
            let edit = Edit {
                range: start..end,
                rule: Rule::Card,
                coding: Coding::Plain,
                quote: json_number(text, start..end).then_some(0),
            };
            edits.push(text, edit);
        }
        done = end;
    }
}

fn digits_start(text: &[u8], from: usize, done: usize) -> usize {
    let mut start = from;
    while start > done {
        match text.get(..start) {
            Some([.., b'0'..=b'9']) => start -= 1,
            Some([.., b'0'..=b'9', b' ' | b'-']) if start > done + 1 => start -= 2,
            _ => break,
        }
    }
    start
}

fn digits_end(text: &[u8], start: usize) -> usize {
    let mut end = start;
    loop {
        match text.get(end..) {
            Some([b'0'..=b'9', ..]) => end += 1,
            Some([b' ' | b'-', b'0'..=b'9', ..]) if end > start => end += 2,
            _ => return end,
        }
    }
}

/// The number of digits and the first of them are those of a network, and the last one is right.
fn is_card(text: &[u8]) -> bool {
    const MOST: usize = 19;
    let digits = || text.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
    let len = digits().take(MOST + 1).count();
    let first = digits()
        .take(4)
        .fold(0_u16, |number, digit| number * 10 + u16::from(digit));
    let network = match first {
        // Visa
        4000..=4999 => matches!(len, 13 | 16 | 19),
        // American Express
        3400..=3499 | 3700..=3799 => len == 15,
        // Diners Club
        3000..=3059 | 3600..=3699 | 3800..=3999 => (14..=MOST).contains(&len),
        // JCB
        3528..=3589 => (16..=MOST).contains(&len),
        // Mastercard
        2221..=2720 | 5100..=5599 => len == 16,
        // Maestro, Discover, UnionPay
        5000..=5099 | 5600..=6999 => (16..=MOST).contains(&len),
        _ => false,
    };
    network && luhn(digits())
}

fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, u32::from(digit) * 2) {
            (0, double) => double / 2,
            (_, double) => double % 10 + double / 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The digits stand where JSON has a value.
fn json_number(text: &[u8], range: Range<usize>) -> bool {
    /// White space looked through on either side.
    const SPACE: usize = 16;
    let before = text.get(range.start.saturating_sub(SPACE)..range.start);
    let after = text.get(range.end..).unwrap_or_default();
    let after = after.get(..SPACE).unwrap_or(after);
    let before = before.unwrap_or_default().trim_ascii_end().last();
    matches!(before, Some(b':' | b',' | b'['))
        && matches!(after.trim_ascii_start().first(), Some(b',' | b'}' | b']'))
}
