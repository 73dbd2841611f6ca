//! What of a sampled exchange may leave the node. The only maker of [`Sanitized`]. Pure.
//!
//! ```text
//! Sampled ─► fields (allowed or not, secrets) ─► target ─► bodies (wanted or not, content coding, secrets) ─► Sanitized
//! ```
//!
//! Redaction is on unless it is turned off. It hides credentials in header fields, and the values of fields with secret names
//! in queries, forms, multipart parts, JSON, XML and HTML, also where such text was cut, and passwords in URLs. It works on decoded
//! bodies. **A body that could not be decoded cannot be inspected and is omitted** (counted, and said in the span); with redaction
//! off, or `uninspected: keep`, it stays as it came. What it does not know: secrets under other names, in paths, in plain text, in
//! XML within JSON, and in binary encodings such as protobuf; for those there are the rules on paths and on media types.

mod body;
mod config;
mod counts;
mod credentials;
mod defaults;
mod digest;
mod edit;
mod escape;
mod fields;
mod gate;
mod head;
mod json;
mod multipart;
mod names;
mod pattern;
mod query;
mod sanitized;
mod secret;
mod xml;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod properties;

use bytes::Bytes;
use thiserror::Error;

pub use config::{Config, Mode, Pattern, Uninspected};
pub use counts::{Counts, Rule};
pub use defaults::{HEADERS, NAMES};
#[cfg_attr(
    not(feature = "agent"),
    expect(unused_imports, reason = "what spans are made of")
)]
pub(crate) use fields::Known;
pub use gate::{Gate, GateError};
pub use sanitized::{Content, Omitted, Sanitized};
pub use secret::Secret;

use crate::clock::WallClock;
use crate::exchange::Request;
use crate::http::{Body, Fields};
use crate::policy::{Choice, Sampled, random};
use digest::Digest;
use edit::Edits;
use fields::{KnownFields, Table};
use head::HeadEdits;
use names::Names;
use sanitized::Message;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum RedactError {
    /// A name pattern that would match nearly everything.
    #[error("redaction name `{0}` needs at least two letters or digits")]
    Name(String),
    /// A hash key that could be guessed.
    #[error("redaction.key needs at least {KEY} bytes")]
    Key,
    /// See [`random`].
    #[error("the kernel gives no random numbers for a hash key")]
    Random,
}

impl From<random::NoRandom> for RedactError {
    fn from(_: random::NoRandom) -> Self {
        Self::Random
    }
}

/// Shortest hash key: whoever guesses it can test guesses of secrets, and 16 bytes of random text are beyond that.
const KEY: usize = 16;

/// The redactor of one worker. A clone shares the hash key, and has counts of its own.
#[derive(Debug)]
pub struct Redactor {
    rules: Rules,
    counts: Counts,
    bodies: Bodies,
    /// Reused from exchange to exchange.
    scratch: Scratch,
}

/// Whether bodies may leave at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// As the configuration says.
    Kept,
    /// None: the agent is over its budget.
    Omitted,
}

#[derive(Clone, Debug)]
struct Rules {
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

impl Clone for Redactor {
    fn clone(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            counts: Counts::default(),
            bodies: Bodies::Kept,
            scratch: Scratch::default(),
        }
    }
}

impl Redactor {
    /// A redactor.
    ///
    /// # Errors
    /// When a setting cannot be understood, or the kernel gives no random numbers for a key.
    pub fn new(config: &Config) -> Result<Self, RedactError> {
        let digest = Digest::new(key(config)?)?;
        Ok(Self {
            rules: Rules::new(config, digest)?,
            counts: Counts::default(),
            bodies: Bodies::Kept,
            scratch: Scratch::default(),
        })
    }

    /// Takes another configuration; counts go on, and so does a random hash key.
    ///
    /// # Errors
    /// When a setting cannot be understood. The redactor then stays as it was.
    pub fn reload(&mut self, config: &Config) -> Result<(), RedactError> {
        let digest = match key(config)? {
            Some(key) => Digest::new(Some(key))?,
            None => self.rules.digest.clone(),
        };
        self.rules = Rules::new(config, digest)?;
        Ok(())
    }

