//! One direction of an HTTP/2 connection: from bytes to heads, body bytes and what else matters.

mod frames;

use super::MAX_SEARCHED;
use super::header_block::Started;
use super::place::Place;
use super::received::Received;
use super::sync::Sync;
use crate::flow::Offset;
use crate::http::h2::Violation;
use crate::http::h2::frame::{
    ANY_SIZE, DEFAULT_MAX_SIZE, Event, Flags, HEADER_LEN, PREFACE, Reader, Search, Setting,
    Settings,
};
use crate::http::h2::hpack::Decoder;
use crate::http::h2::stream::Peer;
use crate::transport::Chunk;

/// Where larger DATA is allowed than anybody sends, this much proves that frames are such.
const MOST_PROOF: usize = 1024 * 1024;

/// Reads one direction.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) sync: Sync,
    decoder: Decoder,
    started: Option<Started>,
    /// A frame of a header block was not read: those that continue it may follow.
    unread_block: bool,
    /// Largest frame that the other end is known to take.
    max_size: u32,
    /// What the other end's SETTINGS say is known from its first bytes on.
    bounded: bool,
    /// Nothing of this direction is missing, so none of its SETTINGS is.
    pub(super) whole: bool,
    /// The stream of the DATA frame that is being read.
    data: u32,
    /// Bytes of frames to be read until those that were found by their looks are proven.
    unproven: usize,
    pub(super) place: Place,
}

impl Receiver {
    pub(super) fn new(peer: Peer, start: bool) -> Self {
        let mut receiver = Self {
            sync: Sync::Searching(Search::default(), 0, false),
            decoder: Decoder::mid_stream(),
            started: None,
            unread_block: false,
            max_size: DEFAULT_MAX_SIZE,
            bounded: false,
            whole: false,
            data: 0,
            unproven: 0,
            place: Place::default(),
        };
        receiver.opens(peer, start);
        receiver
    }

    /// The position of the direction became known; `start`: it is its first byte.
    /// True: it begins there.
    pub(super) fn opens(&mut self, peer: Peer, start: bool) -> bool {
        let begins = start && matches!(self.sync, Sync::Searching(_, 0, false));
        if begins {
            self.decoder.begins();
            self.whole = true;
            self.sync = match peer {
                Peer::Client => Sync::Preface(0),
                Peer::Server => Sync::Frames(Reader::from_start()),
            };
        }
        begins
    }

    /// The other end says what it takes. `whole`: none of its SETTINGS is missing.
    pub(super) fn settings(&mut self, settings: &Settings<'_>, whole: bool) {
        for setting in settings.iter().flatten() {
            match setting {
                Setting::HeaderTableSize(size) => self.decoder.allow(size),
                Setting::MaxFrameSize(size) => self.allow_frames(size),
                _ => {}
            }
        }
        if whole {
            self.bounded = true;
            self.decoder.bound();
        }
    }

    /// SETTINGS of the other end may be missing: they may have allowed anything.
    pub(super) const fn settings_missing(&mut self) {
        self.bounded = false;
        self.decoder.unbound();
    }

    fn allow_frames(&mut self, size: u32) {
        self.max_size = self.max_size.max(size);
        if let Sync::Frames(reader) = &mut self.sync {
            reader.allow(size);
        }
    }

    /// Largest frame that is believed where frames are looked for.
    const fn believed_size(&self) -> u32 {
        match self.bounded {
            true => self.max_size,
            false => ANY_SIZE,
        }
    }

    /// A body may have frames in it, and those look the same. They end where the DATA around them
    /// does, so what goes on for longer than two of that are real ones; unless whoever wrote the
    /// body knew where each DATA would begin.
    fn proof(&self) -> usize {
        let size = match self.bounded {
            true => self.max_size,
            false => DEFAULT_MAX_SIZE,
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        MOST_PROOF.min(2 * size.saturating_add(HEADER_LEN))
    }

    /// Bytes of this direction may have been others.
    pub(super) fn doubt(&mut self) {
        self.decoder.forget();
        self.whole = false;
    }

    /// Bytes to the header of the next frame, if that is known.
    pub(super) fn left(&self) -> Option<u32> {
        match &self.sync {
            Sync::Frames(reader) => reader.left(),
            _ => None,
        }
    }

    /// The hook guesses that a frame begins there.
    pub(super) fn guess(&mut self, at: Offset) {
        self.place.guess(at, self.sync.is_followed());
    }

    pub(super) fn end(&mut self) {
        self.sync = Sync::Ended(self.take_unread());
    }

    pub(super) const fn has_ended(&self) -> bool {
        matches!(self.sync, Sync::Ended(_))
    }

    /// Frames were not found again.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.sync, Sync::Lost)
    }

