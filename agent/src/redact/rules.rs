//! A configuration, compiled, and what it does to the fields of a head.

use super::body;
use super::digest::Digest;
use super::document::{Room, Search};
use super::edit::Edits;
use super::effort::Effort;
use super::fields::{Known, KnownFields, Look, Table};
use super::head::HeadEdits;
use super::lines::{Clean, Found, Line, Lines};
use super::names::Names;
use super::sieve::Sieve;
use super::{Config, Mode, RedactError, Rule};
use crate::http::Fields;
use crate::policy::Choice;

/// Reused from exchange to exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    pub(super) found: Edits,
    pub(super) head: HeadEdits,
    pub(super) room: Room,
    /// What the rules say of fields that come again.
    lines: Lines,
}

/// What is allowed and what is searched for.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) table: Table,
    pub(super) search: Search,
    pub(super) bodies: body::Rules,
    pub(super) mode: Mode,
    pub(super) digest: Digest,
}

impl Rules {
    pub(super) fn new(config: &Config, digest: Digest) -> Result<Self, RedactError> {
        let names = Names::new(&config.names)?;
        Ok(Self {
            table: Table::new(config, &names),
            bodies: body::Rules {
                wanted: Choice::globs(&config.bodies),
                decoded_limit: config.max_decoded_bytes,
                uninspected: config.uninspected,
                inspect: config.mode != Mode::Off,
            },
            search: Search {
                sieve: Sieve::new(&names),
                names,
                patterns: config.patterns.clone(),
            },
            mode: config.mode,
            digest,
        })
    }

    /// Drops the fields that are not kept; notes what is known of all, and what is to be hidden in
    /// those that stay.
    pub(super) fn look(&self, fields: &mut Fields, scratch: &mut Scratch) -> KnownFields {
        let mut known = KnownFields::over(fields.buffer());
        let (inspects, mut kept) = (self.mode != Mode::Off, 0);
        fields.retain(|field| {
            let line = Line::new(field.line(), field.lens());
            let hash = match inspects.then(|| scratch.lines.find(&line)) {
                Some(Found::Clean(clean)) => {
                    kept += 1;
                    if let Some(is) = clean.known {
                        known.note(is, field.value);
                    }
                    return true;
                }
                Some(Found::Unknown(hash)) => Some(hash),
                None => None,
            };
            let (look, is) = self.field(field.parts(), scratch);
            let found = scratch.found.as_slice();
            // Nobody reads a value as it came in which a secret was found by its form.
            let is_hidden = look.searches() && !found.is_empty() && self.mode == Mode::On;
            if let Some(is) = is
                && !is_hidden
            {
                known.note(is, field.value);
            }
            if look == Look::Drop {
                return false;
            }
            let edits = found.iter().map(|edit| (kept, edit.clone()));
            scratch.head.fields.extend(edits);
            if let Some(hash) = hash
                && found.is_empty()
            {
                scratch.lines.note(&line, hash, Clean { known: is });
            }
            kept += 1;
            true
        });
        known
    }

    /// What is to be done with a field; finds what is to be hidden in it.
    fn field(
        &self,
        (name, value): (&[u8], &[u8]),
        Scratch { found, room, .. }: &mut Scratch,
    ) -> (Look, Option<Known>) {
        found.clear();
        let seen = self.table.look((name, value), self.search.tools(), found);
        let (look, _) = seen;
        if look.searches() {
            let mut effort = Effort::for_len(value.len());
            self.search.field(look, value, room, &mut effort, found);
            if effort.is_spent() {
                found.clear();
                found.push_plain(value, 0..value.len(), Rule::Effort);
            }
        }
        seen
    }
}
