//! Rewriting of a head whose values are hidden: into a new buffer, with the same kinds of slices.

use bytes::Bytes;

use super::counts::Counts;
use super::digest::Digest;
use super::edit::{Edit, apply};
use crate::http::{Fields, FieldsBuilder, RequestHead, Slice};

/// Heads stay below this, so that slices fit 16 bits ([`crate::engine::Limits::head`]).
const LIMIT: usize = u16::MAX as usize;

/// Stands for a value whose hash does not fit any more.
const BARE: &[u8] = b"[redacted]";

/// What is to be replaced in a head: in the target, and in each kept field by its index.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadEdits {
    pub(super) target: Vec<Edit>,
    pub(super) fields: Vec<(usize, Edit)>,
}

impl HeadEdits {
    pub(super) fn is_empty(&self) -> bool {
        self.target.is_empty() && self.fields.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.target.clear();
        self.fields.clear();
    }

    /// Counts each by its rule.
    pub(super) fn count(&self, counts: &mut Counts) {
        for edit in self
            .target
            .iter()
            .chain(self.fields.iter().map(|(_, edit)| edit))
        {
            counts.redact(edit.rule);
        }
    }
}

/// A buffer that slices of 16 bits can address.
struct Writer<'a> {
    out: Vec<u8>,
    /// Bytes that replacements may still add without pushing out what follows.
    spare: usize,
    digest: &'a Digest,
    text: Vec<u8>,
}

impl Writer<'_> {
    fn new(digest: &Digest, originals: usize) -> Writer<'_> {
        Writer {
            out: Vec::with_capacity(originals + 256),
            spare: LIMIT.saturating_sub(originals),
            digest,
            text: Vec::new(),
        }
    }

    fn copy(&mut self, value: &[u8]) -> Slice {
        let (Ok(start), Ok(len)) = (u16::try_from(self.out.len()), u16::try_from(value.len()))
        else {
            return Slice::default();
        };
        self.out.extend_from_slice(value);
        Slice { start, len }
    }

    fn rewrite(&mut self, value: &[u8], edits: &[Edit]) -> Slice {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        apply(edits, value, self.digest, &mut text);
        let growth = text.len().saturating_sub(value.len());
        if growth > self.spare {
            text.clear();
            text.extend_from_slice(&BARE[..BARE.len().min(value.len())]);
        } else {
            self.spare -= growth;
        }
        let slice = self.copy(&text);
        self.text = text;
        slice
    }

    fn fields(&mut self, fields: &Fields, edits: &[(usize, Edit)]) -> Vec<(Slice, Slice)> {
        let mut rest = edits;
        let mut own: Vec<Edit> = Vec::new();
        let mut slices = Vec::with_capacity(fields.len());
        for (index, (name, value)) in fields.iter().enumerate() {
            let count = rest.iter().take_while(|(of, _)| *of == index).count();
            let (mine, others) = rest.split_at(count);
            rest = others;
            let name = self.copy(name);
            let value = if mine.is_empty() {
                self.copy(value)
            } else {
                own.clear();
                own.extend(mine.iter().map(|(_, edit)| edit.clone()));
                self.rewrite(value, &own)
            };
            slices.push((name, value));
        }
        slices
    }
}

/// Fields with their edits made.
pub(super) fn rewrite_fields(fields: &Fields, edits: &HeadEdits, digest: &Digest) -> Fields {
    let mut writer = Writer::new(digest, size(fields));
    let slices = writer.fields(fields, &edits.fields);
    build(writer.out, slices)
}

/// A request's head with its edits made. The authority of an absolute-form target loses its user
/// name and password.
pub(super) fn rewrite_request(
    head: &RequestHead,
    edits: &HeadEdits,
    digest: &Digest,
) -> RequestHead {
    let buffer = head.fields.buffer();
    let scheme = head.scheme.as_ref().map(|slice| slice.of(buffer));
    let authority = head.authority.as_ref().map(|slice| {
        let text = slice.of(buffer);
        text.rsplit(|&b| b == b'@').next().unwrap_or(text)
    });
    let line = head.method().len()
        + head.target().len()
        + scheme.map_or(0, <[u8]>::len)
        + authority.map_or(0, <[u8]>::len);
    let mut writer = Writer::new(digest, line + size(&head.fields));
    let method = writer.copy(head.method());
    let scheme = scheme.map(|text| writer.copy(text));
    let authority = authority.map(|text| writer.copy(text));
    let target = if edits.target.is_empty() {
        writer.copy(head.target())
    } else {
        writer.rewrite(head.target(), &edits.target)
    };
    let slices = writer.fields(&head.fields, &edits.fields);
    RequestHead {
        method,
        target,
        authority,
        scheme,
        version: head.version,
        unknown: head.unknown,
        fields: build(writer.out, slices),
    }
}

fn size(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

fn build(buffer: Vec<u8>, slices: Vec<(Slice, Slice)>) -> Fields {
    let mut builder = FieldsBuilder::new(Bytes::from(buffer), slices.len());
    for (name, value) in slices {
        builder.push(name, value);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture as exchanges;
    use crate::redact::Config;
    use crate::redact::fixture::sanitize;

    fn check(fields: usize, cookies: usize) {
        let one = format!("cookie: {}\r\n", "a=b;".repeat(cookies));
        let request = format!(
            "GET /?token=x HTTP/1.1\r\n{}last: v\r\n\r\n",
            one.repeat(fields)
        );
        let exchange = exchanges::exchange(&request, "HTTP/1.1 200 X\r\n\r\n");
        let kept = sanitize(&Config::everything(), exchange);
        let head = &kept.exchange().request.head;
        assert!(head.fields.buffer().len() <= LIMIT);
        assert_eq!(head.fields.len(), fields + 1);
        assert_eq!(head.fields.get("last"), Some(&b"v"[..]));
        for value in head.fields.get_all("cookie") {
            assert!(
                !value.windows(3).any(|w| w == b"=b;"),
                "{}",
                String::from_utf8_lossy(value)
            );
        }
    }

    #[test]
    fn a_head_never_outgrows_its_slices() {
        check(1, 1);
        check(1, 2000);
        check(1, 10_000);
        check(3, 1000);
        check(120, 100);
        check(255, 60);
    }
}
