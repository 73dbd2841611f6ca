//! The answers' side.

use super::super::quiescent::is_interim;
use super::super::websocket::Tunnel;
use super::super::{Context, Half};
use super::requests::empty_lines;
use super::{H1, Requests, Responses, account};
use crate::exchange::{Answer, Open, Partial};
use crate::flow::Nanos;
use crate::http::h1::{self, Class, Damage, Event, Fault, Framed, Method, Reader, classify};
use crate::http::{Anomalies, Body, ResponseHead};
use crate::ledger::Dropped;
use crate::transport::tcp::{Gap, Piece};

impl H1 {
    /// The answers' position became known.
    pub(super) fn answers_open(&mut self, seq: u32, fresh: bool, cx: &mut Context<'_>) {
        if let Responses::Await(at) = self.responses {
            if fresh || at == Some(seq) {
                self.responses = Responses::Reading(Reader::default());
            } else {
                self.responses_lost(cx);
            }
        }
    }

    #[inline]
    pub(super) fn response_bytes(&mut self, mut piece: Piece<'_>, cx: &mut Context<'_>) {
        while !piece.bytes.is_empty() {
            match &mut self.responses {
                Responses::Reading(reader) => {
                    if reader.is_between() {
                        piece.advance(empty_lines(piece.bytes));
                        if piece.bytes.is_empty() {
                            return;
                        }
                        if !self.answer_begins(&piece, cx) {
                            self.responses_lost(cx);
                            return;
                        }
                    }
                    self.read_response(&mut piece, cx);
                }
                Responses::Seek => {
                    self.answer_alone(&piece, false, cx);
                    return;
                }
                Responses::Tunnel => {
                    if let Some(tunnel) = &mut self.tunnel {
                        tunnel.bytes(Half::Responses, piece.bytes, cx.stats);
                    }
                    return;
                }
                Responses::Await(_) | Responses::Ended => return,
            }
        }
    }

    /// The first byte of an answer. `false`: there is no request that it belongs to.
    fn answer_begins(&mut self, piece: &Piece<'_>, cx: &mut Context<'_>) -> bool {
        if std::mem::take(&mut self.facts.joined) && !self.asked_once(piece) {
            return false;
        }
        match self.open.front_mut() {
            Some(open) if open.answer == Answer::Awaited => {
                open.answer = Answer::Began(piece.time);
                true
            }
            _ => {
                self.answer_alone(piece, true, cx);
                false
            }
        }
    }

    /// Counts an answer without its request, if that is what begins here.
    fn answer_alone(&mut self, piece: &Piece<'_>, in_step: bool, cx: &mut Context<'_>) {
        let [requests, answers] = &self.turns;
        // It begins after the last message, where both sides had nothing else left to say, or with the first bytes seen.
        let begins = in_step
            || (piece.boundary
                && (answers.is_unseen()
                    || requests.is_unseen()
                    || requests.had_received(piece.seq)));
        if !begins || is_interim(piece.bytes) || classify(piece.bytes) != Class::Response {
            return;
        }
        // The request it belongs to may have been counted itself.
        let counted = self.facts.lost || self.open.iter().any(|o| o.answer != Answer::Done);
        if !std::mem::take(&mut self.facts.owed) && !counted {
            cx.ledger.start();
            self.lose(Dropped::ResponseOnly, cx);
        }
    }

    fn read_response(&mut self, piece: &mut Piece<'_>, cx: &mut Context<'_>) {
        let Responses::Reading(reader) = &mut self.responses else {
            return;
        };
        let mut rest = piece.bytes;
        let event = reader.read::<ResponseHead>(&mut rest, &cx.bounds);
        piece.advance(piece.bytes.len() - rest.len());
        match event {
            Event::More => {}
            Event::Head { head, anomalies } => self.response_head(head, anomalies, piece.time, cx),
            Event::End(body) => self.response_end(body, piece.time, cx),
            Event::Fault(_, Some(body)) => {
                self.answering(|open| open.lacks(Partial::Malformed));
                self.response_end(body, piece.time, cx);
                self.responses_lost(cx);
            }
            Event::Fault(fault, None) => {
                let reason = match fault {
                    Fault::Malformed => Dropped::Malformed,
                    Fault::TooLarge => Dropped::HeadTooLarge,
                };
                self.lose_first(reason, cx);
                self.responses_lost(cx);
            }
        }
    }

    fn response_head(
        &mut self,
        head: ResponseHead,
        anomalies: Anomalies,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        let Some(open) = self.open.front_mut() else {
            return;
        };
        let (framed, traits) = match h1::response(&head, open.method) {
            Ok(framed) => framed,
            Err(_) => {
                self.lose_first(Dropped::Malformed, cx);
                self.responses_lost(cx);
                return;
            }
        };
        if head.status / 100 == 1 && framed != Framed::Switched {
            // Interim: the final answer follows.
            open.interim.push(head);
            open.answer = Answer::Awaited;
            return;
        }
        let before = open.memory();
        open.response_head(head, anomalies.with(traits.anomalies), now);
        self.held += open.memory() - before;
        if framed == Framed::Switched {
            let none = Body {
                size_exact: true,
                ..Body::default()
            };
            open.response_body(none, now);
            self.switch(traits.websocket, now, cx);
            return;
        }
        if let Responses::Reading(reader) = &mut self.responses
            && let Some(body) = reader.body(framed, &cx.bounds)
        {
            self.response_end(body, now, cx);
        }
    }

