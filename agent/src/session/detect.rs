//! What a connection speaks, decided from its first bytes: where a further protocol is chosen.
//!
//! On a connection whose first byte was seen, the first bytes decide if they name HTTP. Anything
//! else decides nothing until the other side speaks, since servers take any bytes for a method: a
//! status line shows that they were a request ([`Unnamed`]), and anything else that they were not.
//! Neither does a connection that was picked up mid-stream: the first chunk that begins like HTTP
//! does then. When both sides have spoken in turn for a while and none came, it is not HTTP.

mod protocol;

use super::first::{
    First, Unnamed, first_look, is_plain_message, is_server_preface, is_tls_record,
    skip_empty_lines,
};
use super::found::{Found, Kind, Marks};
use super::h1::{is_known_request, is_odd_head, is_plain_request, may_be_known_request};
use super::h2::Joiner;
use super::held::{Held, Start, Whole};
use super::proxy_protocol::{self, Preamble};
use super::quiescent::Spoken;
use super::{Context, End, Origin};
use crate::flow::{Direction, Offset};
use crate::http::Anomalies;
use crate::http::h1::{Class, classify};
use crate::http::h2::frame::HEADER_LEN;
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

/// Changes of speaker without a message of HTTP after which a mid-stream connection is taken for
/// something else. A conversation in HTTP has a message after each.
const CHANGES: u8 = 8;

/// Longest request line that is waited for mid-stream: what servers accept (RFC 9112 §3 asks for
/// 8000 bytes).
const LINE: usize = 8 * 1024;

/// First bytes that decide nothing yet.
#[derive(Debug, Default)]
pub(crate) struct Detect {
    spoken: [Spoken; 2],
    /// All of a direction so far is at hand.
    whole: [bool; 2],
    last: Option<Direction>,
    changes: u8,
    /// What it begins with is no message: not HTTP, unless a message comes.
    unread: bool,
    /// The first bytes of a direction are no message.
    unlike: [bool; 2],
    /// They are those of another protocol ([`Class::Foreign`]).
    foreign: [bool; 2],
    /// A record of TLS came where a message may begin.
    tls_record: bool,
    held: Option<Box<Held>>,
    joiners: Option<Box<[Joiner; 2]>>,
    unnamed: Option<Box<Unnamed>>,
    marks: Marks,
    /// Bytes that were passed over.
    passed: u64,
}

impl Detect {
    /// Of a connection whose first bytes were taken for a request, and are none.
    pub(crate) fn again() -> Self {
        Self {
            changes: 1,
            unread: true,
            ..Self::default()
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let starts = self.held.iter().flat_map(|held| &held.starts).flatten();
        let unnamed = self.unnamed.as_ref().map_or(0, |unnamed| unnamed.memory());
        let joiners = self.joiners.iter().flat_map(|joiners| joiners.iter());
        let joiners: usize = joiners.map(Joiner::memory).sum();
        starts.map(|start| start.bytes.capacity()).sum::<usize>() + unnamed + joiners
    }

    /// What is to be marked, once it is known what it is.
    pub(crate) const fn marks(&self) -> Marks {
        self.marks
    }

    /// Bytes that were passed over.
    pub(crate) const fn passed(&self) -> u64 {
        self.passed
    }

    /// Marks the bytes so far of a direction.
    pub(crate) fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        let marks = &mut self.marks[direction as usize];
        *marks = marks.with(anomaly);
    }

    /// Nothing more comes. What looks like the beginning of a request is one, and is counted.
    pub(crate) fn finish(&mut self, end: End, cx: &mut Context<'_>) {
        let reason = match end {
            End::Gone | End::Shutdown => Dropped::HeadCut,
            End::Evicted => Dropped::Evicted,
        };
        for direction in [Direction::Ingress, Direction::Egress] {
            self.drop_start(direction, reason, cx);
        }
        if self.unread {
            self.kind().count(cx.stats);
        }
    }

    /// What it is, when it is not HTTP.
    fn kind(&self) -> Kind {
        match self.tls_record || self.foreign.contains(&true) {
            true => Kind::Tls,
            false => Kind::Other,
        }
    }

    /// Drops what is held of a direction.
    fn drop_start(&mut self, direction: Direction, reason: Dropped, cx: &mut Context<'_>) {
        let start = self.take_start(direction);
        if start.is_some_and(|start| is_known_request(skip_empty_lines(&start.bytes))) {
            cx.ledger.start();
            cx.drop_with(reason);
        }
    }

    /// A direction's position became known. `start`: nothing came before it.
    pub(crate) fn opens(&mut self, direction: Direction, offset: Offset, start: bool) {
        self.spoken[direction as usize].opens(offset);
        self.whole[direction as usize] = start;
    }

