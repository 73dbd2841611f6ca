//! The requests' side.

use super::super::{Context, Half};
use super::{Begun, H1, Requests, Responses};
use crate::exchange::{Answer, Open, Partial};
use crate::flow::Nanos;
use crate::http::h1::{self, Class, Damage, Event, Fault, Framed, Method, Reader, classify};
use crate::http::{Anomalies, Body, RequestHead};
use crate::ledger::Dropped;
use crate::transport::tcp::{Gap, Piece};

impl H1 {
    #[inline]
    pub(super) fn request_bytes(&mut self, mut piece: Piece<'_>, cx: &mut Context<'_>) {
        while !piece.bytes.is_empty() {
            match &mut self.requests {
                Requests::Reading(reader) => {
                    if reader.is_between() {
                        piece.advance(empty_lines(piece.bytes));
                        if piece.bytes.is_empty() {
                            return;
                        }
                        if self.facts.joined && !self.open.is_empty() {
                            self.misjoined(cx);
                            return;
                        }
                        self.request_begins(&piece, cx);
                    } else if piece.boundary && self.may_give_up_its_body(&piece) {
                        self.ambiguous(piece.time, cx);
                        return;
                    }
                    self.read_request(&mut piece, cx);
                }
                Requests::Seek => {
                    if !self.is_request(&piece) {
                        return;
                    }
                    self.restart(&piece, cx);
                }
                Requests::Hold(held) => {
                    *held += piece.bytes.len() as u64;
                    return;
                }
                Requests::Tunnel => {
                    if let Some(tunnel) = &mut self.tunnel {
                        tunnel.bytes(Half::Requests, piece.bytes, cx.stats);
                    }
                    return;
                }
                Requests::Ended => return,
            }
        }
    }

    /// The first byte of a request.
    fn request_begins(&mut self, piece: &Piece<'_>, cx: &mut Context<'_>) {
        match &mut self.responses {
            Responses::Seek => self.find_answer(piece, cx),
            Responses::Await(at) => match at.replace(piece.ack) {
                Some(before) if before != piece.ack => {
                    // Answers came in between, and were not given.
                    self.abandon(cx);
                    self.facts.lost |= self.facts.pipelined;
                }
                _ => self.facts.pipelined |= !self.open.is_empty(),
            },
            Responses::Reading(_) | Responses::Tunnel | Responses::Ended => {
                self.facts.pipelined |= self.open.iter().any(|open| open.answer != Answer::Done);
            }
        }
        self.begun = Some(Begun {
            time: piece.time,
            seq: piece.seq,
            counted: false,
        });
        self.last_request = piece.seq;
        self.last_ack = piece.ack;
        if self.facts.recognised {
            self.count(cx);
        }
    }

