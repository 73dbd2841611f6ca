//! Whether the first request is one at all ([`Recognition`]).

use super::super::Context;
use super::H1;
use super::state::{Pickup, Recognition, Requests};
use crate::http::h1::{Class, Reader, classify};
use crate::transport::Chunk;

impl H1 {
    /// The first request's head is not whole, but its first line may be.
    pub(super) fn recognise(&mut self, input: &[u8], cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &self.requests else {
            return;
        };
        match classify(reader.partial_head().unwrap_or(input)) {
            Class::Request | Class::OddRequest => self.count(cx),
            Class::Undecided => {}
            Class::Response | Class::Http2 | Class::Other | Class::Foreign => {
                self.not_a_request();
            }
        }
    }

    /// A request is known to have started.
    pub(super) fn count(&mut self, cx: &mut Context<'_>) {
        self.recognition = Recognition::Proven;
        if let Some(started) = &mut self.started
            && !started.counted
        {
            started.counted = true;
            cx.ledger.start();
            self.request_start.get_or_insert(started.offset);
        }
    }

    /// The first request is one, whatever its line says: a response has come.
    pub(crate) fn is_shown_by_its_response(&mut self) {
        self.recognition = Recognition::Proven;
        self.requests = Requests::Reading(Reader::of_any_line());
    }

    /// A line that is none of HTTP came whole, with all that follows it, where a request begins. As
    /// of a first one, a status line may show that it is a request.
    pub(super) fn may_be_shown_by_its_response(&self, chunk: &Chunk<'_>) -> bool {
        let [_, responses] = &self.spoken;
        self.recognition == Recognition::Proven
            && self.pickup == Pickup::Certain
            && self.in_flight.is_empty()
            && self
                .started
                .is_some_and(|started| started.offset == chunk.offset)
            && responses.is_quiescent(chunk)
            && chunk.bytes.ends_with(b"\n")
    }

    /// What was taken for the first request is none.
    pub(super) fn not_a_request(&mut self) {
        self.started = None;
        self.requests = Requests::Seek;
        if self.recognition == Recognition::FirstBytes {
            self.recognition = Recognition::Refuted;
        }
    }
}