    /// Its sender has received the other direction up to here.
    pub(crate) fn heard(&mut self, direction: Direction, offset: Offset) {
        self.spoken[direction as usize].hears(offset);
    }

    /// Bytes are missing. What looks like the beginning of a request is one.
    pub(crate) fn gap(&mut self, direction: Direction, gap: &Gap, origin: &Origin) -> Found {
        let at = direction as usize;
        if self
            .start(direction)
            .is_some_and(|start| is_known_request(skip_empty_lines(&start.bytes)))
        {
            return self.http1(direction, Class::Request, origin);
        }
        if self.has_server_preface(direction.opposite()) {
            self.whole[at] = false;
            return self.http2(direction, origin);
        }
        let start = self.take_start(direction);
        self.passed += start.map_or(0, |start| start.bytes.len() as u64);
        self.spoken[at].gap(gap);
        self.whole[at] = false;
        self.unnamed = None;
        Found::Nothing
    }

    /// Bytes came. What is left of the chunk is for what was found.
    pub(crate) fn chunk(
        &mut self,
        direction: Direction,
        chunk: &mut Chunk<'_>,
        origin: &Origin,
        one_sided: bool,
    ) -> Found {
        let whole = *chunk;
        let found = match self.whole[direction as usize] {
            true => self.first_bytes(direction, chunk, origin),
            false => self.later_bytes(direction, chunk, origin, one_sided),
        };
        if let Found::Nothing = found
            && !self.is_held(direction)
        {
            self.spoken[direction as usize].response(&whole);
            if self.unnamed.is_none() && self.start(direction).is_none() {
                self.passed += whole.bytes.len() as u64;
            }
        }
        found
    }

    /// Everything of this direction so far is at hand.
    fn first_bytes(
        &mut self,
        direction: Direction,
        chunk: &mut Chunk<'_>,
        origin: &Origin,
    ) -> Found {
        let at = direction as usize;
        let Some(mut start) = self.take_start(direction) else {
            return match self.first(chunk.bytes) {
                First::Undecided { preamble } => {
                    chunk.advance(preamble);
                    self.hold(direction, Start::new(chunk));
                    Found::Nothing
                }
                First::Message { class, preamble } => {
                    chunk.advance(preamble);
                    self.message(direction, class, origin)
                }
                First::Unknown { foreign } => {
                    self.foreign[at] = foreign;
                    self.unknown(direction, Start::new(chunk), origin)
                }
            };
        };
        start.bytes.extend_from_slice(chunk.bytes);
        chunk.advance(chunk.bytes.len());
        let first = self.first(&start.bytes);
        if let First::Unknown { foreign } = first {
            self.foreign[at] = foreign;
            return self.unknown(direction, start, origin);
        }
        if let First::Message { preamble, .. } | First::Undecided { preamble } = first {
            start.bytes.drain(..preamble.min(start.bytes.len()));
            start.offset = start.offset + preamble as u64;
        }
        self.hold(direction, start);
        match first {
            First::Undecided { .. } | First::Unknown { .. } => Found::Nothing,
            First::Message { class, .. } => self.message(direction, class, origin),
        }
    }

    /// The first bytes of a direction are no message: later ones may be.
    fn unknown(&mut self, direction: Direction, start: Start, origin: &Origin) -> Found {
        let nothing_before = self.last.is_none()
            && origin.outer.is_none()
            && self.held.as_ref().is_none_or(|held| held.is_empty());
        self.unnamed = match nothing_before {
            true => Unnamed::new(direction, start),
            false => None,
        };
        self.whole[direction as usize] = false;
        self.unlike[direction as usize] = true;
        // What is inside a tunnel is no connection that was taken for HTTP, and may begin with the
        // rest of a response. Elsewhere, words that a server of HTTP would not say prove another
        // protocol: what looks like HTTP in it later is somebody's data.
        let is_tunnel = origin.outer.is_some();
        self.unread |= !is_tunnel;
        let proof = if is_tunnel { self.foreign } else { self.unlike };
        match self.speaker(direction) && proof != [true; 2] {
            true => Found::Nothing,
            false => Found::Other(self.kind()),
        }
    }

    /// Counts changes of speaker. `false`: there were too many.
    fn speaker(&mut self, direction: Direction) -> bool {
        if self.last.replace(direction) != Some(direction) {
            self.changes = self.changes.saturating_add(1);
        }
        self.changes <= CHANGES
    }

