//! A message as every later stage sees it: a head whose parts are slices of one buffer, and a body.

use bytes::Bytes;

use super::Reason;
use super::field::{Field, is_same};
use super::rpc::Messages;

/// A range of a head's buffer. Heads are at most 65 535 bytes ([`crate::engine::Limits::head`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub start: u16,
    /// Number of bytes.
    pub len: u16,
}

impl Slice {
    /// The bytes, in the buffer it points into; empty when it does not.
    #[must_use]
    pub fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.start);
        buffer
            .get(start..start + usize::from(self.len))
            .unwrap_or_default()
    }
}

/// What an allocation of so many bytes takes: allocators keep about two words beside it.
pub(crate) const fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => bytes + 2 * size_of::<usize>(),
    }
}

/// Bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest head.
    pub head: usize,
    /// Body bytes kept.
    pub body: usize,
}

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As in `network.protocol.version`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }

    /// As a start line writes it (RFC 9112 §2.3), which HTTP/2 has none of.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Header or trailer fields in wire order: pairs of slices into one buffer.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    buffer: Bytes,
    spans: Vec<(Slice, Slice)>,
}

impl Fields {
    /// Name and value of each field, as they came (names in their own case, values trimmed).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.spans
            .iter()
            .map(|(name, value)| (name.of(&self.buffer), value.of(&self.buffer)))
    }

    /// The first value of a field; the name is compared without case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        // Nearly every field is refused by the length of its name, or its first letter.
        let len = u16::try_from(name.len()).ok()?;
        let is_named =
            |slice: &Slice| slice.len == len && is_same(slice.of(&self.buffer), name.as_bytes());
        let (_, value) = self.spans.iter().find(|(name, _)| is_named(name))?;
        Some(value.of(&self.buffer))
    }

    /// Every value of a field, in wire order; the name is compared without case.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, v)| v)
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// No field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.spans
            .iter()
            .map(|(name, value)| usize::from(name.len) + usize::from(value.len))
            .sum()
    }

    /// Bytes held, for the memory bound.
    #[must_use]
    pub fn memory(&self) -> usize {
        let spans = self.spans.capacity() * size_of::<(Slice, Slice)>();
        allocated(self.buffer.len()) + allocated(spans)
    }

    pub(crate) const fn buffer(&self) -> &Bytes {
        &self.buffer
    }

    pub(crate) fn slices(&self) -> &[(Slice, Slice)] {
        &self.spans
    }

    /// Keeps the fields for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let buffer = &self.buffer;
        self.spans
            .retain(|(name, value)| keep(Field::new(buffer, *name, *value)));
    }
}

/// Makes [`Fields`] from a buffer and slices of it.
#[derive(Debug)]
pub struct FieldsBuilder(Fields);

impl FieldsBuilder {
    /// Over `buffer`, which later slices point into.
    #[must_use]
    pub fn new(buffer: Bytes, expected: usize) -> Self {
        Self(Fields {
            buffer,
            spans: Vec::with_capacity(expected),
        })
    }

    /// Over `buffer`, with fields that are known already.
    #[must_use]
    pub const fn from_parts(buffer: Bytes, fields: Vec<(Slice, Slice)>) -> Self {
        Self(Fields {
            buffer,
            spans: fields,
        })
    }

    /// Adds one field.
    pub fn push(&mut self, name: Slice, value: Slice) {
        self.0.spans.push((name, value));
    }

    /// The fields.
    #[must_use]
    pub fn build(self) -> Fields {
        self.0
    }
}

/// Parts of a message that may have been there and are unknown: header compression refers to what
/// was sent before the agent came (RFC 7541 §2.3.2), or cannot be decoded. A bit set; empty in
/// HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown(u8);

impl Unknown {
    /// The method.
    pub const METHOD: Self = Self(1);
    /// The path.
    pub const PATH: Self = Self(1 << 1);
    /// The scheme.
    pub const SCHEME: Self = Self(1 << 2);
    /// The authority.
    pub const AUTHORITY: Self = Self(1 << 3);
    /// The status.
    pub const STATUS: Self = Self(1 << 4);
    /// Other fields.
    pub const FIELDS: Self = Self(1 << 5);
    /// Fields of the trailer section.
    pub const TRAILERS: Self = Self(1 << 6);

