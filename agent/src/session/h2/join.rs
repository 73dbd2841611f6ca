//! Recognising a connection that is older than the agent.

use super::super::Messages;
use crate::http::h2::frame::{self, Event, Headers, Kind, Reader};
use crate::http::h2::hpack::Decoder;

/// Largest frame believed of a connection of which nothing is known: four times the default. Larger
/// ones were agreed on, and nearly nobody does.
const MAX_SIZE: u32 = 64 * 1024;

/// The bytes of a segment are whole frames of HTTP/2, and a header block among them says which
/// direction it goes. What of a connection can be read before that is of no use: it has no heads.
pub(crate) fn who_sends(bytes: &[u8]) -> Option<Messages> {
    /// Streams of a connection that was long there.
    const MAX_STREAM: u32 = 1 << 24;
    let at = frame::find(bytes, MAX_SIZE, MAX_STREAM)?;
    let mut reader = Reader::new(MAX_SIZE);
    let mut half = None;
    reader.push(bytes.get(at..)?, &mut |event| {
        if let Event::Frame(header, payload) = event
            && header.kind == Kind::Headers
            && half.is_none()
            && let Ok(headers) = Headers::parse(&header, payload)
        {
            half = by_fields(headers.block);
        }
    });
    half
}

/// By the first pseudo-field of a block that is known (RFC 9113 §8.3).
fn by_fields(block: &[u8]) -> Option<Messages> {
    let mut half = None;
    let whole = Decoder::mid_stream().block(block, &mut |field| {
        let found = match field.name {
            Some(b":status") => Messages::Responses,
            Some(b":method" | b":path" | b":scheme" | b":authority") => Messages::Requests,
            _ => return,
        };
        half.get_or_insert(found);
    });
    half.filter(|_| whole.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Option<Messages>) {
        assert_eq!(who_sends(bytes), expected);
    }

    fn headers(block: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 4, 0, 0, 0, 5];
        frame.extend_from_slice(block);
        frame
    }

    #[test]
    fn a_header_block_says_who_sends() {
        check(
            &headers(&[0x83, 0xbe, 0x86, 0xbf]),
            Some(Messages::Requests),
        );
        check(&headers(&[0x88, 0xbe]), Some(Messages::Responses));
        // A status that is no entry of the static table, but its name is.
        check(&headers(b"\x48\x03201"), Some(Messages::Responses));
        // After other frames.
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        check(
            &[&ping[..], &headers(&[0x82])].concat(),
            Some(Messages::Requests),
        );
    }

    #[test]
    fn other_bytes_say_nothing() {
        check(&headers(&[0xbe, 0xbf]), None);
        check(&headers(&[0x82, 0x40]), None);
        check(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", None);
        check(&[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5], None);
        check(&[0; 500], None);
        check(b"", None);
    }
}
