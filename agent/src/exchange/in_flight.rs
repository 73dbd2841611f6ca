//! An exchange that has started and not ended: it gathers its request and its response, and is
//! emitted or dropped exactly once.

use std::sync::Arc;

use super::{Exchange, Interim, Peers, Request, Response};
use crate::flow::{Nanos, Offset, TunnelClaims};
use crate::http::{Anomalies, Body, Method, RequestHead, ResponseHead, tunnel};
use crate::ledger::{Dropped, Ledger, Partial};

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// No byte of the final response has come.
    Awaited,
    /// Its head has started.
    Began(Nanos),
    /// Its head is whole, its body is being read.
    Body,
    /// It is over, or none will come.
    Done,
}

/// A started exchange.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// `None` once emitted.
    request: Option<Request>,
    response: Option<Response>,
    partial: Option<Partial>,
    /// Offset of the request's first byte.
    pub(crate) offset: Offset,
    pub(crate) method: Method,
    pub(crate) progress: Progress,
    /// The request is over.
    pub(crate) requested: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects: bool,
    /// It may be no request: it is shown if the responses bear it out.
    pub(crate) doubted: bool,
    /// What is known of the response's head before it is whole.
    response_anomalies: Anomalies,
    /// Interim responses so far.
    pub(crate) interim: Interim,
}

/// Where exchanges end up: in the ledger, and those that are emitted in the output.
pub(crate) struct Emitter<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) exchanges: &'a mut Vec<Exchange>,
    pub(crate) peers: &'a Arc<Peers>,
    /// The peer socket on this node emits these exchanges.
    pub(crate) folded: bool,
}