    fn response_end(&mut self, body: Body, now: Nanos, cx: &mut Context<'_>) {
        let Some(open) = self.open.front_mut() else {
            return;
        };
        if !open.is_told() {
            self.held += body.bytes.len();
        }
        open.response_body(body, now);
        open.answer = Answer::Done;
        let refused = open.method == Method::Connect;
        self.settle(now, cx);
        if refused && let Requests::Hold(held) = self.requests {
            match held {
                0 => self.requests = Requests::Reading(Reader::default()),
                // No tunnel: what came early was a request, or more, and was not kept.
                _ => {
                    cx.ledger.start();
                    self.lose(Dropped::PairingLost, cx);
                    self.requests_lost();
                }
            }
        }
    }

    /// From here on the connection speaks something else: the exchange is told at once.
    fn switch(&mut self, websocket: bool, now: Nanos, cx: &mut Context<'_>) {
        let mut tunnel = Tunnel::new(websocket);
        if self.open.len() == 1
            && self.current
            && let Requests::Reading(reader) = &mut self.requests
            && let Some(Err(body)) = reader.fin()
        {
            self.answering(|open| {
                open.request_body(body, now);
                open.lacks(Partial::RequestCut);
            });
        }
        if let Requests::Hold(early) = self.requests {
            tunnel.gap(Half::Requests, early, cx.stats);
        }
        if let Some(begun) = self.begun.take()
            && begun.counted
        {
            self.lose(Dropped::PairingLost, cx);
        }
        let mut account = account(&self.peers, self.facts.mirrored, cx);
        if let Some(open) = self.open.front_mut() {
            open.tell(true, now, &mut account);
        }
        for open in &mut self.open {
            open.lose(Dropped::PairingLost, &mut account);
        }
        self.open.clear();
        self.held = 0;
        self.current = false;
        self.tunnel = Some(Box::new(tunnel));
        self.responses = Responses::Tunnel;
        if !matches!(self.requests, Requests::Ended) {
            self.requests = Requests::Tunnel;
        }
    }

    /// The exchange whose answer is being read.
    fn answering(&mut self, act: impl FnOnce(&mut Open)) {
        if let Some(open) = self.open.front_mut() {
            act(open);
        }
    }

    /// Gives up the exchange whose answer is being read.
    fn lose_first(&mut self, reason: Dropped, cx: &mut Context<'_>) {
        let Some(mut open) = self.open.pop_front() else {
            return;
        };
        self.held = self.held.saturating_sub(open.memory());
        self.current &= !self.open.is_empty();
        open.lose(reason, &mut self.account(cx));
    }

    pub(super) fn response_gap(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        match &mut self.responses {
            Responses::Reading(reader) => match reader.gap(u64::from(gap.len), !gap.skipped) {
                None => {
                    if reader.partial_head().is_some() {
                        self.lose_first(Dropped::GapInHead, cx);
                    }
                    self.responses_lost(cx);
                }
                Some(Damage::Survived { lost, end }) => {
                    if lost {
                        self.answering(|open| open.lacks(Partial::Gap));
                    }
                    if let Some(body) = end {
                        self.response_end(body, gap.time, cx);
                    }
                }
                Some(Damage::Broken { body, lost }) => {
                    self.answering(|open| {
                        if lost {
                            open.lacks(Partial::Gap);
                        } else if !body.size_exact {
                            open.lacks(Partial::SizeUnknown);
                        }
                    });
                    self.response_end(body, gap.time, cx);
                    self.responses_lost(cx);
                }
            },
            Responses::Await(_) => self.responses_lost(cx),
            Responses::Tunnel => {
                if let Some(tunnel) = &mut self.tunnel {
                    tunnel.gap(Half::Responses, u64::from(gap.len), cx.stats);
                }
            }
            Responses::Seek | Responses::Ended => {}
        }
    }

    /// Where the next answer begins is not known.
    fn responses_lost(&mut self, cx: &mut Context<'_>) {
        self.abandon(cx);
        self.responses = Responses::Seek;
        self.facts.lost |= self.facts.pipelined;
    }

    pub(super) fn response_fin(&mut self, now: Nanos, cx: &mut Context<'_>) {
        match &mut self.responses {
            Responses::Reading(reader) => {
                let within_head = reader.partial_head().is_some();
                let body = reader.fin();
                if let Some(Err(_)) = body {
                    self.answering(|open| open.lacks(Partial::ResponseCut));
                }
                if let Some(Ok(body) | Err(body)) = body {
                    self.response_end(body, now, cx);
                }
                if within_head {
                    self.answering(|open| {
                        open.lacks(Partial::ResponseCut);
                        open.answer = Answer::Done;
                    });
                }
                for open in self.open.iter_mut().filter(|o| o.answer != Answer::Done) {
                    open.lacks(Partial::NoResponse);
                    open.answer = Answer::Done;
                }
                self.settle(now, cx);
            }
            Responses::Await(_) => {
                for open in &mut self.open {
                    open.lacks(Partial::NoResponse);
                    open.answer = Answer::Done;
                }
                self.settle(now, cx);
            }
            Responses::Seek => self.abandon(cx),
            Responses::Tunnel | Responses::Ended => {}
        }
        self.responses = Responses::Ended;
    }
}