    /// All that a request's head may say.
    pub(crate) const HEAD: Self = Self::METHOD
        .with(Self::PATH)
        .with(Self::SCHEME)
        .with(Self::AUTHORITY)
        .with(Self::FIELDS);

    const NAMED: [(Self, &'static str); 7] = [
        (Self::METHOD, "method"),
        (Self::PATH, "path"),
        (Self::SCHEME, "scheme"),
        (Self::AUTHORITY, "authority"),
        (Self::STATUS, "status"),
        (Self::FIELDS, "fields"),
        (Self::TRAILERS, "trailers"),
    ];

    /// With those of `other` added.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of `other` are unknown.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Everything is known.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those that are unknown.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let unknown = Self::NAMED.into_iter();
        unknown
            .filter(move |(part, _)| self.contains(*part))
            .map(|(_, name)| name)
    }
}

/// Head of a request. Its parts are slices of the fields' buffer.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(crate) method: Slice,
    pub(crate) target: Slice,
    pub(crate) authority: Option<Slice>,
    pub(crate) scheme: Option<Slice>,
    /// Protocol version.
    pub version: Version,
    /// What of it is unknown.
    pub unknown: Unknown,
    /// Header fields (HTTP/2 pseudo-fields are not among them).
    pub fields: Fields,
}

impl RequestHead {
    /// The method, as it came.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.method.of(self.fields.buffer())
    }

    /// The request target as it came: origin, absolute, authority or asterisk form (RFC 9112 §3.2);
    /// `:path` in HTTP/2.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(self.fields.buffer())
    }

    /// `:authority` in HTTP/2, the authority of an absolute-form or authority-form target, else the
    /// `Host` field.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        match &self.authority {
            Some(slice) => Some(slice.of(self.fields.buffer())),
            None => self.fields.get("host"),
        }
    }

    /// `:scheme` in HTTP/2, the scheme of an absolute-form target.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        self.scheme
            .as_ref()
            .map(|slice| slice.of(self.fields.buffer()))
    }
}

/// Head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Protocol version.
    pub version: Version,
    /// Reason phrase; none in HTTP/2.
    pub reason: Reason,
    /// What of it is unknown.
    pub unknown: Unknown,
    /// Header fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// Bytes held beside the structure itself.
    pub(crate) fn memory(&self) -> usize {
        self.fields.memory() + allocated(self.reason.memory())
    }
}

/// What of a request's method decides how the response ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// HEAD: the response never has a body.
    Head,
    /// CONNECT: after a 2xx the connection is a tunnel.
    Connect,
    /// Any other.
    #[default]
    Other,
}

impl Method {
    /// Of a request.
    #[must_use]
    pub fn of(head: &RequestHead) -> Self {
        match head.method() {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// How the end of a body is marked (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// `Content-Length`.
    Length,
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The connection's end.
    Close,
    /// An HTTP/2 stream's end.
    Stream,
}

/// Body of a message, transfer coding removed, content coding still on.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The first bytes, up to the capture limit or the first missing byte.
    pub bytes: Bytes,
    /// True size: all bytes of the body, captured or not. With `size_exact` unset, a lower bound.
    pub size: u64,
    /// The size is known to the byte.
    pub size_exact: bool,
    /// Bytes of the body that were never seen, within the capture limit or past it.
    pub missing: u64,
    /// Bytes beyond the capture limit were skipped on purpose.
    pub truncated: bool,
    /// How its end is marked.
    pub framing: Framing,
    /// Trailer fields.
    pub trailers: Option<Box<Fields>>,
    /// Its messages, where it has some and they were counted.
    pub messages: Option<Messages>,
}

impl Body {
    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let trailers = self.trailers.as_ref();
        allocated(self.bytes.len())
            + trailers.map_or(0, |fields| allocated(size_of::<Fields>()) + fields.memory())
    }
}
