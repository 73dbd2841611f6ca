//! The filter language of views: the words of `tap`'s flags, and some more.
//!
//! ```text
//! method:GET,POST status:5xx path:/api/* -host:*.internal header:content-type=*json* timeout
//! ```
//!
//! Kinds narrow each other; values of one kind widen it, as flags do. A `-` before a term excludes
//! what matches it. A word without a colon is searched for in method, host, target, processes and
//! addresses, without case; what has a space or a colon of its own stands in quotes.

mod parse;
mod term;

use std::str::FromStr;

use super::shown::Shown;
use term::Term;

/// What each kind of term is, with an example, for a help.
pub const HELP: &[(&str, &str)] = &[
    ("method:GET,POST", "the request's method"),
    (
        "status:5xx",
        "200, 4xx, 400-499, or none: without a response",
    ),
    ("path:/api", "begins with it; as a whole with a *: */items"),
    ("host:*.example", "the host that was asked for"),
    ("port:8080", "a port of either end"),
    ("pid:4321", "a process at either end"),
    ("process:ng*", "its name"),
    ("side:client", "the recorded socket: server or client"),
    ("proto:http/2", "http/1.1, http/2, grpc, ..."),
    ("header:x-id=a*", "a field of either message, and its value"),
    ("body:text", "text in either body"),
    ("took:>100ms", "its duration; likewise <"),
    ("is:failed", "failed, tls, partial, anomaly, upgrade, call"),
    (
        "checkout",
        "text in method, host, target, process or address",
    ),
    ("-status:200", "not this"),
];

/// A filter. The empty one lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Each is a kind; one of its terms must match.
    any: Vec<Vec<Term>>,
    /// None of these may.
    none: Vec<Term>,
}

impl FromStr for Query {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        let mut kinds: Vec<&'static str> = Vec::new();
        for word in parse::words(text)? {
            let (kind, terms) = term::parse(&word)?;
            if word.negated {
                query.none.extend(terms);
                continue;
            }
            // Every text that is searched for narrows.
            let at = kinds.iter().position(|known| *known == kind);
            match at.filter(|_| !term::NARROWING.contains(&kind)) {
                Some(at) => {
                    if let Some(any) = query.any.get_mut(at) {
                        any.extend(terms);
                    }
                }
                None => {
                    kinds.push(kind);
                    query.any.push(terms);
                }
            }
        }
        Ok(query)
    }
}

impl Query {
    /// Of a text that is still typed: a last word that may become the kind of a term is not
    /// searched for yet.
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn typed(text: &str) -> Result<Self, String> {
        let start = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = text.get(start..).unwrap_or_default();
        let word = word.strip_prefix('-').unwrap_or(word);
        let is_unfinished = term::KINDS.iter().any(|kind| {
            kind.starts_with(word) || word.strip_suffix(':').is_some_and(|word| word == *kind)
        });
        match is_unfinished {
            true => text.get(..start).unwrap_or_default().parse(),
            false => text.parse(),
        }
    }

    /// Everything passes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Whether an exchange passes.
    #[must_use]
    pub fn matches(&self, shown: &Shown) -> bool {
        (self.any.iter()).all(|terms| terms.iter().any(|term| term.matches(shown)))
            && !self.none.iter().any(|term| term.matches(shown))
    }
}

#[cfg(test)]
mod tests;
