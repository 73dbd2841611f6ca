//! A configuration, compiled, and what it does to the fields of a head.

use super::body;
use super::digest::Digest;
use super::document::Search;
use super::effort::Effort;
use super::fields::{KnownFields, Look, Table};
use super::names::Names;
use super::sieve::Sieve;
use super::{Config, Mode, RedactError, Rule, Scratch};
use crate::http::Fields;
use crate::policy::Choice;

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
        let buffer = fields.buffer().clone();
        let mut known = KnownFields::over(&buffer);
        let Scratch { found, head, room } = scratch;
        let inspects = self.mode != Mode::Off;
        if inspects {
            self.search.mark_head(&buffer, room);
        }
        let mut kept = 0;
        fields.retain(|name, value, place| {
            found.clear();
            let tools = self.search.tools();
            let field = (name, value);
            let look = self.table.look(field, place, &mut known, tools, found);
            let keep = look != Look::Drop;
            if inspects && self.search.is_needed(look, value, place, room) {
                let mut effort = Effort::for_len(value.len());
                match look {
                    Look::Search => self.search.value(value, room, &mut effort, found),
                    Look::SearchIssued => self.search.issued(value, room, &mut effort, found),
                    _ => self.search.tokens(value, room, &mut effort, found),
                }
                if effort.is_spent() {
                    found.clear();
                    found.push_plain(value, 0..value.len(), Rule::Header);
                }
                if !found.is_empty() && self.mode == Mode::On {
                    known.forget(place);
                }
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
