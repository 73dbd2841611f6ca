//! Exchanges that are told before both halves are over: the connection is gone, capture stops, or they are too old.

use super::super::Context;
use super::{H1, Requests, Responses, account};
use crate::exchange::{Answer, Open, Partial};
use crate::flow::Nanos;
use crate::ledger::Dropped;

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is gone: reset, closed, or silent for too long.
    Gone,
    /// Capture stops.
    Shutdown,
    /// Its room was needed.
    Evicted,
}

impl H1 {
    /// Nothing more comes: everything open is told or counted.
    pub(crate) fn end(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        let head = match end {
            End::Gone | End::Shutdown => Dropped::HeadCut,
            End::Evicted => Dropped::Evicted,
        };
        self.head_cut(head, cx);
        self.take_bodies(|_| true);
        let paired = !matches!(self.responses, Responses::Seek);
        let mut account = account(&self.peers, self.facts.mirrored, cx);
        for open in &mut self.open {
            if !paired && open.answer != Answer::Done {
                open.lose(Dropped::PairingLost, &mut account);
                continue;
            }
            open.lacks(match end {
                End::Shutdown => Partial::Shutdown,
                End::Evicted => Partial::Evicted,
                End::Gone if !open.requested => Partial::RequestCut,
                End::Gone if open.answer == Answer::Awaited => Partial::NoResponse,
                End::Gone => Partial::ResponseCut,
            });
            open.tell(false, now, &mut account);
        }
        self.open.clear();
        self.held = 0;
        self.requests = Requests::Ended;
        self.responses = Responses::Ended;
    }

    /// Tells what began before `oldest`, as it stands. Its place in the order stays.
    pub(crate) fn expire(&mut self, oldest: Nanos, now: Nanos, cx: &mut Context<'_>) {
        if self.begun.is_some_and(|begun| begun.time <= oldest) {
            self.head_cut(Dropped::HeadCut, cx);
            self.requests_lost();
        }
        let old = |open: &Open| open.began().is_some_and(|began| began <= oldest);
        if !self.open.iter().any(old) {
            return;
        }
        self.take_bodies(old);
        let mut account = account(&self.peers, self.facts.mirrored, cx);
        for open in self.open.iter_mut().filter(|open| old(open)) {
            open.lacks(Partial::MaxAge);
            open.tell(false, now, &mut account);
        }
        self.held = self.open.iter().map(Open::memory).sum();
    }

    /// What there is of the two bodies that are being read, of exchanges that `which` selects.
    fn take_bodies(&mut self, which: impl Fn(&Open) -> bool) {
        let [requests, responses] = &self.turns;
        if self.current
            && let Requests::Reading(reader) = &mut self.requests
            && let Some(open) = self.open.back_mut().filter(|open| which(open))
            && let Some(body) = reader.so_far()
        {
            open.request_body(body, requests.time());
        }
        if let Responses::Reading(reader) = &mut self.responses
            && let Some(open) = self.open.front_mut().filter(|open| which(open))
            && let Some(body) = reader.so_far()
        {
            open.response_body(body, responses.time());
        }
    }
}
