//! Fields that come again and again. What was found of a line holds for the same line: most fields
//! of a client and of a server are the same in every message.
//!
//! Only lines in which nothing is hidden are kept, and only those that came twice: what comes once
//! (an id, a date) pushes nothing out. They are compared as a whole, so that no line is taken for
//! another.

use super::fields::Known;

/// Lines that are kept at most: some dozens of clients and servers. With [`LONGEST`] it bounds the
/// memory of a worker to 128 KiB.
const SLOTS: usize = 512;

/// Longest line that is kept. Few fields are longer, and those are tokens.
const LONGEST: usize = 256;

/// Lines that came last, of which no more than the tag is kept: what a dozen clients send in
/// hundreds of messages.
const SEEN: usize = 2048;

/// A field of a message, as it came: name, what stands between, value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    text: &'a [u8],
    /// Of name and value.
    lens: [u16; 2],
}

impl<'a> Line<'a> {
    #[inline]
    pub(super) const fn new(text: &'a [u8], lens: [u16; 2]) -> Self {
        Self { text, lens }
    }

    fn hash(&self) -> Hash {
        // Odd constants from the golden ratio and from pi spread every bit upwards.
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x243f_6a88_85a3_08d3];
        let (head, tail) = ends(self.text);
        let half = self.text.get(..self.text.len() / 2).unwrap_or_default();
        let (start, middle) = ends(half);
        let first =
            (head ^ start.rotate_left(32) ^ self.text.len() as u64).wrapping_mul(FACTORS[0]);
        let second = (middle ^ tail.rotate_left(17)).wrapping_mul(FACTORS[1]);
        let mixed = first.rotate_left(29) ^ second;
        Hash((mixed ^ mixed >> 32).wrapping_mul(FACTORS[0]))
    }
}

/// The hash of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Hash {
    const fn slot(&self) -> usize {
        (self.0 >> (u64::BITS - SLOTS.trailing_zeros())) as usize
    }

    /// Where its tag is among those that came last.
    const fn seen(&self) -> usize {
        (self.0 >> 48) as usize % SEEN
    }

    /// Distinguishes the lines of a slot, but for one in a billion. Never zero, as that of a free
    /// slot is.
    const fn tag(&self) -> u32 {
        (self.0 >> 16) as u32 | 1
    }
}

/// A line in which nothing is hidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clean {
    /// What it says to later stages.
    pub(super) known: Option<Known>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    tag: u32,
    /// It was found since another line asked for the slot.
    is_used: bool,
    clean: Clean,
    lens: [u16; 2],
    /// The slot of the line that came after this one last.
    next: u16,
    /// Nothing when the slot is free.
    text: Vec<u8>,
}

/// The lines that are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// None before the first line.
    slots: Vec<Slot>,
    seen: Vec<u32>,
    /// The slot of the last line that was found.
    last: u16,
}

/// A line that was looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Clean(Clean),
    /// It is not kept.
    Unknown(Hash),
}

impl Lines {
    /// What is known of a line that was kept. Most lines follow the one that they followed before.
    #[inline]
    pub(super) fn find(&mut self, line: &Line<'_>) -> Found {
        let next = self.slots.get(usize::from(self.last)).map(|slot| slot.next);
        if let Some(next) = next
            && let Some(slot) = self.slots.get_mut(usize::from(next))
            && slot.is(line)
        {
            slot.is_used = true;
            self.last = next;
            return Found::Clean(slot.clean);
        }
        self.search(line)
    }

    fn search(&mut self, line: &Line<'_>) -> Found {
        let hash = line.hash();
        let own = hash.slot();
        for place in [own, own ^ 1] {
            if let Some(slot) = self.slots.get_mut(place)
                && slot.tag == hash.tag()
                && slot.is(line)
            {
                slot.is_used = true;
                let clean = slot.clean;
                // There are fewer.
                let place = u16::try_from(place).unwrap_or_default();
                if let Some(last) = self.slots.get_mut(usize::from(self.last)) {
                    last.next = place;
                }
                self.last = place;
                return Found::Clean(clean);
            }
        }
        Found::Unknown(hash)
    }

