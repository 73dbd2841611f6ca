//! Which streams had their request seen.

/// Identifiers of the streams that an end opened, as far as they were seen. They grow with time
/// (RFC 9113 §5.1.1): from the first one that was seen to the last, none was missed, unless header
/// blocks were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    ends: Option<(u32, u32)>,
    /// From the end's first byte on, nothing was missed.
    whole: bool,
}

impl Seen {
    pub(super) const NONE: Self = Self {
        ends: None,
        whole: false,
    };

    /// The end's first bytes are seen.
    pub(super) const fn begins(&mut self) {
        self.whole = true;
    }

    /// It may have sent something else.
    pub(super) const fn doubt(&mut self) {
        self.whole = false;
    }

    pub(super) const fn is_whole(self) -> bool {
        self.whole
    }

    /// It has opened this stream, or a later one.
    pub(super) const fn reaches(self, id: u32) -> bool {
        matches!(self.ends, Some((_, last)) if id <= last)
    }

    /// A request on this stream was seen.
    pub(super) const fn add(&mut self, id: u32) {
        match &mut self.ends {
            Some((_, last)) if id > *last => *last = id,
            Some(_) => {}
            None => self.ends = Some((id, id)),
        }
    }

    /// Header blocks were missed: of what was not seen, nothing says that there was none.
    pub(super) const fn restart(&mut self) {
        self.ends = None;
        self.whole = false;
    }

    /// The request on this stream was seen, if there was one.
    pub(super) const fn contains(self, id: u32) -> bool {
        matches!(self.ends, Some((first, last)) if first <= id && id <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: &[Option<u32>], id: u32, expected: bool) {
        let mut seen = Seen::NONE;
        for step in steps {
            match step {
                Some(id) => seen.add(*id),
                None => seen.restart(),
            }
        }
        assert_eq!(seen.contains(id), expected, "{steps:?} {id}");
    }

    #[test]
    fn between_the_first_and_the_last() {
        check(&[], 1, false);
        check(&[Some(5)], 3, false);
        check(&[Some(5)], 5, true);
        check(&[Some(5), Some(9)], 7, true);
        check(&[Some(5), Some(9), Some(7)], 9, true);
        check(&[Some(5)], 7, false);
        check(&[Some(5), None], 5, false);
        check(&[Some(5), None, Some(9)], 7, false);
    }
}
