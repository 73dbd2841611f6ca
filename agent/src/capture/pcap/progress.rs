//! One direction of a captured connection: what a socket at its receiving end would know, as far as
//! the file shows it.

use meshtap_common::distance;

/// Ranges remembered beyond a hole. A window of reordered packets is smaller; past this the
/// position only lags.
const MAX_EARLY: usize = 64;

/// A sequence number this far off the position is of another time: no window is larger (RFC 7323
/// §2.3).
const MAX_WINDOW: i32 = 1 << 30;

/// Where a direction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Not decided yet; the earliest number of each kind of evidence.
    Unknown(Evidence),
    /// In the middle of the connection: the earliest byte that the file has, or that its receiver
    /// asked for.
    Middle,
    /// With the byte after the SYN.
    Opened,
}

/// What the first packets of a file say of a connection that is older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Evidence {
    /// Packets with payload or FIN.
    data: Option<u32>,
    /// Packets without: one below the others probes whether the peer is alive (RFC 9293 §3.8.4).
    idle: Option<u32>,
    /// Acknowledgements of the receiver.
    acks: Option<u32>,
}

impl Evidence {
    fn earliest(&self) -> Option<u32> {
        let bytes = earlier(self.data, self.acks);
        match (self.idle, bytes) {
            // A keep-alive probe carries a number that was used before.
            (Some(idle), Some(bytes)) if distance(idle, bytes) == 1 => Some(bytes),
            (idle, bytes) => earlier(idle, bytes),
        }
    }
}

/// The earlier one of two numbers. Numbers that are no window apart are not compared: the first
/// stays.
fn earlier(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let behind = (1..=MAX_WINDOW).contains(&distance(b, a));
            Some(if behind { b } else { a })
        }
        (one, other) => one.or(other),
    }
}

/// The position of one direction.
#[derive(Debug)]
pub(super) struct Progress {
    origin: Origin,
    first: u32,
    /// Everything before it was in the file, or is missing for good.
    next: u32,
    end: Option<u32>,
    /// The file does not have the FIN at `end`: it is assumed.
    assumed: bool,
    /// The receiver has acknowledged everything before it.
    acknowledged: Option<u32>,
    early: Vec<(u32, u32)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            origin: Origin::Unknown(Evidence::default()),
            first: 0,
            next: 0,
            end: None,
            assumed: false,
            acknowledged: None,
            early: Vec::new(),
        }
    }
}

impl Progress {
    /// The position before which nothing more is awaited.
    pub(super) const fn expected(&self) -> Option<u32> {
        match self.origin {
            Origin::Unknown(_) => None,
            Origin::Middle | Origin::Opened => Some(self.next),
        }
    }

    /// The receiver has these bytes.
    pub(super) fn acknowledge(&mut self, ack: u32) {
        if self
            .acknowledged
            .is_none_or(|known| distance(known, ack) > 0)
        {
            self.acknowledged = Some(ack);
        }
    }

    /// The position before which the receiver has everything, as far as the packets until this one
    /// show it. That is less than [`Self::expected`] for bytes that come again before their
    /// acknowledgement: which copy was taken is not known.
    pub(super) fn taken_before(&self, seq: u32) -> Option<u32> {
        let expected = self.expected()?;
        match self.acknowledged {
            Some(taken)
                if distance(taken, seq) >= 0
                    && distance(seq, expected) > 0
                    && distance(seq, expected) <= MAX_WINDOW =>
            {
                Some(taken)
            }
            _ => Some(expected),
        }
    }

    /// The SYN was seen, or the acknowledgement of it.
    pub(super) const fn is_opened(&self) -> bool {
        matches!(self.origin, Origin::Opened)
    }

    /// The position is the first byte after the SYN.
    pub(super) const fn at_start(&self) -> bool {
        self.is_opened() && self.next == self.first
    }

    /// The position is `seq`, and it is not just the first number that was seen.
    pub(super) fn stands_at(&self, seq: u32) -> bool {
        self.expected() == Some(seq) && (self.is_opened() || self.next != self.first)
    }

    /// A SYN before `first` is of this connection.
    pub(super) fn agrees(&self, first: u32) -> bool {
        match self.origin {
            Origin::Opened => self.first == first,
            // Its SYN may have been written after the first data.
            Origin::Unknown(evidence) => evidence
                .earliest()
                .is_none_or(|earliest| (0..=MAX_WINDOW).contains(&distance(first, earliest))),
            Origin::Middle => self.first == first,
        }
    }

    /// How far a number is from where the direction stands. `None`: that is not known.
    pub(super) fn distance_to(&self, seq: u32) -> Option<u32> {
        let known = match self.origin {
            Origin::Unknown(evidence) => evidence.earliest(),
            Origin::Middle | Origin::Opened => Some(self.next),
        };
        known.map(|known| distance(known, seq).unsigned_abs())
    }

    /// The direction begins at `first`, by its SYN or by the acknowledgement of it.
    pub(super) fn open(&mut self, first: u32) {
        match self.origin {
            Origin::Unknown(_) => self.begin(first),
            Origin::Middle if self.first == first => {}
            Origin::Middle | Origin::Opened => return,
        }
        self.origin = Origin::Opened;
    }

