//! One direction of an HTTP/2 connection: from bytes to heads, body bytes and what else matters.

use super::MAX_SEARCHED;
use super::header_block::{Started, is_block};
use super::place::Place;
use super::received::Received;
use super::sync::Sync;
use crate::flow::Offset;
use crate::http::h2::HeadBuilder;
use crate::http::h2::frame::{
    self, ANY_SIZE, Continuation, DEFAULT_MAX_SIZE, Event, Flags, GoAway, Header, Headers, Kind,
    PREFACE, PushPromise, Reader, RstStream, Search, Settings,
};
use crate::http::h2::hpack::Decoder;
use crate::http::h2::stream::Peer;
use crate::transport::Chunk;

/// Longest header block put together from CONTINUATION frames: four times the longest head kept.
const MAX_BLOCK: usize = 256 * 1024;

/// Reads one direction.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) sync: Sync,
    decoder: Decoder,
    started: Option<Started>,
    /// Largest frame that is believed where frames are looked for.
    max_size: u32,
    /// The stream of the DATA frame that is being read.
    data: u32,
    pub(super) place: Place,
}

impl Receiver {
    pub(super) fn new(peer: Peer, start: bool) -> Self {
        let mut receiver = Self {
            sync: Sync::Searching(Search::default(), 0, false),
            decoder: Decoder::mid_stream(),
            started: None,
            max_size: ANY_SIZE,
            data: 0,
            place: Place::default(),
        };
        receiver.opens(peer, start);
        receiver
    }

    /// The position of the direction became known; `start`: it is its first byte.
    pub(super) fn opens(&mut self, peer: Peer, start: bool) {
        if start && matches!(self.sync, Sync::Searching(_, 0, false)) {
            self.decoder = Decoder::new();
            self.max_size = DEFAULT_MAX_SIZE;
            self.sync = match peer {
                Peer::Client => Sync::Preface(0),
                Peer::Server => Sync::Frames(Reader::from_start()),
            };
        }
    }

    /// The other end's `SETTINGS_HEADER_TABLE_SIZE`.
    pub(super) fn allow_table(&mut self, size: u32) {
        self.decoder.allow(size);
    }

    /// The other end's `SETTINGS_MAX_FRAME_SIZE`.
    pub(super) fn allow_frames(&mut self, size: u32) {
        self.max_size = self.max_size.max(size);
        if let Sync::Frames(reader) = &mut self.sync {
            reader.allow(size);
        }
    }

