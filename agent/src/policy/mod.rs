//! What may leave the node: scope, sampling, redaction. The only maker of [`Sanitized`]. Pure.
//!
//! ```text
//! Exchange ─► scope (probe, path, method, host, status) ─► sampling by trace id ─► fields ─► bodies ─► Sanitized
//!                └───────────── Skip, counted ─────────────┘
//! ```
//!
//! Redaction is on unless it is turned off. It hides credentials in header fields, and the values of fields with secret names
//! in queries, forms, multipart parts, JSON, XML and HTML, also where such text was cut, and passwords in URLs. It works on decoded
//! bodies. **A body that could not be decoded cannot be inspected and is left out** (counted, and said in the span); with redaction
//! off, or `uninspected: keep`, it stays as it came. What it does not know: secrets under other names, in paths, in plain text, in
//! XML within JSON, and in binary encodings such as protobuf; for those there are the rules on paths and on media types.

mod body;
mod circumstances;
mod context;
mod counts;
mod credentials;
mod defaults;
mod digest;
mod edit;
mod escape;
mod fields;
mod glob;
mod head;
mod json;
mod multipart;
mod names;
mod pattern;
mod query;
mod random;
mod sanitized;
mod scope;
mod secret;
mod settings;
mod target;
mod xml;

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod sample;

use bytes::Bytes;
use thiserror::Error;

pub use circumstances::Circumstances;
pub use context::{Caller, SpanId, TraceContext, TraceId};
pub use counts::{Counts, Rule, Skip};
pub use defaults::{HEADERS, NAMES};
pub(crate) use escape::decode_percent as percent_decode;
pub(crate) use fields::Known;
pub(crate) use glob::Glob;
pub use sanitized::{Content, Sanitized, Withheld};
pub use secret::Secret;
pub use settings::{Mode, Pattern, Redaction, Select, Settings, Uninspected};
pub use target::{path_and_query, split_port, split_query};

use crate::clock::WallClock;
use crate::exchange::{Exchange, Request};
use crate::http::{Body, Fields};
use digest::Digest;
use edit::Edits;
use fields::{Facts, Table};
use head::HeadEdits;
use names::Names;
use sanitized::Message;
use scope::Scope;

/// Why settings cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PolicyError {
    /// Outside 0 to 1.
    #[error("sampling_ratio {0} is not between 0 and 1")]
    Ratio(f64),
    /// Not a regular expression.
    #[error("path rule: {0}")]
    Path(String),
    /// Not a status or a range of them.
    #[error("status `{0}` is not like 404, 5xx or 500-503")]
    Status(String),
    /// A name pattern that would match nearly everything.
    #[error("redaction name `{0}` needs at least two letters or digits")]
    Name(String),
    /// A hash key that could be guessed.
    #[error("redaction.key needs at least {KEY} bytes")]
    Key,
}

/// Shortest hash key: whoever guesses it can test guesses of secrets, and 16 bytes of random text are beyond that.
const KEY: usize = 16;

/// What became of an exchange.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every decision is to keep, and a box would cost an allocation for each"
)]
pub enum Decision {
    /// It may leave.
    Keep(Sanitized),
    /// It is not wanted; counted.
    Skip(Skip),
}

/// The policy of one worker. A clone shares the hash key, and has counts and random numbers of its own.
#[derive(Debug)]
pub struct Policy {
    rules: Rules,
    counts: Counts,
    random: fastrand::Rng,
    reduced: Reduced,
    /// Reused from exchange to exchange.
    scratch: Scratch,
}

/// What is left out while the agent is over its budget.
#[derive(Clone, Copy, Debug)]
struct Reduced {
    bodies: bool,
    threshold: u64,
}

const NOT_REDUCED: Reduced = Reduced {
    bodies: true,
    threshold: scope::ALL,
};

#[derive(Clone, Debug)]
struct Rules {
    scope: Scope,
    table: Table,
    names: Names,
    bodies: body::Rules,
    mode: Mode,
    digest: Digest,
}

#[derive(Clone, Debug, Default)]
struct Scratch {
    found: Edits,
    head: HeadEdits,
}

impl Clone for Policy {
    fn clone(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            counts: Counts::default(),
            random: fastrand::Rng::with_seed(random::seed()),
            reduced: NOT_REDUCED,
            scratch: Scratch::default(),
        }
    }
}

