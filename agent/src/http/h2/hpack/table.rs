//! The static table (RFC 7541 appendix A) and the dynamic one (§2.3.2), as far as it is known.

use std::collections::VecDeque;

use bytes::Bytes;

/// Names and values by index, from 1 on.
static STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Counted for each entry beside its bytes (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// The size of a table that nothing was said of (RFC 9113 §6.5.2).
pub(super) const DEFAULT_SIZE: usize = 4096;

/// Bytes of entries that are kept where it is not known what the two ends agreed on: sixteen times
/// the default. Entries older than that become unknown.
const UNAGREED: usize = 64 * 1024;

/// Most bytes of entries kept, whatever size the two ends agreed on. What is kept is counted among
/// what the connection holds.
const MOST: usize = 1024 * 1024;

/// A name or a value.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Static(&'static [u8]),
    Owned(Bytes),
}

impl Text {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Static(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// An entry; a part of it that was copied from an unknown one is unknown as well.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Option<Text>,
    pub(super) value: Option<Text>,
}

impl Entry {
    const UNKNOWN: Self = Self {
        name: None,
        value: None,
    };

    /// The size, or the least that it can be.
    fn size(&self) -> usize {
        self.len() + OVERHEAD
    }

    /// Bytes of name and value, as far as they are known.
    pub(super) fn len(&self) -> usize {
        let len = |text: &Option<Text>| text.as_ref().map_or(0, |text| text.bytes().len());
        len(&self.name) + len(&self.value)
    }
}

/// The dynamic table of one direction: the newest entries, which are known. Indexes count from the
/// newest on, so they are exact whatever lies behind.
#[derive(Debug)]
pub(super) struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    /// What the encoder keeps; `None` before it said so in a connection that was joined
    /// mid-stream.
    max: Option<usize>,
    /// Most bytes that are kept here.
    bound: usize,
    /// Entries that were never seen may follow the known ones.
    unknown: bool,
}

impl Table {
    /// Of a connection that begins.
    pub(super) const fn empty() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: Some(DEFAULT_SIZE),
            bound: UNAGREED,
            unknown: false,
        }
    }

    /// Of a connection that was there before.
    pub(super) const fn unknown() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: None,
            bound: UNAGREED,
            unknown: true,
        }
    }

    /// The connection begins, and nothing came before.
    pub(super) fn begins(&mut self) {
        let bound = self.bound;
        *self = Self::empty();
        self.bound = bound;
    }

    /// The ends may agree on this size.
    pub(super) fn may_hold(&mut self, size: usize) {
        self.bound = self.bound.max(size).min(MOST);
    }

    /// Entries may have been added that were not seen, so that every index has moved.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.unknown = true;
        self.max = None;
    }

    /// The entry at an index of both tables. `None`: there is none.
    pub(super) fn get(&self, index: usize) -> Option<Entry> {
        let at = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(at) {
            return Some(Entry {
                name: Some(Text::Static(name)),
                value: Some(Text::Static(value)),
            });
        }
        match self.entries.get(at - STATIC.len()) {
            Some(entry) => Some(entry.clone()),
            None => self.unknown.then_some(Entry::UNKNOWN),
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    /// The encoder keeps at most so many bytes from now on.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = Some(max);
        self.may_hold(max);
        self.evict();
    }

    fn evict(&mut self) {
        if let Some(max) = self.max {
            while self.size > max {
                self.drop_oldest();
            }
            // What is unknown is older than all that is known, and has no room left.
            if self.size + OVERHEAD > max {
                self.unknown = false;
            }
        }
        while self.size > self.bound {
            self.drop_oldest();
            self.unknown = true;
        }
    }

    fn drop_oldest(&mut self) {
        match self.entries.pop_back() {
            Some(entry) => self.size -= entry.size(),
            None => self.size = 0,
        }
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.size + self.entries.capacity() * size_of::<Entry>()
    }

    /// Bytes that a block can refer to, when it refers to each entry once.
    pub(super) const fn size(&self) -> usize {
        self.size
    }
}
