//! Recognising a connection that is older than the agent.

use super::super::Messages;
use crate::flow::Offset;
use crate::http::h2::frame::{self, Event, Headers, Kind, Reader, Search};
use crate::http::h2::stream::Peer;
use crate::transport::Chunk;

/// Largest frame believed of a connection of which nothing is known. Larger ones may be agreed on,
/// and nobody does.
const MAX_SIZE: u32 = 1024 * 1024;

/// Streams of a connection that was long there.
const MAX_STREAM: u32 = 1 << 24;

/// Looks for frames in a direction of which nothing is known, and for a header block among them
/// that says which direction it is. What of a connection can be read before that is of no use: it
/// has no heads.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    search: Search,
    /// Where the last chunk ended.
    end: Option<Offset>,
    /// Frames were found, and no header block among them that says more.
    framed: bool,
}

impl Joiner {
    /// Which messages the direction carries, and its bytes from the first frame on.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>) -> Option<(Messages, Vec<u8>)> {
        if self.end.replace(chunk.offset + chunk.bytes.len() as u64) != Some(chunk.offset) {
            self.search.forget();
        }
        let found = self.search.push(chunk.bytes, MAX_SIZE, MAX_STREAM)?;
        self.framed = true;
        Some((who_sends(&found)?, found))
    }

    /// What came is made of frames, or may be and the next one has not come.
    pub(crate) fn is_following(&self) -> bool {
        self.framed || self.search.is_following()
    }

    /// Bytes held.
    pub(crate) const fn memory(&self) -> usize {
        self.search.memory()
    }
}

/// A header block among these frames says which direction it goes.
fn who_sends(frames: &[u8]) -> Option<Messages> {
    let mut reader = Reader::new(MAX_SIZE);
    let mut half = None;
    reader.push(frames, &mut |event| {
        if let Event::Frame(header, payload) = event
            && header.kind == Kind::Headers
            && half.is_none()
            && let Ok(headers) = Headers::parse(&header, payload)
        {
            half = frame::sender(headers.block, headers.end_headers).map(messages_of);
        }
    });
    half
}

const fn messages_of(sender: Peer) -> Messages {
    match sender {
        Peer::Client => Messages::Requests,
        Peer::Server => Messages::Responses,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In segments of this size.
    fn joined(bytes: &[u8], size: usize) -> Option<(Messages, usize)> {
        let mut joiner = Joiner::default();
        let mut offset = Offset(7000);
        bytes.chunks(size).find_map(|bytes| {
            let chunk = Chunk {
                bytes,
                offset,
                heard: None,
                time: 1,
                boundary: true,
            };
            offset = offset + bytes.len() as u64;
            let (messages, found) = joiner.push(&chunk)?;
            Some((messages, found.len()))
        })
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<Messages>) {
        let all = expected.map(|messages| (messages, bytes.len()));
        assert_eq!(joined(bytes, bytes.len().max(1)), all);
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
    fn a_head_that_is_cut_is_found() {
        let request = headers(&[0x83, 0xbe, 0x86, 0xbf]);
        let body = [&[0, 0, 200, 0, 0, 0, 0, 0, 5][..], &[b'x'; 200]].concat();
        let bytes = [&request[..], &body].concat();
        for size in [1, 5, 9, 50] {
            let (messages, found) = joined(&bytes, size).expect("frames");
            assert_eq!(messages, Messages::Requests);
            assert!(found >= request.len() + 9, "{size}: {found}");
        }
    }

    #[test]
    fn other_bytes_say_nothing() {
        check(&headers(&[0xbe, 0xbf]), None);
        check(&headers(&[0x82, 0x40]), None);
        // It goes on in another frame.
        let mut cut = headers(&[0x82, 0x40]);
        cut[4] = 0;
        check(&cut, Some(Messages::Requests));
        check(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", None);
        check(&[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5], None);
        check(&[0; 500], None);
        check(b"", None);
    }
}
