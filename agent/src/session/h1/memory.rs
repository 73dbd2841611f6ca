//! What a connection holds.

use std::collections::VecDeque;

use super::H1;
use super::state::{Requests, Responses};
use crate::exchange::InFlight;
use crate::flow::Peers;
use crate::http::allocated;

/// What a connection takes that holds nothing.
const OVERHEAD: usize = allocated(size_of::<H1>()) + allocated(size_of::<Peers>());

/// Places for exchanges that a connection keeps while none is in flight.
const KEPT: usize = 16;

impl H1 {
    /// Bytes held.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        let requests = match &self.requests {
            Requests::Reading(reader) => reader.memory(),
            Requests::Hold(early) => early.bytes.capacity(),
            Requests::Seek | Requests::Ended => 0,
        };
        let responses = match &self.responses {
            Responses::Reading(reader) => reader.memory(),
            Responses::Await(_) | Responses::Seek | Responses::Ended => 0,
        };
        let alone = self.alone.as_ref().map_or(0, |alone| alone.memory());
        let shown = self.doubt.as_ref();
        let places = self.in_flight.capacity() + shown.map_or(0, |doubt| doubt.shown.capacity());
        let in_flight = places * size_of::<InFlight>() + self.passed.memory();
        OVERHEAD + in_flight + self.held + requests + responses + alone
    }

    /// The places of a burst that is over are of no more use.
    pub(super) fn give_back(&mut self) {
        if self.in_flight.is_empty() && self.in_flight.capacity() > KEPT {
            self.in_flight = VecDeque::new();
        }
    }
}
