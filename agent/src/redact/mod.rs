//! What of a sampled exchange may leave the node. The only maker of [`Sanitized`]. Pure.
//!
//! ```text
//! Sampled ─► fields (allowed or not, secrets) ─► target ─► bodies (wanted or not, content coding, secrets) ─► Sanitized
//! ```
//!
//! Redaction is on unless it is turned off. Secrets are found by their names ([`names`]) in
//! queries, forms, multipart parts, JSON, GraphQL, XML, HTML, YAML, tables and lines of text, also
//! where such text was cut or stands in another; by their place (`Authorization`, cookies,
//! passwords in URLs); and by their form ([`known`]: tokens of well-known issuers, JSON Web Tokens,
//! private keys, payment cards). It works on decoded bodies. **A body that could not be decoded
//! cannot be inspected and is omitted** (counted, and said in the span); with redaction off, or
//! `uninspected: keep`, it stays as it came.
//!
//! The work is linear: one first pass ([`sieve`]) refuses nearly every text, scanners only move
//! forward, and all share an [`effort`] per message. A body that costs more is omitted and counted.
//!
//! What it does not know: secrets under names that say nothing, in paths, in prose, and in binary
//! encodings such as protobuf; for those there are the rules on paths and on media types. In a body
//! that is plainly binary, names are looked for in its runs of text only ([`binary`]).

mod binary;
mod body;
mod config;
mod counts;
mod credentials;
mod csv;
mod decoded;
mod defaults;
mod digest;
mod document;
mod edit;
mod effort;
mod escape;
mod fields;
mod gate;
mod head;
mod json;
mod known;
mod lines;
mod media;
mod members;
mod multipart;
mod names;
mod query;
mod rpc;
mod rules;
mod sanitized;
mod secret;
mod sieve;
mod text;
mod unescape;
mod words;
mod xml;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod doubling;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod repeated;

use bytes::Bytes;
use thiserror::Error;

pub use config::{Config, Mode, Pattern, Uninspected};
pub use counts::{Counts, Rule};
pub use defaults::{HEADERS, NAMES};
pub(crate) use fields::Known;
pub use gate::{Gate, GateError};
pub use rpc::Call;
pub use sanitized::{Content, Omitted, Sanitized};
pub use secret::Secret;

