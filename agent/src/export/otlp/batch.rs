//! Spans on their way into one `ExportTraceServiceRequest`: grouped by resource, already in
//! protobuf.
//!
//! A group's buffer begins with room for everything that comes before its spans (lengths, resource,
//! scope). When the batch is closed, that is written right before the first span, so no span is
//! ever copied again. The groups follow each other on the wire, which is what a repeated field is.

use bytes::Bytes;
use hashbrown::HashMap;

use super::wire;
use crate::export::Batch;

/// `ExportTraceServiceRequest.resource_spans`.
const RESOURCE_SPANS: u32 = 1;
/// `ResourceSpans.resource` and `ScopeSpans.scope`.
const OWNER: u32 = 1;
/// `ResourceSpans.scope_spans` and `ScopeSpans.spans`.
const CHILDREN: u32 = 2;
/// Four tags and their lengths: a byte and at most five bytes (32 bits) each.
const HEADS: usize = 4 * 6;
/// What a span needs beyond its own bytes while it is written.
const SPARE: usize = 64;
/// Room for the first few spans of a group.
const SMALL: usize = 4096;

/// Protobuf of the resource and of the scope that a group of spans shares.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// `opentelemetry.proto.resource.v1.Resource`
    pub(super) resource: Vec<u8>,
    /// `opentelemetry.proto.common.v1.InstrumentationScope`
    pub(super) scope: Vec<u8>,
}

/// Identifies an origin while a batch is open: the addresses of its resource and its scope.
pub(super) type Key = (usize, usize);

#[derive(Debug)]
struct Group {
    origin: Origin,
    headroom: usize,
    buffer: Vec<u8>,
}

impl Group {
    fn new(origin: Origin, capacity: usize) -> Self {
        let headroom = HEADS + origin.resource.len() + origin.scope.len();
        let mut buffer = Vec::with_capacity(headroom + capacity);
        buffer.resize(headroom, 0);
        Self {
            origin,
            headroom,
            buffer,
        }
    }

    fn finish(mut self) -> Bytes {
        let Origin { resource, scope } = &self.origin;
        let spans = self.buffer.len() - self.headroom;
        let scope_spans = wire::bytes_len(OWNER, scope.len()) + spans;
        let resource_spans =
            wire::bytes_len(OWNER, resource.len()) + wire::bytes_len(CHILDREN, scope_spans);
        let mut prefix = Vec::with_capacity(self.headroom);
        wire::head(&mut prefix, RESOURCE_SPANS, resource_spans);
        wire::bytes(&mut prefix, OWNER, resource);
        wire::head(&mut prefix, CHILDREN, scope_spans);
        wire::bytes(&mut prefix, OWNER, scope);
        let start = self.headroom.saturating_sub(prefix.len());
        // What waits in a queue is measured by its length, so it must not hold much more than that.
        if self.buffer.len() < self.buffer.capacity() / 2 {
            self.buffer.shrink_to_fit();
        }
        if let Some(room) = self.buffer.get_mut(start..start + prefix.len()) {
            room.copy_from_slice(&prefix);
        }
        Bytes::from(self.buffer).slice(start..)
    }
}

/// Fills one batch after the other.
#[derive(Debug)]
pub(super) struct Builder {
    groups: Vec<Group>,
    index: HashMap<Key, usize, crate::hash::Keyed>,
    last: Option<(Key, usize)>,
    bytes: usize,
    spans: u64,
    expected: usize,
    max_bytes: usize,
    max_spans: u64,
}

impl Builder {
    /// Batches of at most `max_bytes`, save for a single span larger than that, and `max_spans`.
    #[must_use]
    pub(super) fn new(max_bytes: usize, max_spans: u64) -> Self {
        Self {
            groups: Vec::new(),
            index: HashMap::default(),
            last: None,
            bytes: 0,
            spans: 0,
            expected: 0,
            max_bytes,
            max_spans,
        }
    }