    /// What a direction begins with. A preamble is noted once it is whole.
    fn first(&mut self, bytes: &[u8]) -> First {
        let known = self.held.as_ref().and_then(|held| held.preamble);
        let preamble = match known {
            Some(_) => Preamble::None,
            None => proxy_protocol::parse(bytes),
        };
        let (len, source) = match preamble {
            Preamble::None => (0, None),
            Preamble::Undecided => return First::Undecided { preamble: 0 },
            Preamble::Malformed => return First::Unknown { foreign: false },
            Preamble::Whole { len, source } => (len, Some(Whole { source })),
        };
        if source.is_some() {
            self.held.get_or_insert_default().preamble = source;
        }
        let message = bytes.get(len..).unwrap_or_default();
        match first_look(message) {
            Class::Undecided => First::Undecided { preamble: len },
            class @ (Class::Other | Class::Foreign) => First::Unknown {
                foreign: class == Class::Foreign,
            },
            class => First::Message {
                class,
                preamble: len,
            },
        }
    }

    fn hold(&mut self, direction: Direction, start: Start) {
        let held = self.held.get_or_insert_default();
        held.first.get_or_insert(direction);
        held.starts[direction as usize] = Some(start);
    }

    /// Mid-stream, or bytes are missing. `one_sided`: nothing of the other direction is captured; a
    /// message may begin where its sender has received something.
    fn later_bytes(
        &mut self,
        direction: Direction,
        chunk: &mut Chunk<'_>,
        origin: &Origin,
        one_sided: bool,
    ) -> Found {
        let goes_on = self.speaker(direction);
        self.unnamed = self
            .unnamed
            .take()
            .filter(|unnamed| unnamed.direction == direction)
            .and_then(|unnamed| unnamed.push(chunk));
        if let Some(start) = self.take_start(direction) {
            return self.more_of_a_line(direction, start, chunk, origin);
        }
        let own = &self.spoken[direction as usize];
        let other = &self.spoken[direction.opposite() as usize];
        // What follows an interim response is the body that it asked for.
        let begins = chunk.boundary
            && !other.is_interim()
            && (own.is_unseen()
                || other.is_quiescent(chunk)
                || one_sided && own.was_responded(chunk));
        // Bytes of both sides are missing, and may be the end of an exchange.
        let is_next = chunk.boundary && own.may_go_on(chunk) && other.may_have_ended(chunk);
        if begins && is_tls_record(chunk.bytes) {
            self.tls_record = true;
            self.unread |= origin.outer.is_none();
        }
        // Empty lines before a request are passed over (RFC 9112 §2.2).
        let bytes = skip_empty_lines(chunk.bytes);
        match classify(bytes) {
            class if begins && (is_plain_message(class, bytes) || is_odd_head(class, bytes)) => {
                self.http1(direction, class, origin)
            }
            class if is_next && is_plain_request(class, bytes) => {
                self.http1(direction, class, origin)
            }
            Class::Undecided if (begins || is_next) && may_be_known_request(bytes) => {
                self.hold(direction, Start::new(chunk));
                Found::Nothing
            }
            _ => self.frames(direction, chunk, origin, goes_on),
        }
    }

    /// A request line that began where a request may begin, and was not whole.
    fn more_of_a_line(
        &mut self,
        direction: Direction,
        mut start: Start,
        chunk: &mut Chunk<'_>,
        origin: &Origin,
    ) -> Found {
        let before = start.bytes.len() as u64;
        start.bytes.extend_from_slice(chunk.bytes);
        chunk.advance(chunk.bytes.len());
        match classify(skip_empty_lines(&start.bytes)) {
            class @ (Class::Request | Class::OddRequest) => {
                self.hold(direction, start);
                self.http1(direction, class, origin)
            }
            Class::Undecided
                if start.bytes.len() < LINE
                    && may_be_known_request(skip_empty_lines(&start.bytes)) =>
            {
                self.hold(direction, start);
                Found::Nothing
            }
            // It was none; the caller notes how far the direction came.
            _ => {
                self.passed += before;
                Found::Nothing
            }
        }
    }

    /// A direction begins with the whole header of a SETTINGS frame, as that of a server of HTTP/2.
    fn has_server_preface(&self, direction: Direction) -> bool {
        self.start(direction)
            .is_some_and(|start| start.bytes.len() >= HEADER_LEN && is_server_preface(&start.bytes))
    }

    fn start(&self, direction: Direction) -> Option<&Start> {
        self.held.as_ref()?.starts[direction as usize].as_ref()
    }

    fn take_start(&mut self, direction: Direction) -> Option<Start> {
        self.held.as_mut()?.starts[direction as usize].take()
    }

    /// Mid-stream bytes wait for the rest of their line.
    fn is_held(&self, direction: Direction) -> bool {
        let at = direction as usize;
        !self.whole[at] && self.start(direction).is_some()
    }
}
