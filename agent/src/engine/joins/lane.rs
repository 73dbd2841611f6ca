//! Requests that could be the same one, in the order of time.

use std::collections::VecDeque;
use std::ops::Range;

use hashbrown::HashMap;

use super::Place;
use crate::flow::Nanos;

/// Tunnels that prove different things and could be the same request's: more are not compared.
const MOST_COMPARED: usize = 64;

/// When a request came, and its number.
pub(super) type Entry = (Nanos, u64);

/// Requests by what they are known by.
pub(super) type Lanes<T> = HashMap<Place, Lane<T>, crate::hash::Keyed>;

/// Requests with the same place.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) entries: VecDeque<(Entry, T)>,
    /// Not all of them are the same.
    is_mixed: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            is_mixed: false,
        }
    }
}

impl<T: PartialEq> Lane<T> {
    /// The last one to come is the last in time, or nearly so.
    pub(super) fn add(&mut self, entry: Entry, value: T) {
        self.is_mixed |= self.entries.back().is_some_and(|(_, last)| *last != value);
        let at = self.entries.partition_point(|(other, _)| *other < entry);
        self.entries.insert(at, (entry, value));
    }

    /// Those that came in this time, both ends included.
    pub(super) fn within(&self, (from, to): (Nanos, Nanos)) -> Range<usize> {
        let start = self.entries.partition_point(|((at, _), _)| *at < from);
        let end = self.entries.partition_point(|((at, _), _)| *at <= to);
        start..end.max(start)
    }

    /// These are all the same, as far as that can be said at a bounded price.
    pub(super) fn agree(&self, range: Range<usize>) -> bool {
        if !self.is_mixed {
            return true;
        }
        let mut values = self.entries.range(range.clone()).map(|(_, value)| value);
        let first = values.next();
        range.len() <= MOST_COMPARED && values.all(|value| Some(value) == first)
    }
}

/// Forgets a request, if it is there. What goes is near one end: the oldest, or one of the latest.
pub(super) fn remove<T>(lanes: &mut Lanes<T>, place: &Place, entry: Entry) {
    let Some(lane) = lanes.get_mut(place) else {
        return;
    };
    let found = lane
        .entries
        .binary_search_by_key(&entry, |(other, _)| *other);
    if let Ok(at) = found {
        lane.entries.remove(at);
    }
    if lane.entries.is_empty() {
        lanes.remove(place);
    }
}

/// Which of several is the nearest in time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Nearest {
    First,
    Last,
}

impl Nearest {
    pub(super) const fn of(self, range: Range<usize>) -> Option<usize> {
        match self {
            _ if range.start >= range.end => None,
            Self::First => Some(range.start),
            Self::Last => Some(range.end - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time() {
        let mut lane = Lane::default();
        for (number, time) in [10, 30, 20, 20].into_iter().enumerate() {
            lane.add((time, number as u64), 'a');
        }
        let times: Vec<_> = lane.entries.iter().map(|((time, _), _)| *time).collect();
        assert_eq!(times, [10, 20, 20, 30]);
        let within = |window, nearest: Nearest| nearest.of(lane.within(window));
        assert_eq!(within((10, 20), Nearest::First), Some(0));
        assert_eq!(within((10, 20), Nearest::Last), Some(2));
        assert_eq!(within((11, 19), Nearest::Last), None);
        assert_eq!(within((31, 5), Nearest::First), None);
    }

    #[test]
    fn those_that_differ() {
        let mut lane = Lane::default();
        for number in 0..1000 {
            lane.add((number, number), 'a');
        }
        assert!(lane.agree(0..1000));
        lane.add((1000, 1000), 'b');
        assert!(!lane.agree(990..1001));
        assert!(lane.agree(990..1000));
        // More than are compared.
        assert!(!lane.agree(0..1000));
    }
}