    /// Adds a span of `len` bytes, which `write` appends. `key` identifies its origin while the
    /// batch is open; `origin` is asked for at the first span of each. Returns the batch that had
    /// to be closed to make room, if any.
    pub(super) fn add(
        &mut self,
        key: Key,
        origin: impl FnOnce() -> Origin,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Batch> {
        let size = wire::bytes_len(CHILDREN, len);
        let full = self.spans >= self.max_spans || self.bytes + size > self.max_bytes;
        let closed = if full { self.close() } else { None };
        let at = match self.last {
            Some((last, at)) if last == key => at,
            _ => self.find(key, origin),
        };
        if let Some(group) = self.groups.get_mut(at) {
            // Heads are written with some bytes to spare, which are taken back.
            group.buffer.reserve(size + SPARE);
            wire::head(&mut group.buffer, CHILDREN, len);
            write(&mut group.buffer);
            self.bytes += size;
            self.spans += 1;
        }
        closed
    }

    fn find(&mut self, key: Key, origin: impl FnOnce() -> Origin) -> usize {
        let at = match self.index.get(&key) {
            Some(at) => *at,
            None => {
                let origin = origin();
                // Batches are alike: the last one says how much room this one takes, and so does
                // its number of groups.
                let capacity = if self.groups.is_empty() {
                    self.expected
                } else {
                    SMALL
                };
                let group = Group::new(origin, capacity);
                self.bytes += group.headroom;
                self.groups.push(group);
                self.index.insert(key, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        self.last = Some((key, at));
        at
    }

    /// Ends the open batch, if it holds anything.
    pub(super) fn close(&mut self) -> Option<Batch> {
        if self.spans == 0 {
            return None;
        }
        let largest = self.groups.iter().map(|group| group.buffer.len()).max();
        let room = largest.unwrap_or(0).saturating_mul(5) / 4;
        self.expected = room.clamp(SMALL, self.max_bytes.max(SMALL));
        let parts: Vec<Bytes> = self.groups.drain(..).map(Group::finish).collect();
        self.index.clear();
        self.last = None;
        self.bytes = 0;
        Some(Batch {
            bytes: parts.iter().map(Bytes::len).sum(),
            parts,
            items: std::mem::take(&mut self.spans),
        })
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;

    /// Adds spans named by (origin, name) and compares the decoded requests: per batch, per
    /// resource, the names.
    fn check(max_bytes: usize, max_spans: u64, spans: &[(usize, &str)], expected: &[&[&[&str]]]) {
        let mut builder = Builder::new(max_bytes, max_spans);
        let mut batches = Vec::new();
        for (key, name) in spans {
            let origin = || Origin {
                resource: vec![0x10, *key as u8], // dropped_attributes_count
                scope: vec![0x0a, 1, b'a' + *key as u8],
            };
            let len = wire::bytes_len(5, name.len());
            batches.extend(builder.add((*key, 0), origin, len, |out| {
                wire::bytes(out, 5, name.as_bytes());
            }));
        }
        batches.extend(builder.close());
        assert!(builder.close().is_none());
        assert_eq!(batches.len(), expected.len(), "batches");
        for (batch, groups) in batches.iter().zip(expected) {
            let request = ExportTraceServiceRequest::decode(&*batch.parts.concat()).unwrap();
            assert_eq!(request.encoded_len(), batch.bytes, "canonical");
            let names: Vec<Vec<&str>> = request
                .resource_spans
                .iter()
                .map(|group| {
                    let resource = group.resource.as_ref().unwrap();
                    let scope = &group.scope_spans[0];
                    let name = &scope.scope.as_ref().unwrap().name;
                    let letter = char::from(b'a' + resource.dropped_attributes_count as u8);
                    assert_eq!(*name, letter.to_string());
                    scope.spans.iter().map(|span| span.name.as_str()).collect()
                })
                .collect();
            assert_eq!(names, *groups);
            let total = groups.iter().map(|g| g.len() as u64).sum::<u64>();
            assert_eq!(batch.items, total);
        }
    }

    #[test]
    fn groups_by_origin() {
        check(1 << 20, 100, &[], &[]);
        check(1 << 20, 100, &[(1, "x")], &[&[&["x"]]]);
        check(
            1 << 20,
            100,
            &[(1, "x"), (2, "y"), (1, "z"), (1, "w")],
            &[&[&["x", "z", "w"], &["y"]]],
        );
    }

    #[test]
    fn closes_when_full() {
        check(
            1 << 20,
            2,
            &[(1, "x"), (1, "y"), (2, "z")],
            &[&[&["x", "y"]], &[&["z"]]],
        );
        let long = "n".repeat(300);
        check(
            200,
            100,
            &[(1, "x"), (1, &long), (1, "y")],
            &[&[&["x"]], &[&[&long]], &[&["y"]]],
        );
        check(
            100_000,
            100,
            &[(1, &"n".repeat(70_000))],
            &[&[&[&"n".repeat(70_000)]]],
        );
    }
}
