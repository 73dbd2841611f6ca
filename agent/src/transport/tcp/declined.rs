//! What of a direction the hook does not copy, on purpose.

use std::collections::VecDeque;

use super::distance;

/// Ranges that are remembered at most; the position passes most of them soon.
const MOST: usize = 64;

/// What is not copied, ahead of the position.
#[derive(Debug, Default)]
pub(super) struct Declined {
    /// Nothing before it is wanted.
    until: Option<u32>,
    /// Parts of frames of HTTP/2: where each begins and ends. What is between them is wanted, and
    /// may be late.
    ranges: VecDeque<(u32, u32)>,
}

impl Declined {
    /// Nothing before this is wanted.
    pub(super) fn all_before(&mut self, seq: u32) {
        if self.until.is_none_or(|until| distance(until, seq) > 0) {
            self.until = Some(seq);
        }
    }

    /// These bytes are not copied.
    pub(super) fn range(&mut self, from: u32, to: u32) {
        if let Some((start, end)) = self.ranges.back_mut()
            && distance(*start, from) >= 0
            && distance(from, *end) >= 0
        {
            if distance(*end, to) > 0 {
                *end = to;
            }
        } else if distance(from, to) > 0 {
            if self.ranges.len() >= MOST {
                self.ranges.pop_front();
            }
            self.ranges.push_back((from, to));
        }
    }

    /// The position is here: what lies before it matters no more.
    #[inline]
    pub(super) fn pass(&mut self, at: u32) {
        if self.until.is_some_and(|until| distance(until, at) >= 0) {
            self.until = None;
        }
        if !self.ranges.is_empty() {
            self.ranges.retain(|(_, end)| distance(at, *end) > 0);
        }
    }

    /// Where what is not copied ends that begins here; the same place, if nothing does.
    pub(super) fn end(&self, at: u32) -> u32 {
        let mut end = match self.until {
            Some(until) if distance(at, until) > 0 => until,
            _ => at,
        };
        // Each range is passed once at most.
        for _ in 0..self.ranges.len() {
            let mut ranges = self.ranges.iter();
            match ranges.find(|(from, to)| distance(*from, end) >= 0 && distance(end, *to) > 0) {
                Some((_, next)) => end = *next,
                None => break,
            }
        }
        end
    }

    /// Where the first bytes after this place begin that are not copied.
    pub(super) fn next(&self, at: u32) -> Option<u32> {
        let starts = self.ranges.iter().map(|(from, _)| *from);
        starts
            .filter(|from| distance(at, *from) > 0)
            .min_by_key(|from| distance(at, *from))
    }

    /// How far ahead of this place it is known what is not copied.
    pub(super) fn reach(&self, at: u32) -> i32 {
        let ends = self.ranges.iter().map(|(_, end)| *end).chain(self.until);
        ends.map(|end| distance(at, end)).max().unwrap_or(0).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let mut declined = Declined::default();
        declined.range(10, 20);
        declined.range(30, 40);
        declined.range(20, 30);
        for (at, end) in [(9, 9), (10, 40), (25, 40), (40, 40)] {
            assert_eq!(declined.end(at), end, "{at}");
        }
        assert_eq!((declined.next(0), declined.next(10)), (Some(10), Some(20)));
        assert_eq!((declined.reach(5), declined.reach(50)), (35, 0));
        declined.pass(30);
        assert_eq!((declined.end(20), declined.end(30)), (20, 40));
    }

    #[test]
    fn nothing_before_a_place_is_wanted() {
        let mut declined = Declined::default();
        declined.all_before(u32::MAX);
        declined.range(u32::MAX, 5);
        assert_eq!(declined.end(u32::MAX - 9), 5);
        declined.all_before(0);
        declined.pass(0);
        assert_eq!((declined.end(u32::MAX), declined.end(0)), (5, 5));
        declined.pass(5);
        assert_eq!(declined.end(0), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut declined = Declined::default();
        for n in 0..1000 {
            declined.range(10 * n, 10 * n + 5);
        }
        assert_eq!(declined.ranges.len(), MOST);
        assert_eq!(declined.end(9990), 9995);
    }
}
