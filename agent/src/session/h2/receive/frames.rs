//! What each frame of a direction is, and the header blocks among them.

use super::Receiver;
use crate::flow::Offset;
use crate::http::Anomalies;
use crate::http::h2::frame::{
    self, Continuation, Event, Flags, GoAway, Header, Headers, Kind, Priority, PushPromise,
    RstStream, Settings, WindowUpdate,
};
use crate::http::h2::{HeadBuilder, Violation, hpack};
use crate::session::h2::header_block::{Started, is_block};
use crate::session::h2::received::Received;

/// Longest header block put together from CONTINUATION frames: four times the longest head kept.
const MAX_BLOCK: usize = 256 * 1024;

impl Receiver {
    pub(super) fn event(
        &mut self,
        event: Event<'_>,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) {
        match event {
            Event::Frame(header, payload) => {
                let offset = self.place.offset;
                self.place.pass(&header);
                if let Err(invalid) = self.frame(&header, payload, offset, limit, handle) {
                    // What it did to the table is not known.
                    if is_block(header.kind) {
                        self.skips_block();
                        handle(Received::MissedBlocks);
                    }
                    handle(Received::Broken(invalid.into()));
                }
            }
            Event::Data(header, _) => {
                self.data = header.stream;
                self.place.data(&header);
                handle(Received::Data(header.stream));
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
                self.too_long(&header, limit, handle);
            }
            Event::Cut(header, payload) => {
                let offset = self.place.offset;
                self.place.pass(&header);
                self.cut(&header, payload, offset, limit, handle);
            }
            Event::Invalid(header, invalid) => {
                self.place.pass(&header);
                if is_block(header.kind) {
                    self.skips_block();
                    self.started = None;
                    handle(Received::MissedBlocks);
                }
                handle(Received::Broken(invalid.into()));
            }
        }
    }

    /// A frame that is too long to keep.
    fn too_long(&mut self, header: &Header, limit: usize, handle: &mut dyn FnMut(Received<'_>)) {
        match (header.kind, self.started.take()) {
            (Kind::Settings, _) => {
                self.whole = false;
                handle(Received::MissedSettings);
            }
            (Kind::Headers, _) => {
                self.skips_block();
                handle(Received::BlockTooLong(header.stream));
            }
            (Kind::Continuation, Some(mut started)) => {
                started.too_long = true;
                let whole = header.flags.has(Flags::END_HEADERS);
                self.block(started, &[], whole, limit, handle);
            }
            // Which stream was to come is among what was not kept.
            (Kind::PushPromise | Kind::Continuation, _) => {
                self.skips_block();
                handle(Received::MissedBlocks);
            }
            (_, started) => self.started = started,
        }
    }

    /// A frame of which the end is missing: a header block is read as far as it came.
    fn cut(
        &mut self,
        header: &Header,
        payload: &[u8],
        offset: Offset,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) {
        if header.kind == Kind::Settings {
            self.whole = false;
            handle(Received::MissedSettings);
        }
        if !is_block(header.kind) {
            return;
        }
        self.interrupted(header, limit, handle);
        let started = match header.kind {
            Kind::Headers => Headers::beginning(header, payload).map(|headers| {
                let mut started = Started::new(header.stream, None, headers.end_stream, offset);
                started.bytes.extend_from_slice(headers.block);
                started
            }),
            Kind::Continuation => self.started.take().map(|mut started| {
                started.bytes.extend_from_slice(payload);
                started
            }),
            _ => None,
        };
        match started {
            Some(started) => {
                // It ends inside a field, or between two.
                let (mut head, _) = self.decode(&started.bytes, limit);
                head.misses();
                handle(Received::Block(Box::new(started.decoded(head, None))));
            }
            None => handle(Received::MissedBlocks),
        }
        self.skips_block();
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
        if header.kind != Kind::Continuation {
            self.unread_block = false;
        }
        match header.kind {
            Kind::Headers => {
                self.headers(header, payload, offset, limit, handle)?;
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
                    if self.whole && !self.unread_block {
                        handle(Received::Broken(Violation::Continuation));
                    }
                }
            }
            Kind::RstStream => {
                let code = RstStream::parse(payload)?.code;
                handle(Received::Reset(header.stream, code));
            }
            // A value that is not allowed, only the receiver may refuse.
            Kind::Settings => {
                let settings = Settings::parse(header, payload)?;
                if !settings.ack {
                    handle(Received::Settings(settings, self.whole));
                }
            }
            Kind::GoAway => handle(Received::GoAway(GoAway::parse(payload)?.last_stream)),
            Kind::WindowUpdate => {
                WindowUpdate::parse(payload)?;
                handle(Received::Window(header.stream));
            }
            Kind::Priority if Priority::parse(payload)?.dependency == header.stream => {
                return Err(frame::Invalid::Value);
            }
            Kind::Data | Kind::Priority | Kind::Ping | Kind::PriorityUpdate | Kind::Other(_) => {}
        }
        Ok(())
    }

    fn headers(
        &mut self,
        header: &Header,
        payload: &[u8],
        offset: Offset,
        limit: usize,
        handle: &mut dyn FnMut(Received<'_>),
    ) -> Result<(), frame::Invalid> {
        let headers = Headers::parse(header, payload)?;
        let depends = |on: Priority| on.dependency == header.stream;
        if headers.priority.is_some_and(depends) {
            handle(Received::Broken(Violation::Value));
        }
        let started = Started::new(header.stream, None, headers.end_stream, offset);
        self.block(started, headers.block, headers.end_headers, limit, handle);
        Ok(())
    }

    /// A frame of a header block is not read: what it does to the table is not known.
    fn skips_block(&mut self) {
        self.unread_block = true;
        self.decoder.forget();
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
        handle(Received::Broken(Violation::Continuation));
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
        if !started.bytes.is_empty() || !whole || started.too_long {
            let room = MAX_BLOCK.saturating_sub(started.bytes.len());
            started.too_long |= bytes.len() > room;
            let bytes = bytes.get(..room).unwrap_or(bytes);
            started.bytes.extend_from_slice(bytes);
        }
        if !whole {
            self.started = Some(started);
            return;
        }
        let bytes = match started.bytes.is_empty() {
            true => bytes,
            false => &started.bytes,
        };
        let (mut head, mut error) = self.decode(bytes, limit);
        if started.too_long {
            self.decoder.forget();
            head.exceeds();
            error = None;
        } else if error.is_some() {
            head.breaks_off();
        }
        handle(Received::Block(Box::new(started.decoded(head, error))));
    }

    /// The fields of a header block, up to an error.
    fn decode(&mut self, bytes: &[u8], limit: usize) -> (HeadBuilder, Option<hpack::Error>) {
        let mut head = HeadBuilder::new(limit);
        let result = self.decoder.block(bytes, &mut |field| head.push(field));
        head.compressed(self.decoder.take_odd(), self.decoder.take_cut());
        if self.unproven > 0 {
            head.mark(Anomalies::UNPROVEN_FRAMES);
        }
        (head, result.err())
    }
}