    /// Notes a packet while the origin is not known.
    pub(super) fn note(&mut self, seq: u32, bytes: bool) {
        if let Origin::Unknown(evidence) = &mut self.origin {
            let kind = match bytes {
                true => &mut evidence.data,
                false => &mut evidence.idle,
            };
            *kind = earlier(*kind, Some(seq));
        }
    }

    /// Notes what the receiver acknowledges while the origin is not known.
    pub(super) fn note_ack(&mut self, ack: u32) {
        if let Origin::Unknown(evidence) = &mut self.origin {
            evidence.acks = earlier(evidence.acks, Some(ack));
        }
    }

    /// The numbers that were noted are all that will decide on the origin.
    pub(super) fn settle(&mut self) {
        if let Origin::Unknown(evidence) = self.origin
            && let Some(first) = evidence.earliest()
        {
            self.begin(first);
        }
    }

    /// The origin is `first`, unless it is known.
    pub(super) fn begin(&mut self, first: u32) {
        if let Origin::Unknown(_) = self.origin {
            self.origin = Origin::Middle;
            self.first = first;
            self.next = first;
        }
    }

    /// The byte at `seq` is nothing that was sent: the first one does not count.
    pub(super) fn probed(&mut self, seq: u32) {
        if self.expected() == Some(seq) && !self.is_opened() {
            self.next = seq.wrapping_add(1);
            self.first = self.next;
        }
    }

    /// Takes note of a segment that the file has.
    pub(super) fn saw(&mut self, seq: u32, len: u32, fin: bool) {
        self.begin(seq);
        let end = seq.wrapping_add(len);
        if self.assumed && self.end.is_some_and(|assumed| distance(assumed, end) > 0) {
            self.forget_end();
        }
        if fin {
            self.end = Some(end);
            self.assumed = false;
        }
        let ahead = distance(self.next, seq);
        if ahead.unsigned_abs() > MAX_WINDOW.unsigned_abs() {
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
        self.expected().is_some() && ahead > 0 && ahead <= MAX_WINDOW
    }

    /// An acknowledgement covers one number that the file has not shown, and no more.
    pub(super) fn lacks_one(&self, ack: u32) -> bool {
        self.lacks(ack) && self.next.wrapping_add(1) == ack
    }

    /// The last number before `ack` is that of a FIN, unless the file says what it is.
    pub(super) fn assume_end(&mut self, ack: u32) {
        let shown = |(_, end): &(u32, u32)| distance(ack, *end) >= 0;
        if self.end.is_none() && self.lacks(ack) && !self.early.iter().any(shown) {
            self.end = Some(ack.wrapping_sub(1));
            self.assumed = true;
        }
    }

    /// The receiver acknowledges this, with data of its own or without. That ends no assumption, if
    /// it is the number of the assumed FIN: few go on to speak to who does not.
    pub(super) fn disprove_end(&mut self, ack: u32, speaks: bool) {
        let past = self.end.map_or(0, |end| distance(end, ack));
        if self.assumed && (past > 1 || past == 1 && speaks) && past <= MAX_WINDOW {
            self.forget_end();
        }
    }

    const fn forget_end(&mut self) {
        self.end = None;
        self.assumed = false;
    }

    /// An acknowledgement without the number of an assumed FIN, which nobody else counts.
    pub(super) fn without_assumed_end(&self, ack: u32) -> u32 {
        match self.assumed {
            true => self.covered(ack),
            false => ack,
        }
    }

    /// The next byte is among these.
    pub(super) const fn is_next_in(&self, seq: u32, len: u32) -> bool {
        distance(seq, self.next) >= 0 && distance(self.next, seq.wrapping_add(len)) > 0
    }

    /// The file has not shown all of these bytes.
    pub(super) fn lacks_of(&self, seq: u32, len: u32) -> bool {
        let end = seq.wrapping_add(len);
        let mut shown = match distance(self.next, seq) > 0 {
            true => seq,
            false => self.next,
        };
        let next = |shown| {
            let reaches =
                |(from, to): &&(u32, u32)| distance(*from, shown) >= 0 && distance(shown, *to) > 0;
            self.early.iter().find(reaches).map(|(_, to)| *to)
        };
        while let Some(to) = next(shown) {
            shown = to;
        }
        distance(shown, end) > 0
    }

    /// Bytes that are acknowledged and not in the file are missing for good: `missing` gets each
    /// range, from where and how long.
    pub(super) fn give_up(&mut self, ack: u32, missing: &mut impl FnMut(u32, u32)) {
        while self.lacks(ack) {
            let covered = self.covered(ack);
            let hole = self
                .early
                .iter()
                .map(|(start, _)| *start)
                .filter(|start| distance(*start, covered) > 0)
                .map(|start| start.wrapping_sub(self.next))
                .min();
            let len = hole.unwrap_or_else(|| covered.wrapping_sub(self.next));
            missing(self.next, len);
            self.pass(self.next.wrapping_add(len));
        }
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