    /// Notes a line that [`Self::find`] did not find and in which nothing is hidden.
    pub(super) fn note(&mut self, line: &Line<'_>, hash: Hash, clean: Clean) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
            self.seen.resize(SEEN, 0);
        }
        let tag = hash.tag();
        let Some(seen) = self.seen.get_mut(hash.seen()) else {
            return;
        };
        let came_before = std::mem::replace(seen, tag) == tag;
        if came_before && !line.text.is_empty() && line.text.len() <= LONGEST {
            self.keep(line, hash, clean);
        }
    }

    /// Keeps a line in its slot or in the neighbour: the one that is free, or of no use.
    fn keep(&mut self, line: &Line<'_>, hash: Hash, clean: Clean) {
        let own = hash.slot();
        let both = [own, own ^ 1];
        let is_free = |at: &usize| self.slots.get(*at).is_some_and(|slot| slot.text.is_empty());
        let is_idle = |at: &usize| self.slots.get(*at).is_some_and(|slot| !slot.is_used);
        let free = both.into_iter().find(is_free);
        let place = free.or_else(|| both.into_iter().find(is_idle));
        if let Some(slot) = place.and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot {
                tag: hash.tag(),
                is_used: true,
                clean,
                lens: line.lens,
                next: slot.next,
                text: line.text.to_vec(),
            };
            return;
        }
        for at in both {
            if let Some(slot) = self.slots.get_mut(at) {
                slot.is_used = false;
            }
        }
    }
}

impl Slot {
    #[inline]
    fn is(&self, line: &Line<'_>) -> bool {
        self.lens == line.lens && self.text == line.text && !line.text.is_empty()
    }
}

/// The first eight bytes and the last eight; of a shorter text four or fewer.
#[inline]
pub(super) fn ends(text: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        return (
            u64::from(u32::from_le_bytes(*head)),
            u64::from(u32::from_le_bytes(*tail)),
        );
    }
    match *text {
        [a, b, c] => (u64::from(u16::from_le_bytes([a, b])), u64::from(c)),
        [a, .., b] => (u64::from(a), u64::from(b)),
        [a] => (u64::from(a), 0),
        [] => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(lines: &mut Lines, name: &str, value: &str) -> bool {
        let text = [name, value].concat();
        let lens = [name, value].map(|part| u16::try_from(part.len()).unwrap());
        let line = Line::new(text.as_bytes(), lens);
        match lines.find(&line) {
            Found::Clean(_) => true,
            Found::Unknown(hash) => {
                lines.note(&line, hash, Clean::default());
                false
            }
        }
    }

    #[test]
    fn a_line_is_known_once_it_came_twice() {
        let mut lines = Lines::default();
        assert!(!known(&mut lines, "host", "a"));
        assert!(!known(&mut lines, "host", "a"));
        assert!(known(&mut lines, "host", "a"));
        let longest = "v".repeat(LONGEST - 4);
        for (value, expected) in [(longest.clone(), true), (longest + "v", false)] {
            for _ in 0..2 {
                assert!(!known(&mut lines, "host", &value));
            }
            assert_eq!(known(&mut lines, "host", &value), expected);
        }
    }

    #[test]
    fn no_line_is_taken_for_another() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut lines = Lines::default();
        let mut kept = std::collections::HashSet::new();
        // Few texts, which share their ends and are cut at other places into name and value.
        for _ in 0..20_000 {
            let text: String = (0..rng.usize(0..40))
                .map(|_| rng.choice(['a', 'b']).unwrap())
                .collect();
            let text = format!(
                "{}{}{}",
                "x".repeat(9),
                &text[text.len() / 3..],
                "y".repeat(9)
            );
            let (name, value) = text.split_at(rng.usize(0..=text.len()));
            for _ in 0..2 {
                let line = (name.to_owned(), value.to_owned());
                if known(&mut lines, name, value) {
                    assert!(kept.contains(&line), "{line:?}");
                }
                kept.insert(line);
            }
        }
    }

    #[test]
    fn what_comes_once_pushes_nothing_out() {
        let mut lines = Lines::default();
        let hosts = || (0..20).map(|host| format!("{host}.example"));
        let mut kept = 0;
        for id in 0..10_000 {
            let all = hosts().filter(|host| known(&mut lines, "host", host));
            let count = all.count();
            match id {
                0 | 1 => assert_eq!(count, 0),
                2 => kept = count,
                _ => assert!(count >= kept, "{id}"),
            }
            known(&mut lines, "x-request-id", &id.to_string());
        }
        // Two may share all their places.
        assert!(kept >= 18, "{kept}");
        let bytes: usize = lines.slots.iter().map(|slot| slot.text.capacity()).sum();
        assert!(bytes <= SLOTS * LONGEST);
    }

    /// More lines than there is room for: those that come most often stay, whatever shares a slot.
    #[test]
    fn what_comes_no_more_makes_room() {
        let mut lines = Lines::default();
        let mut found = 0;
        for round in 0..20 {
            for at in 0..2000 {
                known(&mut lines, "old", &at.to_string());
            }
            for _ in 0..6 {
                found = (0..100)
                    .filter(|at| known(&mut lines, "new", &format!("{round} {at}")))
                    .count();
            }
        }
        assert!(found > 50, "{found}");
    }
}