    /// A header block may have been another one.
    pub(super) fn doubt(&mut self) {
        self.decoder.forget();
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
        let mut found;
        let Some(mut bytes) = self.after_preface(chunk.bytes, handle) else {
            return;
        };
        // Each round takes a frame's header at least.
        while !bytes.is_empty() {
            if let Sync::Searching(search, searched, known) = &mut self.sync {
                let rest = search.push(bytes, self.max_size, max_stream);
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
                found = rest;
                bytes = &found;
                self.sync = Sync::Frames(Reader::new(self.max_size));
            }
            let Sync::Frames(mut reader) = std::mem::replace(&mut self.sync, Sync::Lost) else {
                return;
            };
            if reader.is_between() {
                let at = end.0.saturating_sub(bytes.len() as u64);
                self.place.begins(Offset(at));
            }
            bytes = reader.push(bytes, &mut |event| self.event(event, limit, handle));
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
        handle(Received::Broken);
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
        self.decoder.forget();
        self.started = None;
        self.sync = Sync::Searching(Search::default(), 0, true);
    }

    /// The next `len` bytes are missing. False: where frames begin is not known any more.
    pub(super) fn miss(&mut self, len: u64, handle: &mut dyn FnMut(Received<'_>)) -> bool {
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
        let survived = reader.miss(len, &mut |event| match event {
            Event::Missing(len) => handle(Received::Missing(data, u64::from(len))),
            Event::DataEnd(header) => {
                place.pass(&header);
                if header.flags.has(Flags::END_STREAM) {
                    handle(Received::End(data));
                }
            }
            _ => {}
        });
        if !survived {
            self.lose_track();
        }
        survived
    }

    fn event(&mut self, event: Event<'_>, limit: usize, handle: &mut dyn FnMut(Received<'_>)) {
        match event {
            Event::Frame(header, payload) => {
                let offset = self.place.offset;
                self.place.pass(&header);
                if self.frame(&header, payload, offset, limit, handle).is_err() {
                    // What it did to the table is not known.
                    if is_block(header.kind) {
                        self.decoder.forget();
                        handle(Received::MissedBlocks);
                    }
                    handle(Received::Broken);
                }
            }
            Event::Data(header, _) => {
                self.data = header.stream;
                self.place.data(&header);
            }
            Event::Bytes(bytes) => handle(Received::Bytes(self.data, bytes)),
            Event::Missing(len) => handle(Received::Missing(self.data, u64::from(len))),
            Event::DataEnd(header) => {
                self.place.pass(&header);
                if header.flags.has(Flags::END_STREAM) {
                    handle(Received::End(header.stream));
                }
            }
            Event::TooLong(header) => {
                self.place.pass(&header);
                if is_block(header.kind) {
                    self.decoder.forget();
                    handle(match (header.kind, self.started.take()) {
                        (Kind::Headers, _) => Received::BlockTooLong(header.stream, false),
                        (Kind::Continuation, Some(started)) => started.is_too_long(),
                        // Which stream was to come is among what was not kept.
                        _ => Received::MissedBlocks,
                    });
                }
            }
            Event::Invalid(header, _) => {
                self.place.pass(&header);
                if is_block(header.kind) {
                    self.decoder.forget();
                    self.started = None;
                    handle(Received::MissedBlocks);
                }
                handle(Received::Broken);
            }
        }
    }

    fn frame(
        &mut self,
        header: &Header,
        payload: &[u8],
        offset: Offset,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) -> Result<(), frame::Invalid> {
        self.interrupted(header, limit, handle);
        match header.kind {
            Kind::Headers => {
                let headers = Headers::parse(header, payload)?;
                let started = Started::new(header.stream, None, headers.end_stream, offset);
                self.block(started, headers.block, headers.end_headers, limit, handle);
            }
            Kind::PushPromise => {
                let promise = PushPromise::parse(header, payload)?;
                let started = Started::new(header.stream, Some(promise.promised), false, offset);
                self.block(started, promise.block, promise.end_headers, limit, handle);
            }
            Kind::Continuation => {
                // The beginning of the block may be among what is missing: then it is of no use.
                if let Some(started) = self.started.take() {
                    let more = Continuation::parse(header, payload);
                    self.block(started, more.block, more.end_headers, limit, handle);
                } else {
                    self.decoder.forget();
                }
            }
            Kind::RstStream => {
                let code = RstStream::parse(payload)?.code;
                handle(Received::Reset(header.stream, code));
            }
            // A value that is not allowed, only the receiver may refuse.
            Kind::Settings => {
                for setting in Settings::parse(header, payload)?.iter().flatten() {
                    handle(Received::Setting(setting));
                }
            }
            Kind::GoAway => handle(Received::GoAway(GoAway::parse(payload)?.last_stream)),
            Kind::Data
            | Kind::Priority
            | Kind::Ping
            | Kind::WindowUpdate
            | Kind::PriorityUpdate
            | Kind::Other(_) => {}
        }
        Ok(())
    }

    /// Between the frames of a header block there are no others (§6.10). If one comes that is of
    /// another block, the one that has started is handed over as it is: not decoded.
    fn interrupted(&mut self, header: &Header, limit: usize, handle: &mut dyn FnMut(Received<'_>)) {
        let continues = |started: &Started| {
            header.kind == Kind::Continuation && header.stream == started.stream
        };
        if self.started.as_ref().is_none_or(continues) {
            return;
        }
        handle(Received::Broken);
        if is_block(header.kind)
            && let Some(started) = self.started.take()
        {
            self.decoder.forget();
            let mut head = HeadBuilder::new(limit);
            head.breaks_off();
            handle(Received::Block(Box::new(started.decoded(head, None))));
        }
    }

    /// More of a header block; decodes it when it is whole.
    fn block(
        &mut self,
        mut started: Started,
        bytes: &[u8],
        whole: bool,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) {
        if !started.bytes.is_empty() || !whole {
            started.too_long |= started.bytes.len() + bytes.len() > MAX_BLOCK;
            if started.too_long {
                started.bytes = Vec::new();
            } else {
                started.bytes.extend_from_slice(bytes);
            }
        }
        if !whole {
            self.started = Some(started);
            return;
        }
        if started.too_long {
            self.decoder.forget();
            return handle(started.is_too_long());
        }
        let bytes = match started.bytes.is_empty() {
            true => bytes,
            false => &started.bytes,
        };
        let mut head = HeadBuilder::new(limit);
        let result = self.decoder.block(bytes, &mut |field| head.push(field));
        head.compressed(self.decoder.take_odd(), self.decoder.take_cut());
        if result.is_err() {
            head.breaks_off();
        }
        handle(Received::Block(Box::new(
            started.decoded(head, result.err()),
        )));
    }
}