impl Policy {
    /// A policy.
    ///
    /// # Errors
    /// When a setting cannot be understood.
    pub fn new(settings: &Settings) -> Result<Self, PolicyError> {
        let digest = Digest::new(key(settings)?);
        Ok(Self {
            rules: Rules::new(settings, digest)?,
            counts: Counts::default(),
            random: fastrand::Rng::with_seed(random::seed()),
            reduced: NOT_REDUCED,
            scratch: Scratch::default(),
        })
    }

    /// Takes other settings; counts go on, and so does a random hash key.
    ///
    /// # Errors
    /// When a setting cannot be understood. The policy then stays as it was.
    pub fn reload(&mut self, settings: &Settings) -> Result<(), PolicyError> {
        let digest = match key(settings)? {
            Some(key) => Digest::new(Some(key)),
            None => self.rules.digest.clone(),
        };
        self.rules = Rules::new(settings, digest)?;
        Ok(())
    }

    /// Does less while the agent is over its budget: without bodies, and with a part of the traces (on top of the settings').
    pub fn reduce(&mut self, bodies: bool, sampling_ratio: f64) {
        self.reduced = Reduced {
            bodies,
            threshold: scope::threshold(sampling_ratio),
        };
    }

    /// Totals since the policy began.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Decides on an exchange of which nothing is known but what is in it, and makes it fit to leave.
    pub fn apply(&mut self, exchange: Exchange, clock: &WallClock) -> Decision {
        self.apply_in(exchange, clock, Circumstances::default())
    }

    /// Decides on an exchange, and makes it fit to leave.
    pub fn apply_in(
        &mut self,
        mut exchange: Exchange,
        clock: &WallClock,
        circumstances: Circumstances,
    ) -> Decision {
        if circumstances.out_of_scope {
            return self.skip(Skip::Workload);
        }
        let scope = &self.rules.scope;
        if let Some(reason) = scope.skip(&exchange, circumstances.client_is_pod) {
            return self.skip(reason);
        }
        self.scratch.head.clear();
        let head = &mut exchange.request.head;
        let facts = self.rules.look(&mut head.fields, &mut self.scratch);
        let trace = self.trace(&facts);
        if !self.rules.scope.samples(trace.trace) {
            return self.skip(Skip::Sampling);
        }
        if !scope::samples(self.reduced.threshold, trace.trace) {
            return self.skip(Skip::Overload);
        }
        self.request_head(&mut exchange.request);
        let content = self.body(&facts, &mut exchange.request.body);
        let request = Message { facts, content };
        let response = exchange
            .response
            .as_mut()
            .map_or_else(Message::default, |response| {
                let facts = self.fields(&mut response.head.fields);
                let content = self.body(&facts, &mut response.body);
                Message { facts, content }
            });
        self.counts.kept += 1;
        let began = clock.unix_nanos(exchange.request.began);
        Decision::Keep(Sanitized {
            trace,
            began,
            ended: began.saturating_add(exchange.duration()),
            exchange,
            request,
            response,
        })
    }

    fn skip(&mut self, reason: Skip) -> Decision {
        self.counts.skip(reason);
        Decision::Skip(reason)
    }

    /// The caller's trace, else a new one.
    fn trace(&mut self, facts: &Facts) -> TraceContext {
        let caller = facts
            .once(Known::Traceparent)
            .and_then(context::traceparent)
            .or_else(|| facts.once(Known::B3).and_then(context::b3))
            .or_else(|| {
                let trace = facts.once(Known::B3TraceId)?;
                context::b3_multi(trace, facts.once(Known::B3SpanId)?)
            });
        let span = SpanId(self.random.u64(1..).to_be_bytes());
        match caller {
            Some(caller) => TraceContext {
                trace: caller.trace,
                span,
                parent: Some(caller.span),
                flags: caller.flags,
            },
            None => TraceContext {
                trace: TraceId(self.random.u128(1..).to_be_bytes()),
                span,
                parent: None,
                flags: context::SAMPLED,
            },
        }
    }

