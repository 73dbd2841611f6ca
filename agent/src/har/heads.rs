//! The heads of an entry that is read: parts of one buffer, as those of captured messages.

use bytes::Bytes;

use super::read::{Pair, RequestPart, ResponsePart};
use crate::http::{
    Fields, FieldsBuilder, Reason, RequestHead, ResponseHead, Slice, Unknown, Version,
};

/// A buffer under construction. What has no room in it stays away: a head has 65 535 bytes at most,
/// as one that was captured.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    fn add(&mut self, text: &str) -> Option<Slice> {
        let start = u16::try_from(self.0.len()).ok()?;
        let len = u16::try_from(text.len()).ok()?;
        start.checked_add(len)?;
        self.0.extend_from_slice(text.as_bytes());
        Some(Slice { start, len })
    }

    fn fields(mut self, pairs: &[Pair], leaves_away: &str) -> Fields {
        let kept = pairs.iter().filter(|pair| {
            !pair.name.starts_with(':') && !pair.name.eq_ignore_ascii_case(leaves_away)
        });
        let slices: Vec<_> = kept
            .map_while(|pair| Some((self.add(&pair.name)?, self.add(&pair.value)?)))
            .collect();
        FieldsBuilder::from_parts(Bytes::from(self.0), slices).build()
    }
}

fn version(text: &str) -> Version {
    match text.to_ascii_lowercase().as_str() {
        "http/1.0" => Version::Http10,
        "h2" | "http/2" | "http/2.0" | "h3" | "http/3" => Version::Http2,
        _ => Version::Http11,
    }
}

/// Scheme, authority and the rest of a URL.
fn parts(url: &str) -> (&str, &str, &str) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return ("", "", url);
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    (scheme, authority, target)
}

pub(super) fn request_head(request: &RequestPart) -> RequestHead {
    let mut buffer = Buffer::default();
    let (scheme, authority, target) = parts(&request.url);
    let method = buffer.add(&request.method).unwrap_or_default();
    let scheme = buffer.add(scheme).filter(|scheme| scheme.len > 0);
    let authority = buffer.add(authority).filter(|authority| authority.len > 0);
    let target = match target.starts_with('/') || authority.is_none() {
        true => buffer.add(target),
        false => buffer.add(&format!("/{target}")),
    };
    RequestHead {
        method,
        target: target.unwrap_or_default(),
        authority,
        scheme,
        version: version(&request.http_version),
        unknown: Unknown::default(),
        fields: buffer.fields(&request.headers, ""),
    }
}

/// The body of an entry has no content coding any more, so no field says that it has one.
pub(super) fn response_head(response: &ResponsePart) -> ResponseHead {
    ResponseHead {
        status: response.status,
        version: version(&response.http_version),
        reason: Reason::new(response.status, response.status_text.as_bytes()),
        unknown: Unknown::default(),
        fields: Buffer::default().fields(&response.headers, "content-encoding"),
    }
}