    pub(super) fn memory(&self) -> usize {
        let started = self
            .started
            .as_ref()
            .map_or(0, |started| started.bytes.capacity());
        self.sync.memory() + started + self.decoder.memory()
    }

    /// Reads the next bytes. `max_stream`: no stream above it is known; `limit`: bytes kept of a
    /// head.
    pub(super) fn push(
        &mut self,
        chunk: &Chunk<'_>,
        max_stream: u32,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) {
        let end = chunk.offset + chunk.bytes.len() as u64;
        let max_size = self.believed_size();
        let mut found;
        let Some(mut bytes) = self.after_preface(chunk.bytes, handle) else {
            return;
        };
        // Each round takes a frame's header at least.
        while !bytes.is_empty() {
            if let Sync::Searching(search, searched, known) = &mut self.sync {
                let rest = search.push(bytes, max_size, max_stream);
                handle(Received::Unread(search.take_passed()));
                let Some(rest) = rest else {
                    *searched += bytes.len() as u64;
                    if *searched > MAX_SEARCHED {
                        handle(Received::Unread(search.forget()));
                        self.sync = Sync::Lost;
                        handle(Received::Lost);
                    }
                    return;
                };
                if *known {
                    handle(Received::Found);
                }
                self.unproven = self.proof();
                found = rest;
                bytes = &found;
                self.sync = Sync::Frames(Reader::new(max_size));
            }
            let Sync::Frames(mut reader) = std::mem::replace(&mut self.sync, Sync::Lost) else {
                return;
            };
            if reader.is_between() {
                let at = end.0.saturating_sub(bytes.len() as u64);
                self.place.begins(Offset(at));
            }
            let before = bytes.len();
            bytes = reader.push(bytes, &mut |event| self.event(event, limit, handle));
            self.unproven = self.unproven.saturating_sub(before - bytes.len());
            match reader.is_broken() {
                true => {
                    handle(Received::MissedBlocks);
                    self.lose_track();
                }
                false => self.sync = Sync::Frames(reader),
            }
        }
    }

    /// What follows the client's preface (RFC 9113 §3.4); `None` where more of it is to come.
    fn after_preface<'a>(
        &mut self,
        bytes: &'a [u8],
        handle: &mut dyn FnMut(Received<'_>),
    ) -> Option<&'a [u8]> {
        let Sync::Preface(have) = &mut self.sync else {
            return Some(bytes);
        };
        let (preface, rest) = bytes.split_at((PREFACE.len() - *have).min(bytes.len()));
        if PREFACE.get(*have..*have + preface.len()) == Some(preface) {
            *have += preface.len();
            if *have < PREFACE.len() {
                return None;
            }
            self.sync = Sync::Frames(Reader::from_start());
            return Some(rest);
        }
        handle(Received::Broken(Violation::Preface));
        handle(Received::MissedBlocks);
        self.lose_track();
        Some(bytes)
    }

    /// Bytes that were held back, when nothing more comes.
    pub(super) fn take_unread(&mut self) -> u64 {
        match &mut self.sync {
            Sync::Ended(unread) => std::mem::take(unread),
            Sync::Searching(search, ..) => search.forget(),
            _ => 0,
        }
    }

    /// Where frames begin is not known any more. A header block may be among what was not read.
    fn lose_track(&mut self) {
        self.doubt();
        self.started = None;
        self.sync = Sync::Searching(Search::default(), 0, true);
    }

    /// The next `len` bytes are missing. False: where frames begin is not known any more. `limit`:
    /// bytes kept of a head.
    pub(super) fn miss(
        &mut self,
        len: u64,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) -> bool {
        let reader = match &mut self.sync {
            Sync::Frames(reader) => reader,
            Sync::Preface(_) => {
                self.lose_track();
                return false;
            }
            Sync::Searching(search, ..) => {
                handle(Received::Unread(search.forget()));
                return true;
            }
            _ => return true,
        };
        let data = self.data;
        let place = &mut self.place;
        let mut cut = None;
        let survived = reader.miss(len, &mut |event| match event {
            Event::Missing(len) => handle(Received::Missing(data, u64::from(len))),
            Event::Cut(header, payload) => cut = Some((header, payload.to_vec())),
            Event::DataEnd(header) => {
                place.pass(&header);
                if header.flags.has(Flags::END_STREAM) {
                    handle(Received::End(data));
                }
            }
            _ => {}
        });
        if let Some((header, payload)) = cut {
            self.event(Event::Cut(header, &payload), limit, handle);
        }
        if !survived {
            self.lose_track();
        }
        survived
    }
}
