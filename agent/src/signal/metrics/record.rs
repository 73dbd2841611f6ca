//! From an exchange to its series.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::adjusted::{Adjusted, AdjustedKey, AdjustedRef};
use super::config::MetricsSection;
use super::families::Snapshot;
use super::histogram::{BUCKETS, Exemplar, Exemplars, Histogram, Unit};
use super::host::Hosts;
use super::labels::{
    self, EndLabels, Key, KeyRef, Outcome, Protocol, Security, ServiceLabels, unknown_end,
};
use super::table::{Labelled as _, Table};
use crate::clock::nanos;
use crate::exchange::{Exchange, Partial};
use crate::flow::{Nanos, Side};
use crate::http::{Body, Fields};

/// The HTTP metrics of one label set.
#[derive(Clone, Debug, Default)]
pub(super) struct Http {
    pub(super) requests: u64,
    pub(super) duration: Histogram,
    pub(super) request_bytes: Histogram,
    pub(super) response_bytes: Histogram,
    /// Of gRPC calls.
    pub(super) messages: Option<Messages>,
    /// Of durations.
    pub(super) exemplars: Option<Box<Exemplars>>,
}

/// Messages within calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    pub(super) request: u64,
    pub(super) response: u64,
}

/// The TCP metrics of one label set.
#[derive(Clone, Debug, Default)]
pub(super) struct Tcp {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) opened: u64,
    pub(super) closed: u64,
}

/// What is known of whose exchange or connection it is.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Which end reports.
    pub side: Side,
    /// The end that sends requests.
    pub source: Option<&'a Arc<EndLabels>>,
    /// The end that responds.
    pub destination: Option<&'a Arc<EndLabels>>,
    /// The service that the client has connected to.
    pub service: Option<&'a Arc<ServiceLabels>>,
    /// How the connection is protected.
    pub security: Security,
}

/// What a connection adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Bytes that the server has sent.
    pub sent: u64,
    /// Bytes that it has received.
    pub received: u64,
    /// It was opened.
    pub opened: bool,
    /// It was closed.
    pub closed: bool,
}

#[derive(Debug)]
struct State {
    http: Table<Key, Http>,
    tcp: Table<Key, Tcp>,
    /// Series whose labels were changed by rules.
    adjusted_http: Table<AdjustedKey, Http>,
    adjusted_tcp: Table<AdjustedKey, Tcp>,
    hosts: Hosts,
}

/// What the metrics themselves use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Series of each HTTP metric.
    pub http: usize,
    /// Series of each TCP metric.
    pub tcp: usize,
    /// Exchanges that went into the overflow series.
    pub http_overflow: u64,
    /// Events of connections that did.
    pub tcp_overflow: u64,
    /// Hosts that are a destination service.
    pub hosts: usize,
    /// Exchanges whose host found no room.
    pub host_overflow: u64,
}

/// The metrics of all workers. One lock, held for some hundred nanoseconds for each exchange.
#[derive(Debug)]
pub struct Metrics {
    state: Mutex<State>,
    host_fallback: bool,
}

impl Metrics {
    /// By a configuration; `None` when it has them switched off.
    #[must_use]
    pub fn new(section: &MetricsSection) -> Option<Self> {
        let (limit, idle) = (section.series.get(), nanos(section.idle.0));
        section.enabled.then(|| Self {
            state: Mutex::new(State {
                http: Table::new(limit, idle, labels::overflow(Protocol::Http)),
                tcp: Table::new(limit, idle, labels::overflow(Protocol::Tcp)),
                adjusted_http: Table::new(limit, idle, labels::overflow(Protocol::Http)),
                adjusted_tcp: Table::new(limit, idle, labels::overflow(Protocol::Tcp)),
                hosts: Hosts::new(section.hosts.get()),
            }),
            host_fallback: section.host_fallback,
        })
    }

    /// Every change is whole: a thread that panicked left nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an exchange that is in scope. `exemplar`: its span, where there will be one.
    pub fn exchange(
        &self,
        exchange: &Exchange,
        subject: &Subject<'_>,
        route: Option<&Arc<str>>,
        exemplar: Option<Exemplar>,
    ) {
        self.adjusted_exchange(exchange, subject, route, exemplar, None);
    }

    /// The same, with labels changed by rules: a metric that is in none of `adjusted` is not
    /// counted.
    pub fn adjusted_exchange(
        &self,
        exchange: &Exchange,
        subject: &Subject<'_>,
        route: Option<&Arc<str>>,
        exemplar: Option<Exemplar>,
        adjusted: Option<&[Adjusted]>,
    ) {
        let protocol = protocol(exchange);
        let host = exchange.request.head.host();
        let host = host.filter(|_| self.host_fallback && subject.service.is_none());
        let mut state = self.lock();
        let State {
            http,
            adjusted_http,
            hosts,
            ..
        } = &mut *state;
        let destination = subject.destination.unwrap_or(unknown_end());
        let named = host.and_then(|host| hosts.service(host, &destination.value().namespace));
        let service = subject.service.or(named);
        let key = KeyRef {
            side: subject.side,
            source: subject.source.unwrap_or(unknown_end()),
            destination,
            service: service.unwrap_or(destination.service()),
            protocol,
            outcome: Some(outcome(exchange, protocol)),
            security: subject.security,
            route,
        };
        let is_call = protocol == Protocol::Grpc;
        each(
            http,
            adjusted_http,
            &key,
            adjusted,
            exchange.ended,
            |http| {
                http.add(exchange, is_call, exemplar);
            },
        );
    }

