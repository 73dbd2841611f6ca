//! Lists of names and values.

use serde::{Serialize, Serializer};

use super::text::{Pair, Text};
use crate::http::Fields;
use crate::http::percent::decode_percent;

/// Header fields, in the order of the wire.
pub(super) struct Headers<'a>(pub(super) Option<&'a Fields>);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flat_map(|fields| fields.iter()).map(
            |(name, value)| Pair {
                name: Text(name),
                value: Text(value),
            },
        ))
    }
}

/// `name=value&…` of a query or a form, decoded.
pub(super) struct Encoded<'a>(pub(super) &'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.0.split(|&b| b == b'&').filter(|part| !part.is_empty());
        serializer.collect_seq(parts.map(|part| {
            let (name, value) = split_pair(part);
            Pair {
                name: Owned(decode_percent(name)),
                value: Owned(decode_percent(value)),
            }
        }))
    }
}

/// As [`Text`], of bytes that are made here.
pub(super) struct Owned<B>(pub(super) B);

impl<B: AsRef<[u8]>> Serialize for Owned<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text(self.0.as_ref()).serialize(serializer)
    }
}

/// What is before the first `=`, and what is behind it.
pub(super) fn split_pair(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&b| b == b'=') {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            text.get(at + 1..).unwrap_or_default(),
        ),
        None => (text, b""),
    }
}
