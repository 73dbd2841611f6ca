//! Responses of a capture that has none of the requests: each is counted, once.
//!
//! They are read one after the other, as if none were to a HEAD. Where their sender has received
//! more since the last one began, what looks like another is one, whatever was left of the last.

use super::super::Context;
use super::super::quiescent::is_interim;
use super::H1;
use super::beginning::empty_lines;
use super::state::Responses;
use crate::flow::Offset;
use crate::http::h1::{self, Class, Damage, Event, Framed, Reader, classify};
use crate::http::{Bounds, Method, ResponseHead};
use crate::ledger::Dropped;
use crate::transport::{Chunk, Gap};

/// Reads them.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// `None`: where the next begins is not known.
    reader: Option<Reader>,
    /// What the sender of the last one had received when it began.
    heard: Option<Offset>,
}

impl H1 {
    /// Bytes of responses, where no packet of the requests is in the capture.
    pub(super) fn responses_alone(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        if !matches!(self.responses, Responses::Seek | Responses::Ended) {
            // Requests may come yet: which of them has which response is not known.
            self.responses_lost(chunk.time, cx);
        }
        self.alone.get_or_insert_default().chunk(chunk, cx);
    }
}

impl Alone {
    fn chunk(&mut self, chunk: &mut Chunk<'_>, cx: &mut Context<'_>) {
        let begins = chunk.boundary && classify(chunk.bytes) == Class::Response;
        if begins && (self.reader.is_none() || self.heard < chunk.heard) {
            self.end(cx);
            self.reader = Some(Reader::default());
            self.heard = chunk.heard;
        }
        let bounds = Bounds {
            body: 0,
            ..cx.bounds
        };
        while let Some(reader) = &mut self.reader {
            if reader.is_between() {
                chunk.advance(empty_lines(chunk.bytes));
            }
            let mut rest = chunk.bytes;
            if rest.is_empty() {
                return;
            }
            let event = reader.read::<ResponseHead>(&mut rest, &bounds);
            chunk.advance(chunk.bytes.len() - rest.len());
            match event {
                Event::More | Event::Passed(_) | Event::End(_) => {}
                Event::Error(..) => self.end(cx),
                Event::Head { head, .. } => match h1::response(&head, Method::Other) {
                    Ok((framed, _)) if head.status / 100 != 1 || framed == Framed::Switched => {
                        count(cx);
                        self.reader = match framed {
                            Framed::Switched => None,
                            _ => self.reader.take().map(|mut reader| {
                                reader.body(framed, None, &bounds);
                                reader
                            }),
                        };
                    }
                    Ok(_) => {}
                    Err(_) => {
                        count(cx);
                        self.reader = None;
                    }
                },
            }
        }
    }

    /// Bytes are missing.
    pub(super) fn gap(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        let damage = self
            .reader
            .as_mut()
            .and_then(|reader| reader.gap(gap.len, true));
        if !matches!(damage, Some(Damage::Survived { .. })) {
            self.end(cx);
        }
    }

    /// Nothing more comes of what is being read: a response all the same, if its head was read.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        let reader = self.reader.take();
        let head = reader.as_ref().and_then(Reader::partial_head);
        if head.is_some_and(|head| classify(head) == Class::Response && !is_interim(head)) {
            count(cx);
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.reader.as_ref().map_or(0, Reader::memory)
    }
}

fn count(cx: &mut Context<'_>) {
    cx.ledger.start();
    cx.drop_with(Dropped::ResponseOnly);
}
