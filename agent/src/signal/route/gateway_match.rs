//! What a match of the Gateway API asks of a request.

use regex::Regex;

use crate::http::Fields;
use crate::http::target::without_port;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Where names of services are completed: the destination's namespace.
    pub(super) namespace: &'a str,
    pub(super) host: &'a [u8],
    pub(super) method: &'a [u8],
    pub(super) path: &'a str,
    pub(super) query: Option<&'a [u8]>,
    pub(super) fields: &'a Fields,
}

/// Hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostMatch {
    Any,
    Exact(Box<str>),
    /// `*.example.com`: one label or more before this, which begins with a dot.
    Suffix(Box<str>),
    /// Services, by name and namespace.
    Services(Vec<(Box<str>, Box<str>)>),
}

impl HostMatch {
    pub(super) fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix('*') {
            Some(suffix) => Self::Suffix(suffix.into()),
            None => Self::Exact(name.into()),
        }
    }

    pub(super) fn holds(&self, request: &Request<'_>) -> bool {
        let Ok(host) = str::from_utf8(without_port(request.host)) else {
            return false;
        };
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        match self {
            Self::Any => true,
            Self::Exact(name) => is(name),
            Self::Suffix(suffix) => {
                let start = host
                    .len()
                    .checked_sub(suffix.len())
                    .filter(|start| *start > 0);
                start
                    .and_then(|start| host.get(start..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            Self::Services(services) => services.iter().any(|(name, namespace)| {
                let mut parts = host.splitn(3, '.');
                let is_name = parts
                    .next()
                    .is_some_and(|part| part.eq_ignore_ascii_case(name));
                let space = parts.next().unwrap_or(request.namespace);
                let rest = parts.next();
                is_name
                    && space.eq_ignore_ascii_case(namespace)
                    && rest.is_none_or(|rest| rest == "svc" || rest.starts_with("svc."))
            }),
        }
    }

    /// More goes before less.
    pub(super) fn weight(&self) -> (u8, usize) {
        match self {
            Self::Exact(name) => (3, name.len()),
            Self::Suffix(suffix) => (2, suffix.len()),
            Self::Services(_) => (1, 0),
            Self::Any => (0, 0),
        }
    }
}

/// Paths.
#[derive(Clone, Debug)]
pub(super) enum PathMatch {
    Exact(Box<str>),
    /// Whole parts: without the slash at its end.
    Prefix(Box<str>),
    Regex(Regex),
}

impl PathMatch {
    pub(super) fn prefix(text: &str) -> Self {
        Self::Prefix(text.trim_end_matches('/').into())
    }

    pub(super) fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == &**text,
            Self::Prefix(text) => {
                let rest = path.strip_prefix(&**text);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// More goes before less.
    pub(super) fn weight(&self) -> (u8, usize) {
        match self {
            Self::Exact(text) => (2, text.len()),
            Self::Prefix(text) => (1, text.len()),
            Self::Regex(_) => (0, 0),
        }
    }
}

/// A field of the head, or a parameter of the query.
#[derive(Clone, Debug)]
pub(super) struct Field {
    name: Box<str>,
    value: FieldValue,
}

#[derive(Clone, Debug)]
enum FieldValue {
    Exact(Box<str>),
    Regex(Regex),
}

impl Field {
    pub(super) fn exact(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            value: FieldValue::Exact(value.into()),
        }
    }

    pub(super) fn regex(name: &str, regex: Regex) -> Self {
        Self {
            name: name.into(),
            value: FieldValue::Regex(regex),
        }
    }

    pub(super) fn is_in(&self, fields: &Fields) -> bool {
        let name = self.name.to_ascii_lowercase();
        fields.get(&name).is_some_and(|value| self.is(value))
    }

    /// The first parameter of the name counts.
    pub(super) fn is_in_query(&self, query: Option<&[u8]>) -> bool {
        let mut pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
        let value = pairs.find_map(|pair| {
            let rest = pair.strip_prefix(self.name.as_bytes())?;
            rest.strip_prefix(b"=").or(rest.is_empty().then_some(b""))
        });
        value.is_some_and(|value| self.is(value))
    }

    fn is(&self, value: &[u8]) -> bool {
        let Ok(value) = str::from_utf8(value) else {
            return false;
        };
        match &self.value {
            FieldValue::Exact(text) => value == &**text,
            FieldValue::Regex(regex) => regex.is_match(value),
        }
    }
}