impl InFlight {
    /// A request whose head is whole.
    pub(crate) fn new(
        head: RequestHead,
        anomalies: Anomalies,
        (began, now): (Nanos, Nanos),
        offset: Offset,
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
            offset,
            progress: Progress::Awaited,
            requested: false,
            expects: false,
            doubted: false,
            response_anomalies: Anomalies::default(),
            interim: Interim::default(),
        }
    }

    /// The place of a request that was emitted, as its response needs it.
    pub(crate) fn emitted(method: Method) -> Self {
        Self {
            request: None,
            response: None,
            partial: None,
            offset: Offset(u64::MAX),
            method,
            progress: Progress::Awaited,
            requested: true,
            expects: false,
            doubted: false,
            response_anomalies: Anomalies::default(),
            interim: Interim::default(),
        }
    }

    /// When it began; `None` once emitted.
    pub(crate) fn began(&self) -> Option<Nanos> {
        self.request.as_ref().map(|request| request.began)
    }

    /// See [`tunnel::switches_to`].
    pub(crate) fn switches_to(&self, protocol: &[u8]) -> bool {
        let response = self.response.as_ref();
        response.is_some_and(|response| tunnel::switches_to(&response.head, protocol))
    }

    /// The request asks for this protocol, which may be one of several.
    pub(crate) fn asks_for(&self, protocol: &[u8]) -> bool {
        let names = |request: &Request| {
            let mut values = request.head.fields.get_all("upgrade");
            values.any(|value| {
                let mut names = value.split(|byte| *byte == b',');
                names.any(|name| name.trim_ascii().eq_ignore_ascii_case(protocol))
            })
        };
        self.request.as_ref().is_some_and(names)
    }

    /// What a CONNECT says of its tunnel.
    pub(crate) fn claims(&self) -> TunnelClaims {
        match &self.request {
            Some(request) if self.method == Method::Connect => tunnel::claims(&request.head),
            _ => TunnelClaims::default(),
        }
    }

    /// The request, which another protocol goes on with. It stays started.
    pub(crate) const fn hand_over(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// It was emitted early: only its place in the order is left.
    pub(crate) const fn is_emitted(&self) -> bool {
        self.request.is_none()
    }

    /// Request and response are over.
    pub(crate) fn is_over(&self) -> bool {
        self.requested && self.progress == Progress::Done
    }

    /// Bytes held beside the structure itself, which is its owner's.
    pub(crate) fn memory(&self) -> usize {
        self.request.as_ref().map_or(0, Request::memory)
            + self.response.as_ref().map_or(0, Response::memory)
            + self.interim.memory()
    }

    /// The request has this anomaly.
    pub(crate) fn request_anomaly(&mut self, anomaly: Anomalies) {
        if let Some(request) = &mut self.request {
            request.anomalies = request.anomalies.with(anomaly);
        }
    }

    /// The response has this anomaly, if it has started.
    pub(crate) fn response_anomaly(&mut self, anomaly: Anomalies) {
        if let Some(response) = &mut self.response {
            response.anomalies = response.anomalies.with(anomaly);
        } else if let Progress::Began(_) = self.progress {
            self.response_anomalies = anomaly;
        }
    }

    /// It cannot be read to its end.
    pub(crate) fn is_malformed(&self) -> bool {
        self.partial == Some(Partial::Malformed)
    }

    /// Nothing is missing of the request, and it names a host.
    pub(crate) fn names_host(&self) -> bool {
        let names = |request: &Request| request.head.fields.get("host").is_some();
        self.requested && self.partial.is_none() && self.request.as_ref().is_some_and(names)
    }

    /// These bytes begin as this request does.
    pub(crate) fn is_repeated_by(&self, bytes: &[u8]) -> bool {
        self.request.as_ref().is_some_and(|request| {
            let rest = bytes.strip_prefix(request.head.method());
            let target = rest.and_then(|rest| rest.strip_prefix(b" "));
            target.is_some_and(|target| target.starts_with(request.head.target()))
        })
    }

    /// Something is missing. The first reason stays.
    pub(crate) fn mark(&mut self, reason: Partial) {
        self.partial.get_or_insert(reason);
    }

    /// The request's body, as far as it goes.
    pub(crate) fn request_body(&mut self, body: Body, now: Nanos) {
        if let Some(request) = &mut self.request {
            request.body = body;
            request.ended = now;
        }
    }

    /// The head of the final response.
    pub(crate) fn response_head(&mut self, head: ResponseHead, anomalies: Anomalies, now: Nanos) {
        let began = match self.progress {
            Progress::Began(began) => began,
            Progress::Awaited | Progress::Body | Progress::Done => now,
        };
        self.progress = Progress::Body;
        if !self.is_emitted() {
            self.response = Some(Response {
                began,
                ended: now,
                head,
                body: Body::default(),
                anomalies: anomalies.with(self.response_anomalies),
            });
        }
    }

    /// The response's body, as far as it goes.
    pub(crate) fn response_body(&mut self, body: Body, now: Nanos) {
        if let Some(response) = &mut self.response {
            response.body = body;
            response.ended = now;
        }
    }

    /// Emits it, unless it was emitted early. `upgrade`: the connection speaks something else from
    /// here on.
    pub(crate) fn emit(&mut self, upgrade: bool, now: Nanos, emitter: &mut Emitter<'_>) {
        let Some(request) = self.request.take() else {
            return;
        };
        if emitter.folded {
            emitter.ledger.drop_with(Dropped::Folded);
            return;
        }
        emitter.ledger.emit(self.partial);
        emitter.exchanges.push(Exchange {
            peers: Arc::clone(emitter.peers),
            stream: None,
            offset: self.offset,
            request,
            interim: std::mem::take(&mut self.interim),
            response: self.response.take(),
            upgrade,
            reset: None,
            ended: now,
            partial: self.partial,
        });
    }

    /// Drops it, unless it was emitted early.
    pub(crate) fn drop_with(&mut self, reason: Dropped, emitter: &mut Emitter<'_>) {
        if self.request.take().is_some() {
            self.response = None;
            emitter.ledger.drop_with(match emitter.folded {
                true => Dropped::Folded,
                false => reason,
            });
        }
    }
}
