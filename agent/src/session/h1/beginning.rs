//! What a request begins with, where bytes have to be recognised without what came before.

use crate::http::h1::{Class, is_token};

/// A request line that may be believed where nothing before it vouches for it. The end of another
/// line may look like an odd one, so that must begin with a known method.
pub(crate) fn is_plain_request(class: Class, bytes: &[u8]) -> bool {
    match class {
        Class::Request => true,
        Class::OddRequest => is_known_request(bytes),
        _ => false,
    }
}

/// A head with a line that only tolerant servers take for a request's, and a method that is not
/// known. Mid-stream, the end of another line may look like that, so the whole head is wanted:
/// lines of fields, one of which names the host, and the empty line.
pub(crate) fn is_odd_head(class: Class, bytes: &[u8]) -> bool {
    if class != Class::OddRequest {
        return false;
    }
    let end = memchr::memmem::find(bytes, b"\r\n\r\n");
    let Some(head) = end.and_then(|end| bytes.get(..end)) else {
        return false;
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    // A target and a version are the rest of a plain line whose first bytes were lost.
    let words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    if words.filter(|word| !word.is_empty()).count() < 3 {
        return false;
    }
    let mut names_host = false;
    let are_fields = lines.all(|line| {
        let name = line.iter().position(|byte| *byte == b':');
        let name = name.and_then(|end| line.get(..end)).unwrap_or_default();
        names_host |= name.eq_ignore_ascii_case(b"host");
        !name.is_empty() && name.iter().all(|byte| is_token(*byte))
    });
    are_fields && names_host
}

/// The methods of RFC 9110, and that of RFC 5789.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];

/// The first bytes of a request line: so few that even the method may not be whole, or as in
/// [`is_known_request`].
pub(crate) fn may_be_known_request(bytes: &[u8]) -> bool {
    METHODS.iter().any(|method| method.starts_with(bytes)) || is_known_request(bytes)
}

/// A request line that is not whole, but begins with a method of RFC 9110 and a target.
pub(crate) fn is_known_request(bytes: &[u8]) -> bool {
    METHODS
        .iter()
        .filter_map(|method| bytes.strip_prefix(*method))
        .any(|target| matches!(target, [b'/' | b'*' | b'h', ..]))
}

/// Empty lines before a message are passed over (RFC 9112 §2.2).
#[inline]
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}
