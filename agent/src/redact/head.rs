//! Rewriting of a head whose values are hidden: into a new buffer, with the same kinds of slices.

use bytes::Bytes;

use super::counts::Counts;
use super::digest::Digest;
use super::edit::{Edit, apply, grown};
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

/// A copy of a head's buffer in which values are replaced: where they stood when they fit, else
/// behind all. Slices of what is not replaced stay as they are.
struct Writer<'a> {
    out: Vec<u8>,
    digest: &'a Digest,
    text: Vec<u8>,
}

impl Writer<'_> {
    fn new<'a>(digest: &'a Digest, buffer: &[u8]) -> Writer<'a> {
        /// What some replacements add.
        const SPARE: usize = 256;
        let mut out = Vec::with_capacity(buffer.len() + SPARE);
        out.extend_from_slice(buffer);
        Writer {
            out,
            digest,
            text: Vec::new(),
        }
    }

    /// Puts a text behind all, if slices can address it there.
    fn append(&mut self, text: &[u8]) -> Option<Slice> {
        let fits = self.out.len() + text.len() <= LIMIT;
        let (Ok(start), Ok(len)) = (u16::try_from(self.out.len()), u16::try_from(text.len()))
        else {
            return None;
        };
        fits.then(|| self.out.extend_from_slice(text))?;
        Some(Slice { start, len })
    }

    fn rewrite<'a>(
        &mut self,
        value: Slice,
        edits: impl ExactSizeIterator<Item = &'a Edit>,
    ) -> Slice {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let before = value.of(&self.out);
        text.reserve(grown(before, edits.len()));
        apply(edits, before, self.digest, &mut text);
        let mut place = value;
        let start = usize::from(value.start);
        let old = self.out.get_mut(start..start + usize::from(value.len));
        let old = old.unwrap_or_default();
        old.fill(0);
        if text.len() > old.len() {
            match self.append(&text) {
                Some(behind) => place = behind,
                None => {
                    text.clear();
                    text.extend_from_slice(&BARE[..BARE.len().min(usize::from(value.len))]);
                }
            }
        }
        if place == value {
            let old = self.out.get_mut(start..start + text.len());
            old.unwrap_or_default().copy_from_slice(&text);
            // No longer than the value was.
            place.len = u16::try_from(text.len()).unwrap_or(value.len);
        }
        self.text = text;
        place
    }

    fn fields(&mut self, fields: &Fields, edits: &[(usize, Edit)]) -> Vec<(Slice, Slice)> {
        let mut slices = fields.slices().to_vec();
        for mine in edits.chunk_by(|(one, _), (next, _)| one == next) {
            let Some((_, value)) = mine.first().and_then(|(of, _)| slices.get_mut(*of)) else {
                continue;
            };
            *value = self.rewrite(*value, mine.iter().map(|(_, edit)| edit));
        }
        slices
    }
}

/// Fields with their edits made.
pub(super) fn rewrite_fields(fields: &Fields, edits: &HeadEdits, digest: &Digest) -> Fields {
    let mut writer = Writer::new(digest, fields.buffer());
    let slices = writer.fields(fields, &edits.fields);
    FieldsBuilder::from_parts(Bytes::from(writer.out), slices).build()
}

/// A request's head with its edits made. The authority of an absolute-form target loses its user
/// name and password.
pub(super) fn rewrite_request(
    head: &RequestHead,
    edits: &HeadEdits,
    digest: &Digest,
) -> RequestHead {
    let mut writer = Writer::new(digest, head.fields.buffer());
    let (mut target, mut scheme) = (head.target, head.scheme);
    let mut authority = head.authority.map(|authority| {
        let text = authority.of(&writer.out);
        let user = memchr::memrchr(b'@', text).map_or(0, |at| at + 1);
        // It is less than the slice's length.
        let user = u16::try_from(user).unwrap_or(authority.len);
        Slice {
            start: authority.start + user,
            len: authority.len - user,
        }
    });
    if !edits.target.is_empty() {
        // They may be parts of the target.
        for part in [&mut scheme, &mut authority].into_iter().flatten() {
            let text = part.of(&writer.out).to_vec();
            *part = writer.append(&text).unwrap_or_default();
        }
        target = writer.rewrite(target, edits.target.iter());
    }
    let slices = writer.fields(&head.fields, &edits.fields);
    RequestHead {
        target,
        authority,
        scheme,
        fields: FieldsBuilder::from_parts(Bytes::from(writer.out), slices).build(),
        ..*head
    }
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