    /// Counts what a connection has done, at `now`, with labels changed by rules, if any.
    pub fn connection(
        &self,
        connection: &Connection,
        subject: &Subject<'_>,
        adjusted: Option<&[Adjusted]>,
        now: Nanos,
    ) {
        let destination = subject.destination.unwrap_or(unknown_end());
        let key = KeyRef {
            side: subject.side,
            source: subject.source.unwrap_or(unknown_end()),
            destination,
            service: subject.service.unwrap_or(destination.service()),
            protocol: Protocol::Tcp,
            outcome: None,
            security: subject.security,
            route: None,
        };
        let mut state = self.lock();
        let State {
            tcp, adjusted_tcp, ..
        } = &mut *state;
        each(tcp, adjusted_tcp, &key, adjusted, now, |tcp| {
            tcp.sent += connection.sent;
            tcp.received += connection.received;
            tcp.opened += u64::from(connection.opened);
            tcp.closed += u64::from(connection.closed);
        });
    }

    /// What there is at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Nanos) -> Snapshot {
        let mut state = self.lock();
        state.http.expire(now);
        state.tcp.expire(now);
        state.adjusted_http.expire(now);
        state.adjusted_tcp.expire(now);
        let mut snapshot = Snapshot {
            http: state.http.snapshot(),
            tcp: state.tcp.snapshot(),
        };
        snapshot.http.extend(state.adjusted_http.snapshot());
        snapshot.tcp.extend(state.adjusted_tcp.snapshot());
        snapshot
    }

    /// What the metrics themselves use.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let state = self.lock();
        Totals {
            http: state.http.len() + state.adjusted_http.len(),
            tcp: state.tcp.len() + state.adjusted_tcp.len(),
            http_overflow: state.http.overflowed() + state.adjusted_http.overflowed(),
            tcp_overflow: state.tcp.overflowed() + state.adjusted_tcp.overflowed(),
            hosts: state.hosts.len(),
            host_overflow: state.hosts.overflowed(),
        }
    }
}

/// Adds to the series of a key, or to those that rules make of it.
fn each<V: Clone + Default>(
    plain: &mut Table<Key, V>,
    changed: &mut Table<AdjustedKey, V>,
    key: &KeyRef<'_>,
    adjusted: Option<&[Adjusted]>,
    now: Nanos,
    mut add: impl FnMut(&mut V),
) {
    let Some(adjusted) = adjusted else {
        return add(plain.value(key, now));
    };
    let labels = key.text();
    for group in adjusted {
        let labels = group.text(&labels);
        let key = AdjustedRef {
            families: group.families,
            labels: &labels,
        };
        add(changed.value(&key, now));
    }
}

impl Http {
    fn add(&mut self, exchange: &Exchange, is_call: bool, exemplar: Option<Exemplar>) {
        self.requests += 1;
        let duration = exchange.duration();
        let bucket = self.duration.add(Unit::Milliseconds, duration);
        let response = exchange.response.as_ref();
        let size = response.map_or(0, |response| response.body.size);
        self.request_bytes
            .add(Unit::Bytes, exchange.request.body.size);
        self.response_bytes.add(Unit::Bytes, size);
        if is_call {
            let count = |body: &Body| body.messages.map_or(0, |messages| messages.count);
            let messages = self.messages.get_or_insert_default();
            messages.request += count(&exchange.request.body);
            messages.response += response.map_or(0, |response| count(&response.body));
        }
        if let Some(exemplar) = exemplar {
            let kept = (self.exemplars).get_or_insert_with(|| Box::new([None; BUCKETS]));
            if let Some(slot) = kept.get_mut(bucket) {
                *slot = Some((exemplar, duration));
            }
        }
    }
}

/// `http` or `grpc`, as the request's content type says (gRPC over HTTP/2, "Requests").
fn protocol(exchange: &Exchange) -> Protocol {
    let kind = exchange.request.head.fields.get("content-type");
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    match rest {
        Some([] | [b'+' | b';' | b' ', ..]) => Protocol::Grpc,
        _ => Protocol::Http,
    }
}

fn outcome(exchange: &Exchange, protocol: Protocol) -> Outcome {
    let response = exchange.response.as_ref();
    let is_grpc = protocol == Protocol::Grpc;
    let grpc_status = response.filter(|_| is_grpc).and_then(|response| {
        // A response without messages has it among its header fields ("Trailers-Only").
        let trailers = response.body.trailers.as_deref();
        trailers
            .and_then(grpc_status)
            .or_else(|| grpc_status(&response.head.fields))
    });
    Outcome {
        code: response.map_or(0, |response| response.head.status),
        grpc_status,
        flags: flags(exchange),
    }
}

/// Numbers of at most two digits: codes end at 16, and a peer may claim anything.
fn grpc_status(fields: &Fields) -> Option<u8> {
    let value = fields.get("grpc-status").filter(|value| value.len() <= 2)?;
    str::from_utf8(value).ok()?.parse().ok()
}

/// Envoy's response flags, as far as a socket shows them: `DC` where the connection or the stream
/// ended first, whoever ended it.
fn flags(exchange: &Exchange) -> &'static str {
    let is_cut = match exchange.partial {
        Some(Partial::NoResponse | Partial::RequestCut | Partial::ResponseCut) => true,
        None
        | Some(
            Partial::Gap
            | Partial::OneSided
            | Partial::GapInHead
            | Partial::MaxAge
            | Partial::Shutdown
            | Partial::Evicted
            | Partial::SizeUnknown
            | Partial::Malformed
            | Partial::HeadTooLarge
            | Partial::Unpaired
            | Partial::Hpack,
        ) => false,
    };
    match is_cut || exchange.reset.is_some() {
        true => "DC",
        false => "-",
    }
}