use crate::clock::WallClock;
use crate::exchange::Request;
use crate::http::{Body, Fields, Reason};
use crate::policy::{Sampled, random};
use digest::Digest;
use effort::Effort;
use fields::KnownFields;
use rpc::Enveloped;
use rules::{Rules, Scratch};
use sanitized::Message;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum RedactError {
    /// A name pattern that would match nearly everything.
    #[error("redaction name `{0}` needs at least two letters or digits")]
    Name(String),
    /// So many names that no search can be made of them.
    #[error("redaction names: {0}")]
    Names(String),
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

/// Shortest hash key: whoever guesses it can test guesses of secrets, and 16 bytes of random text
/// are beyond that.
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
        self.scratch = Scratch::default();
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
        // Before fields that are not kept are gone.
        let mut call = Call::of(&exchange, self.rules.bodies.decoded_limit);
        self.call(&mut call);
        let enveloped = Enveloped::of(&exchange.request.head.fields);
        self.scratch.head.clear();
        let head = &mut exchange.request.head;
        let known = self.rules.look(&mut head.fields, &mut self.scratch);
        self.request_head(&mut exchange.request);
        let content = self.body(&known, enveloped.as_ref(), &mut exchange.request.body);
        let request = Message { known, content };
        for head in &mut exchange.interim.heads {
            self.fields(&mut head.fields);
            self.reason(&mut head.reason);
        }
        let response = exchange
            .response
            .as_mut()
            .map_or_else(Message::default, |response| {
                let enveloped = Enveloped::of(&response.head.fields);
                let known = self.fields(&mut response.head.fields);
                self.reason(&mut response.head.reason);
                let content = self.body(&known, enveloped.as_ref(), &mut response.body);
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
            call,
        }
    }

    /// A text made fit to leave, as the body of a message of this media type.
    ///
    /// # Errors
    /// When searching it costs too much. The text must not leave then.
    pub fn redact_text(&mut self, media_type: &[u8], text: &[u8]) -> Result<Vec<u8>, Omitted> {
        let replaced = self.replace(media_type, text)?;
        Ok(replaced.unwrap_or_else(|| text.to_vec()))
    }

    /// A text with its secrets replaced; nothing when it stays as it is.
    fn replace(&mut self, media_type: &[u8], text: &[u8]) -> Result<Option<Vec<u8>>, Omitted> {
        let rules = &self.rules;
        if rules.mode == Mode::Off {
            return Ok(None);
        }
        let Scratch { found, room, .. } = &mut self.scratch;
        found.clear();
        let mut effort = Effort::for_len(text.len());
        let search = &rules.search;
        search.body(media_type, text, room, &mut effort, found);
        if effort.is_spent() {
            self.counts.omit(Omitted::Effort);
            return match rules.mode {
                Mode::On => Err(Omitted::Effort),
                Mode::DryRun | Mode::Off => Ok(None),
            };
        }
        found.count(&mut self.counts);
        if rules.mode != Mode::On || found.is_empty() {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(found.grown(text));
        found.apply(text, &rules.digest, &mut out);
        Ok(Some(out))
    }

    /// Hides what [`Rules::look`] found in the fields, and the target's secrets.
    fn request_head(&mut self, request: &mut Request) {
        let rules = &self.rules;
        let Scratch {
            found,
            head: edits,
            room,
            ..
        } = &mut self.scratch;
        if rules.mode == Mode::Off {
            return;
        }
        found.clear();
        let target = request.head.target();
        let mut effort = Effort::for_len(target.len());
        if request.head.method() == b"CONNECT" {
            query::scan_host(target, found);
        }
        rules.search.target(target, room, &mut effort, found);
        if effort.is_spent() {
            found.clear();
            let query = memchr::memchr(b'?', target).map_or(0, |mark| mark + 1);
            found.push_plain(target, query..target.len(), Rule::Effort);
        }
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

    /// Hides the secrets of a reason phrase that is not the usual one.
    fn reason(&mut self, reason: &mut Reason) {
        let rules = &self.rules;
        let Reason::Other(phrase) = &*reason else {
            return;
        };
        if rules.mode == Mode::Off {
            return;
        }
        let Scratch { found, room, .. } = &mut self.scratch;
        found.clear();
        let mut effort = Effort::for_len(phrase.len());
        rules.search.value(phrase, room, &mut effort, found);
        found.count(&mut self.counts);
        if rules.mode != Mode::On {
            return;
        }
        if effort.is_spent() {
            *reason = Reason::None;
        } else if !found.is_empty() {
            let mut out = Vec::with_capacity(found.grown(phrase));
            found.apply(phrase, &rules.digest, &mut out);
            *reason = Reason::Other(out.into());
        }
    }

    fn body(
        &mut self,
        known: &KnownFields,
        enveloped: Option<&Enveloped>,
        body: &mut Body,
    ) -> Content {
        if let Some(trailers) = &mut body.trailers {
            self.fields(trailers);
        }
        let rules = &self.rules;
        let mut content = match self.bodies {
            Bodies::Omitted if body.size > 0 => Content::of_omitted(body, Omitted::Overload),
            _ => {
                let types = &mut self.scratch.room.media;
                body::open(&rules.bodies, known, enveloped.is_some(), types, body)
            }
        };
        if let Some(why) = content.omitted {
            self.counts.omit(why);
            if why == Omitted::Uninspected && rules.mode == Mode::DryRun {
                content.omitted = None;
            }
        }
        if let Some(enveloped) = enveloped {
            self.envelopes(enveloped, body, &mut content);
        }
        if content.omitted.is_some() {
            body.bytes = Bytes::new();
        }
        if enveloped.is_some() || self.rules.mode == Mode::Off || body.bytes.is_empty() {
            return content;
        }
        let media_type = known.get(Known::ContentType).unwrap_or_default();
        match self.replace(media_type, &body.bytes) {
            Ok(Some(text)) => body.bytes = Bytes::from(text),
            Ok(None) => {}
            Err(reason) => {
                body.bytes = Bytes::new();
                content.omitted = Some(reason);
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

#[cfg(test)]
mod tests;