    fn read_request(&mut self, piece: &mut Piece<'_>, cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &mut self.requests else {
            return;
        };
        let input = piece.bytes;
        let mut rest = input;
        let event = reader.read::<RequestHead>(&mut rest, &cx.bounds);
        piece.advance(input.len() - rest.len());
        match event {
            Event::More => {
                if !self.facts.recognised && input.contains(&b'\n') {
                    self.recognise(input, cx);
                }
            }
            Event::Head { head, anomalies } => self.request_head(head, anomalies, piece.time, cx),
            Event::End(body) => self.request_end(body, piece.time, cx),
            Event::Fault(fault, body) => {
                if !self.facts.recognised {
                    self.recognise(input, cx);
                }
                self.request_fault(fault, body, piece.time, cx);
                // What follows a fault is no beginning.
                piece.advance(rest.len());
            }
        }
    }

    /// The first request's head is not whole, but its first line may be.
    fn recognise(&mut self, input: &[u8], cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &self.requests else {
            return;
        };
        match classify(reader.partial_head().unwrap_or(input)) {
            Class::Request => self.count(cx),
            Class::Undecided => {}
            Class::Response | Class::Http2 | Class::Other => self.not_a_request(),
        }
    }

    /// A request is known to have begun.
    fn count(&mut self, cx: &mut Context<'_>) {
        self.facts.recognised = true;
        if let Some(begun) = &mut self.begun
            && !begun.counted
        {
            begun.counted = true;
            cx.ledger.start();
            self.facts.news.get_or_insert(begun.seq);
        }
    }

    /// The requests' position became known.
    pub(super) fn requests_open(&mut self, fresh: bool) {
        if fresh && !self.facts.recognised {
            self.facts.fresh = true;
            self.requests = Requests::Reading(Reader::default());
        }
    }

    /// What was taken for the first request is none.
    fn not_a_request(&mut self) {
        self.begun = None;
        self.requests = Requests::Seek;
        self.facts.not_http = self.facts.fresh;
    }

    fn request_head(
        &mut self,
        head: RequestHead,
        anomalies: Anomalies,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        self.count(cx);
        let Some(begun) = self.begun.take() else {
            return;
        };
        let (framed, traits) = match h1::request(&head) {
            Ok(framed) => framed,
            Err(_) => {
                self.lose(Dropped::Malformed, cx);
                self.facts.owed = true;
                self.requests_lost();
                return;
            }
        };
        self.current = false;
        if self.facts.lost {
            self.lose(Dropped::PairingLost, cx);
        } else if self.open.len() >= cx.limits.pipeline {
            // Those before it are still answered in order.
            self.lose(Dropped::Evicted, cx);
            self.facts.pipelined = true;
            self.facts.lost = true;
        } else {
            if self.open.capacity() == 0 {
                // Most clients wait for each answer.
                self.open.reserve_exact(1);
            }
            let anomalies = anomalies.with(traits.anomalies);
            let open = Open::new(head, anomalies, traits.expects, begun.time, now, begun.seq);
            self.held += open.memory();
            self.open.push_back(open);
            self.current = true;
        }
        self.request_body(framed, now, cx);
    }

    fn request_body(&mut self, framed: Framed, now: Nanos, cx: &mut Context<'_>) {
        if let Requests::Reading(reader) = &mut self.requests
            && let Some(body) = reader.body(framed, &cx.bounds)
        {
            self.request_end(body, now, cx);
        }
    }

    pub(super) fn request_end(&mut self, body: Body, now: Nanos, cx: &mut Context<'_>) {
        if !std::mem::take(&mut self.current) {
            return;
        }
        let Some(open) = self.open.back_mut() else {
            return;
        };
        if !open.is_told() {
            self.held += body.bytes.len();
        }
        open.request_body(body, now);
        open.requested = true;
        if open.method == Method::Connect && open.answer != Answer::Done {
            self.requests = Requests::Hold(0);
        }
        if let Responses::Ended = self.responses
            && open.answer != Answer::Done
        {
            open.lacks(Partial::NoResponse);
            open.answer = Answer::Done;
        }
        self.settle(now, cx);
    }

    /// Marks the request whose body is being read, or was last.
    fn current_lacks(&mut self, reason: Partial) {
        if self.current
            && let Some(open) = self.open.back_mut()
        {
            open.lacks(reason);
        }
    }

    fn request_fault(
        &mut self,
        fault: Fault,
        body: Option<Body>,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        if let Some(body) = body {
            self.current_lacks(Partial::Malformed);
            self.request_end(body, now, cx);
        } else if !self.facts.recognised {
            if self.begun.is_some() {
                self.not_a_request();
            }
            return;
        } else if self.begun.take().is_some() {
            let reason = match fault {
                Fault::Malformed => Dropped::Malformed,
                Fault::TooLarge => Dropped::HeadTooLarge,
            };
            self.lose(reason, cx);
            self.facts.owed = true;
        }
        self.requests_lost();
    }

    pub(super) fn request_gap(&mut self, gap: &Gap, cx: &mut Context<'_>) {
        match &mut self.requests {
            Requests::Reading(reader) => match reader.gap(u64::from(gap.len), !gap.skipped) {
                None => {
                    if self.begun.is_some() {
                        self.facts.owed = true;
                    }
                    self.head_cut(Dropped::GapInHead, cx);
                    self.requests_lost();
                }
                Some(Damage::Survived { lost, end }) => {
                    if lost {
                        self.current_lacks(Partial::Gap);
                    }
                    if let Some(body) = end {
                        self.request_end(body, gap.time, cx);
                    }
                }
                Some(Damage::Broken { body, lost }) => {
                    if lost {
                        self.current_lacks(Partial::Gap);
                    } else if !body.size_exact {
                        self.current_lacks(Partial::SizeUnknown);
                    }
                    self.request_end(body, gap.time, cx);
                    self.requests_lost();
                }
            },
            Requests::Hold(held) => *held += u64::from(gap.len),
            Requests::Tunnel => {
                if let Some(tunnel) = &mut self.tunnel {
                    tunnel.gap(Half::Requests, u64::from(gap.len), cx.stats);
                }
            }
            Requests::Seek | Requests::Ended => {}
        }
    }

    /// Where the next request begins is not known.
    pub(super) fn requests_lost(&mut self) {
        self.requests = Requests::Seek;
        self.facts.fresh = false;
        self.facts.lost |= self.facts.pipelined;
    }

    /// The client asked whether to send its body (`Expect: 100-continue`), was given a final answer instead, has not
    /// sent a byte of the body, and now sends what looks like another request (RFC 9110 §10.1.1).
    fn may_give_up_its_body(&self, piece: &Piece<'_>) -> bool {
        let Requests::Reading(reader) = &self.requests else {
            return false;
        };
        let [_, answers] = &self.turns;
        self.current
            && self.open.back().is_some_and(|open| {
                open.expects && open.interim.count == 0 && open.answer == Answer::Done
            })
            && reader.reading().is_some_and(h1::Reading::untouched)
            && answers.is_turn(piece)
            && is_known_request(piece.bytes)
            && classify(piece.bytes) == Class::Request
    }

    /// The body, or another request: only the two ends know. Neither is told, one is counted.
    fn ambiguous(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.request_cut(now, cx);
        cx.ledger.start();
        self.lose(Dropped::PairingLost, cx);
        self.facts.owed = true;
        self.requests_lost();
    }

    /// The request ends before its body does.
    pub(super) fn request_cut(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let Requests::Reading(reader) = &mut self.requests else {
            return;
        };
        let body = match reader.fin() {
            None => return,
            Some(Ok(body)) => body,
            Some(Err(body)) => {
                self.current_lacks(Partial::RequestCut);
                body
            }
        };
        self.request_end(body, now, cx);
    }

    pub(super) fn request_fin(&mut self, now: Nanos, cx: &mut Context<'_>) {
        self.head_cut(Dropped::HeadCut, cx);
        self.request_cut(now, cx);
        self.requests = Requests::Ended;
    }

    /// Nothing more comes of a head that is not whole.
    pub(super) fn head_cut(&mut self, reason: Dropped, cx: &mut Context<'_>) {
        if !self.facts.recognised
            && let Requests::Reading(reader) = &self.requests
            && reader.partial_head().is_some_and(is_known_request)
        {
            self.count(cx);
        }
        if let Some(begun) = self.begun.take()
            && begun.counted
        {
            self.lose(reason, cx);
        }
    }
}

/// A request line that is not whole, but begins with a method of RFC 9110 and a target.
pub(crate) fn is_known_request(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"CONNECT ",
        b"OPTIONS ",
        b"TRACE ",
        b"PATCH ",
    ];
    METHODS
        .iter()
        .filter_map(|method| bytes.strip_prefix(*method))
        .any(|target| matches!(target, [b'/' | b'*' | b'h', ..]))
}

/// Empty lines before a message are passed over (RFC 9112 §2.2).
#[inline]
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}
