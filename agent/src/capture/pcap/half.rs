//! One direction of a captured connection: what a socket at its receiving end would know, as far as the file shows it.

/// Stretches remembered beyond a hole. A window of reordered packets is smaller; past this the position only lags.
const MAX_EARLY: usize = 64;

/// A sequence number this far off the position is of another time: no window is larger (RFC 7323 §2.3).
const MAX_WINDOW: i32 = 1 << 30;

/// `to − from` modulo 2^32.
pub(super) const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// The position of one direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    known: bool,
    /// `first` is the byte after the SYN.
    opened: bool,
    first: u32,
    /// Everything before it was in the file, or is given up.
    next: u32,
    end: Option<u32>,
    early: Vec<(u32, u32)>,
}

impl Half {
    /// The position before which nothing more is awaited.
    pub(super) const fn expected(&self) -> Option<u32> {
        if self.known { Some(self.next) } else { None }
    }

    /// The position is the first byte after the SYN.
    pub(super) const fn at_start(&self) -> bool {
        self.opened && self.next == self.first
    }

    /// A SYN before `first` is of this connection, not of a later one between the same ends.
    pub(super) const fn agrees(&self, first: u32) -> bool {
        !self.known || self.first == first
    }

    /// Learns where the direction begins; `opened`: from its SYN, or from the acknowledgement of it.
    pub(super) fn begin(&mut self, seq: u32, opened: bool) {
        if !self.known {
            self.known = true;
            self.first = seq;
            self.next = seq;
        }
        self.opened |= opened && self.first == seq;
    }

    /// Takes note of a segment that the file has.
    pub(super) fn saw(&mut self, seq: u32, len: u32, fin: bool) {
        self.begin(seq, false);
        let end = seq.wrapping_add(len);
        if fin {
            self.end = Some(end);
        }
        let ahead = distance(self.next, seq);
        if ahead.abs() > MAX_WINDOW {
            self.next = end;
            self.early.clear();
        } else if ahead <= 0 {
            self.pass(end);
        } else if len > 0 && self.early.len() < MAX_EARLY {
            self.early.push((seq, end));
        }
    }

    /// An acknowledgement covers bytes that the file has not shown.
    pub(super) fn lacks(&self, ack: u32) -> bool {
        let ahead = distance(self.next, self.covered(ack));
        self.known && ahead > 0 && ahead <= MAX_WINDOW
    }

    /// Bytes that are acknowledged and not in the file are not awaited any more.
    pub(super) fn give_up(&mut self, ack: u32) {
        let covered = self.covered(ack);
        self.begin(covered, false);
        self.pass(covered);
    }

    fn covered(&self, ack: u32) -> u32 {
        match self.end {
            // A FIN takes one number.
            Some(end) if distance(end, ack) > 0 => end,
            _ => ack,
        }
    }

    fn pass(&mut self, to: u32) {
        if distance(self.next, to) > 0 {
            self.next = to;
        }
        // Ranges may touch in any order: each that is reached may reach the next.
        while let Some(at) = self
            .early
            .iter()
            .position(|(start, _)| distance(self.next, *start) <= 0)
        {
            let (_, end) = self.early.swap_remove(at);
            if distance(self.next, end) > 0 {
                self.next = end;
            }
        }
    }
}
