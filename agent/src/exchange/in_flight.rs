//! An exchange that has begun and not ended: it gathers its two halves, and is told or lost exactly once.

use std::sync::Arc;

use super::{Exchange, Interim, Peers, Request, Response};
use crate::flow::Nanos;
use crate::http::h1::Method;
use crate::http::{Anomalies, Body, RequestHead, ResponseHead};
use crate::ledger::{Dropped, Ledger, Partial};

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No byte of the final answer has come.
    Awaited,
    /// Its head has begun.
    Began(Nanos),
    /// Its head is whole, its body is being read.
    Body,
    /// It is over, or none will come.
    Done,
}

/// A begun exchange.
#[derive(Debug)]
pub(crate) struct Open {
    /// `None` once told.
    request: Option<Request>,
    response: Option<Response>,
    partial: Option<Partial>,
    /// Sequence number of the request's first byte.
    pub(crate) seq: u32,
    pub(crate) method: Method,
    pub(crate) answer: Answer,
    /// The request is over.
    pub(crate) requested: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// Interim responses so far.
    pub(crate) interim: Interim,
}

/// Where exchanges end up: in the ledger, and those that are told in the output.
pub(crate) struct Account<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) exchanges: &'a mut Vec<Exchange>,
    pub(crate) peers: &'a Arc<Peers>,
    /// The other end of the same connection tells these exchanges.
    pub(crate) mirrored: bool,
}

impl Open {
    pub(crate) fn new(
        head: RequestHead,
        anomalies: Anomalies,
        expects: bool,
        began: Nanos,
        now: Nanos,
        seq: u32,
    ) -> Self {
        Self {
            method: Method::of(&head),
            request: Some(Request {
                began,
                ended: now,
                head,
                body: Body::default(),
                anomalies,
            }),
            response: None,
            partial: None,
            seq,
            answer: Answer::Awaited,
            requested: false,
            expects,
            interim: Interim::default(),
        }
    }

    /// When it began; `None` once told.
    pub(crate) fn began(&self) -> Option<Nanos> {
        self.request.as_ref().map(|request| request.began)
    }

    /// It was told early: only its place in the order is left.
    pub(crate) const fn is_told(&self) -> bool {
        self.request.is_none()
    }

    /// Both halves are over.
    pub(crate) fn is_over(&self) -> bool {
        self.requested && self.answer == Answer::Done
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let request = self.request.as_ref().map_or(0, |request| {
            request.head.fields.memory() + request.body.bytes.len()
        });
        let response = self.response.as_ref().map_or(0, |response| {
            response.head.fields.memory()
                + response.head.reason.memory()
                + response.body.bytes.len()
        });
        request + response + self.interim.memory()
    }

    /// Something is missing. The first reason stays.
    pub(crate) fn lacks(&mut self, reason: Partial) {
        self.partial.get_or_insert(reason);
    }

    /// The request's body, as far as it goes.
    pub(crate) fn request_body(&mut self, body: Body, now: Nanos) {
        if let Some(request) = &mut self.request {
            request.body = body;
            request.ended = now;
        }
    }

    /// The head of the final answer.
    pub(crate) fn response_head(&mut self, head: ResponseHead, anomalies: Anomalies, now: Nanos) {
        let began = match self.answer {
            Answer::Began(began) => began,
            Answer::Awaited | Answer::Body | Answer::Done => now,
        };
        self.answer = Answer::Body;
        if !self.is_told() {
            self.response = Some(Response {
                began,
                ended: now,
                head,
                body: Body::default(),
                anomalies,
            });
        }
    }

    /// The answer's body, as far as it goes.
    pub(crate) fn response_body(&mut self, body: Body, now: Nanos) {
        if let Some(response) = &mut self.response {
            response.body = body;
            response.ended = now;
        }
    }

    /// Tells it, unless it was told early.
    pub(crate) fn tell(&mut self, upgrade: bool, now: Nanos, account: &mut Account<'_>) {
        let Some(request) = self.request.take() else {
            return;
        };
        if account.mirrored {
            account.ledger.drop_with(Dropped::Folded);
            return;
        }
        account.ledger.emit(self.partial);
        account.exchanges.push(Exchange {
            peers: Arc::clone(account.peers),
            stream: None,
            request,
            interim: std::mem::take(&mut self.interim),
            response: self.response.take(),
            upgrade,
            reset: None,
            ended: now,
            partial: self.partial,
        });
    }

    /// Gives it up, unless it was told early.
    pub(crate) fn lose(&mut self, reason: Dropped, account: &mut Account<'_>) {
        if self.request.take().is_some() {
            self.response = None;
            account.ledger.drop_with(match account.mirrored {
                true => Dropped::Folded,
                false => reason,
            });
        }
    }
}
