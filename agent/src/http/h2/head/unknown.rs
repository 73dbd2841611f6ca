//! What of a head is unknown.

use super::{HeadBuilder, Pseudo};
use crate::http::{Slice, Unknown};

/// Fields that were not read.
#[derive(Debug, Default)]
pub(super) struct Nameless {
    /// Before the first other field whose name is known: they may be pseudo-fields, which go before
    /// all others (§8.3).
    pub(super) before: usize,
    pub(super) after: usize,
    /// There was such a field.
    pub(super) fields: bool,
    /// More may follow.
    pub(super) unread: bool,
}

impl Nameless {
    pub(super) const fn is_empty(&self) -> bool {
        self.before == 0 && self.after == 0 && !self.unread
    }

    pub(super) const fn add(&mut self) {
        match self.fields {
            true => self.after += 1,
            false => self.before += 1,
        }
    }

    /// Most of them that are pseudo-fields.
    pub(super) const fn pseudo(&self) -> usize {
        match self.unread && !self.fields {
            true => usize::MAX,
            false => self.before,
        }
    }

    /// There are more than so many pseudo-fields.
    pub(super) const fn exceed(&self, pseudo: usize) -> bool {
        self.after > 0 || self.unread || self.before > pseudo
    }
}

impl HeadBuilder {
    /// Which parts of a request may be among what is unknown: what all requests have that may be of
    /// this kind, and the authority, which some have, where there is room for it.
    pub(super) fn unknown_of_request(&self) -> Unknown {
        if self.nameless.is_empty() {
            return Unknown::default();
        } else if self.is_trailers() {
            // It may be a trailer section, and what the head said was not seen.
            return Unknown::HEAD;
        }
        let Pseudo {
            method,
            scheme,
            authority,
            path,
            protocol,
            ..
        } = &self.pseudo;
        let is_connect = self.is_connect();
        let is_extended = protocol.is_some() || scheme.is_some() || path.is_some();
        let absent = |part: &Option<Slice>, name| match part {
            Some(_) => (0, Unknown::default()),
            None => (1, name),
        };
        let all = |parts: [(usize, Unknown); 3]| {
            let [(a, x), (b, y), (c, z)] = parts;
            (a + b + c, x.with(y).with(z))
        };
        let method = absent(method, Unknown::METHOD);
        let (scheme, path) = (absent(scheme, Unknown::SCHEME), absent(path, Unknown::PATH));
        let authority = absent(authority, Unknown::AUTHORITY);
        let mut kinds = Vec::with_capacity(2);
        // §8.5: a tunnel has neither scheme nor path.
        if !is_extended && is_connect != Some(false) {
            kinds.push(all([method, authority, (0, Unknown::default())]));
        }
        if is_extended || is_connect != Some(true) {
            kinds.push(all([method, scheme, path]));
        }
        let most = self.nameless.pseudo();
        let least = kinds.iter().map(|(count, _)| *count).min().unwrap_or(0);
        let mut unknown = Unknown::default();
        for (count, parts) in kinds {
            // None fits a request that is malformed: then the one that is next to it.
            if most > 0 && count <= most.max(least) {
                unknown = unknown.with(parts);
                // Where there is a `host`, it says the same (§8.3.1).
                if count < most && !self.has_host() {
                    unknown = unknown.with(authority.1);
                }
            }
        }
        match self.nameless.exceed(least) {
            true => unknown.with(Unknown::FIELDS),
            false => unknown,
        }
    }

    pub(super) fn unknown_of_response(&self) -> Unknown {
        let absent = usize::from(self.pseudo.status.is_none());
        let unknown = match absent > 0 && self.nameless.pseudo() > 0 {
            true => Unknown::STATUS,
            false => Unknown::default(),
        };
        match self.nameless.exceed(absent) {
            true => unknown.with(Unknown::FIELDS),
            false => unknown,
        }
    }
}