    /// Hides what [`Rules::look`] found in the fields, and the target's secrets.
    fn request_head(&mut self, request: &mut Request) {
        let (rules, edits) = (&self.rules, &mut self.scratch.head);
        if rules.mode == Mode::Off {
            return;
        }
        let found = &mut self.scratch.found;
        found.clear();
        let target = request.head.target();
        query::scan_url(target, &rules.names, found);
        if request.head.method() == b"CONNECT" {
            query::scan_host(target, found);
        }
        pattern::scan(target, &rules.bodies.patterns, found);
        found.settle();
        edits.target.extend_from_slice(found.as_slice());
        if edits.is_empty() {
            return;
        }
        edits.count(&mut self.counts);
        if rules.mode == Mode::On {
            request.head = head::rewrite_request(&request.head, edits, &rules.digest);
        }
    }

    /// Looks at the fields of an answer or of trailers, and hides their secrets.
    fn fields(&mut self, fields: &mut Fields) -> Facts {
        let (rules, scratch) = (&self.rules, &mut self.scratch);
        scratch.head.clear();
        let facts = rules.look(fields, scratch);
        if !scratch.head.is_empty() {
            scratch.head.count(&mut self.counts);
            if rules.mode == Mode::On {
                *fields = head::rewrite_fields(fields, &scratch.head, &rules.digest);
            }
        }
        facts
    }

    fn body(&mut self, facts: &Facts, body: &mut Body) -> Content {
        if let Some(trailers) = &mut body.trailers {
            self.fields(trailers);
        }
        let rules = &self.rules;
        let mut content = if self.reduced.bodies || body.size == 0 {
            body::open(&rules.bodies, facts, body)
        } else {
            Content::left_out(body, Withheld::Overload)
        };
        match content.withheld {
            Some(Withheld::Uninspected) => {
                self.counts.bodies_uninspected += 1;
                if rules.mode == Mode::DryRun {
                    content.withheld = None;
                }
            }
            Some(Withheld::Unwanted) => self.counts.bodies_unwanted += 1,
            Some(Withheld::Overload) => self.counts.bodies_overload += 1,
            None => {}
        }
        if content.withheld.is_some() {
            body.bytes = Bytes::new();
        }
        if rules.mode == Mode::Off || body.bytes.is_empty() {
            return content;
        }
        let found = &mut self.scratch.found;
        found.clear();
        body::scan(&rules.bodies, facts, &body.bytes, &rules.names, found);
        if !found.is_empty() {
            found.count(&mut self.counts);
            if rules.mode == Mode::On {
                let mut text = Vec::with_capacity(found.grown(&body.bytes));
                found.apply(&body.bytes, &rules.digest, &mut text);
                body.bytes = Bytes::from(text);
            }
        }
        content
    }
}

fn key(settings: &Settings) -> Result<Option<&str>, PolicyError> {
    let key = settings.redaction.key.as_ref().map(Secret::reveal);
    if key.is_some_and(|key| key.len() < KEY) {
        return Err(PolicyError::Key);
    }
    Ok(key)
}

impl Rules {
    fn new(settings: &Settings, digest: Digest) -> Result<Self, PolicyError> {
        let redaction = &settings.redaction;
        let names = Names::new(&redaction.names).map_err(PolicyError::Name)?;
        let scope = Scope::new(settings)?;
        Ok(Self {
            table: Table::new(settings, &names),
            bodies: body::Rules {
                wanted: scope.bodies.clone(),
                decoded_limit: settings.max_decoded_bytes,
                uninspected: redaction.uninspected,
                patterns: redaction.patterns.clone(),
                inspect: redaction.mode != Mode::Off,
            },
            scope,
            names,
            mode: redaction.mode,
            digest,
        })
    }

    /// Drops the fields that are not kept; notes what is known of all, and what is to be hidden in those that stay.
    fn look(&self, fields: &mut Fields, scratch: &mut Scratch) -> Facts {
        let mut facts = Facts::over(fields.buffer());
        let Scratch { found, head } = scratch;
        let mut kept = 0;
        fields.retain(|name, value, place| {
            found.clear();
            let keep = self
                .table
                .look(name, value, place, &self.names, &mut facts, found);
            if !self.bodies.patterns.is_empty() && self.bodies.inspect {
                let before = found.as_slice().len();
                pattern::scan(value, &self.bodies.patterns, found);
                if found.as_slice().len() > before && self.mode == Mode::On {
                    facts.forget(place);
                }
                found.settle();
            }
            if keep {
                head.fields
                    .extend(found.as_slice().iter().map(|edit| (kept, edit.clone())));
                kept += 1;
            }
            keep
        });
        facts
    }
}

#[cfg(test)]
mod tests;