    /// Omits all bodies while the agent is over its budget.
    pub const fn set_bodies(&mut self, bodies: Bodies) {
        self.bodies = bodies;
    }

    /// Totals since the redactor started.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Makes an exchange fit to leave.
    pub fn redact(&mut self, sampled: Sampled, clock: &WallClock) -> Sanitized {
        let (mut exchange, trace) = sampled.into_parts();
        self.scratch.head.clear();
        let head = &mut exchange.request.head;
        let known = self.rules.look(&mut head.fields, &mut self.scratch);
        self.request_head(&mut exchange.request);
        let content = self.body(&known, &mut exchange.request.body);
        let request = Message { known, content };
        for head in &mut exchange.interim.heads {
            self.fields(&mut head.fields);
        }
        let response = exchange
            .response
            .as_mut()
            .map_or_else(Message::default, |response| {
                let known = self.fields(&mut response.head.fields);
                let content = self.body(&known, &mut response.body);
                Message { known, content }
            });
        let started = clock.unix_nanos(exchange.request.began);
        Sanitized {
            trace,
            started,
            ended: started.saturating_add(exchange.duration()),
            exchange,
            request,
            response,
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

    /// Looks at the fields of a response or of trailers, and hides their secrets.
    fn fields(&mut self, fields: &mut Fields) -> KnownFields {
        let (rules, scratch) = (&self.rules, &mut self.scratch);
        scratch.head.clear();
        let known = rules.look(fields, scratch);
        if !scratch.head.is_empty() {
            scratch.head.count(&mut self.counts);
            if rules.mode == Mode::On {
                *fields = head::rewrite_fields(fields, &scratch.head, &rules.digest);
            }
        }
        known
    }

    fn body(&mut self, known: &KnownFields, body: &mut Body) -> Content {
        if let Some(trailers) = &mut body.trailers {
            self.fields(trailers);
        }
        let rules = &self.rules;
        let mut content = match self.bodies {
            Bodies::Omitted if body.size > 0 => Content::of_omitted(body, Omitted::Overload),
            _ => body::open(&rules.bodies, known, body),
        };
        if let Some(why) = content.omitted {
            self.counts.omit(why);
            if why == Omitted::Uninspected && rules.mode == Mode::DryRun {
                content.omitted = None;
            }
        }
        if content.omitted.is_some() {
            body.bytes = Bytes::new();
        }
        if rules.mode == Mode::Off || body.bytes.is_empty() {
            return content;
        }
        let found = &mut self.scratch.found;
        found.clear();
        body::scan(&rules.bodies, known, &body.bytes, &rules.names, found);
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

fn key(config: &Config) -> Result<Option<&str>, RedactError> {
    let key = config.key.as_ref().map(Secret::reveal);
    if key.is_some_and(|key| key.len() < KEY) {
        return Err(RedactError::Key);
    }
    Ok(key)
}

impl Rules {
    fn new(config: &Config, digest: Digest) -> Result<Self, RedactError> {
        let names = Names::new(&config.names).map_err(RedactError::Name)?;
        Ok(Self {
            table: Table::new(config, &names),
            bodies: body::Rules {
                wanted: Choice::globs(&config.bodies),
                decoded_limit: config.max_decoded_bytes,
                uninspected: config.uninspected,
                patterns: config.patterns.clone(),
                inspect: config.mode != Mode::Off,
            },
            names,
            mode: config.mode,
            digest,
        })
    }

    /// Drops the fields that are not kept; notes what is known of all, and what is to be hidden in those that stay.
    fn look(&self, fields: &mut Fields, scratch: &mut Scratch) -> KnownFields {
        let mut known = KnownFields::over(fields.buffer());
        let Scratch { found, head } = scratch;
        let mut kept = 0;
        fields.retain(|name, value, place| {
            found.clear();
            let keep = self
                .table
                .look(name, value, place, &self.names, &mut known, found);
            if !self.bodies.patterns.is_empty() && self.bodies.inspect {
                let before = found.as_slice().len();
                pattern::scan(value, &self.bodies.patterns, found);
                if found.as_slice().len() > before && self.mode == Mode::On {
                    known.forget(place);
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
        known
    }
}

#[cfg(test)]
mod tests;
