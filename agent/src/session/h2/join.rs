//! Recognising a connection that is older than the agent.

use super::super::Messages;
use super::super::h1::is_plain_request;
use super::super::held::Start;
use crate::flow::{Nanos, Offset};
use crate::http::h1::{Class, classify};
use crate::http::h2::frame::{self, HEADER_LEN, Header, Headers, Kind, Search};
use crate::http::h2::stream::Peer;
use crate::transport::Chunk;

/// Largest frame believed of a connection of which nothing is known. Larger ones may be agreed on,
/// and nobody does.
const MAX_SIZE: u32 = 1024 * 1024;

/// Largest frame of a head that is kept until it is whole, as [`frame::Reader`] does.
const MAX_HEAD: u64 = 256 * 1024;

/// Streams of a connection that was long there.
const MAX_STREAM: u32 = 1 << 24;

/// Looks for frames in a direction of which nothing is known, and for a header block among them
/// that says which direction it is. What of a connection can be read before that is of no use: it
/// has no heads.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    stage: Stage,
    /// Where the last chunk ended, and when it came.
    end: Option<(Offset, Nanos)>,
}

#[derive(Debug)]
enum Stage {
    /// Where frames begin is not known. The flag: it was known before bytes were missing.
    Searching(Search, bool),
    /// No head among the frames so far says more.
    Framed(Frames),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Searching(Search::default(), false)
    }
}

/// Frames on the way to a head.
#[derive(Debug, Default)]
struct Frames {
    /// From the beginning of one on.
    held: Vec<u8>,
    /// Bytes of the one before it that are to come.
    left: u64,
}

/// A frame that none of HTTP/2 is.
struct Broken;

impl Joiner {
    /// Which messages the direction carries, and its bytes from the frame on that says so.
    /// `tunnels`: what its streams carry is what clients and servers say, as in a session of
    /// ztunnel.
    pub(crate) fn push(&mut self, chunk: &Chunk<'_>, tunnels: bool) -> Option<(Messages, Vec<u8>)> {
        let end = chunk.offset + chunk.bytes.len() as u64;
        if let Some((before, _)) = self.end.replace((end, chunk.time)) {
            self.miss(chunk.offset.0.checked_sub(before.0));
        }
        let searched;
        let (frames, bytes) = match &mut self.stage {
            Stage::Framed(frames) => (frames, chunk.bytes),
            Stage::Searching(search, _) => {
                searched = search.push(chunk.bytes, MAX_SIZE, MAX_STREAM)?;
                self.stage = Stage::Framed(Frames::default());
                let Stage::Framed(frames) = &mut self.stage else {
                    return None;
                };
                (frames, &*searched)
            }
        };
        frames.push(bytes, tunnels).unwrap_or_else(|Broken| {
            self.stage = Stage::default();
            None
        })
    }

    /// So many bytes are missing; `None`: nobody knows.
    fn miss(&mut self, len: Option<u64>) {
        match &mut self.stage {
            _ if len == Some(0) => {}
            Stage::Framed(frames) => match len.and_then(|len| frames.left.checked_sub(len)) {
                Some(left) if frames.held.is_empty() => frames.left = left,
                _ => self.stage = Stage::Searching(Search::default(), true),
            },
            Stage::Searching(search, _) => {
                search.forget();
            }
        }
    }

    /// What came is made of frames, or may be and the next one has not come.
    pub(crate) fn is_following(&self) -> bool {
        match &self.stage {
            Stage::Framed(_) => true,
            Stage::Searching(search, was_framed) => *was_framed || search.is_following(),
        }
    }

    /// What is held of a direction when the other one has shown what it is.
    pub(crate) fn take(&mut self) -> Option<Start> {
        let (end, time) = self.end?;
        let bytes = match std::mem::take(&mut self.stage) {
            Stage::Framed(frames) => frames.held,
            Stage::Searching(search, _) => search.into_held(),
        };
        (!bytes.is_empty()).then(|| Start::before(end, time, bytes))
    }

    /// Bytes held.
    pub(crate) const fn memory(&self) -> usize {
        match &self.stage {
            Stage::Framed(frames) => frames.held.capacity(),
            Stage::Searching(search, _) => search.memory(),
        }
    }
}

impl Frames {
    /// Passes over frames up to one that says who sends it: a head, or what a tunnel carries.
    fn push(&mut self, bytes: &[u8], tunnels: bool) -> Result<Option<(Messages, Vec<u8>)>, Broken> {
        let passed = bytes
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= passed as u64;
        self.held
            .extend_from_slice(bytes.get(passed..).unwrap_or_default());
        let mut at = 0;
        while let Some(rest) = self.held.get(at..)
            && let Some(header) = rest.first_chunk::<HEADER_LEN>()
        {
            let header = Header::parse(header);
            header.check(MAX_SIZE).map_err(|_| Broken)?;
            let len = HEADER_LEN as u64 + u64::from(header.length);
            let there = usize::try_from(len).ok().and_then(|len| rest.get(..len));
            let is_head = header.kind == Kind::Headers && len <= MAX_HEAD;
            let payload = there.unwrap_or(rest).get(HEADER_LEN..).unwrap_or_default();
            let sender = match header.kind {
                Kind::Headers if is_head && there.is_some() => who_sends(&header, payload),
                Kind::Data if tunnels => who_says(payload),
                _ => None,
            };
            if let Some(sender) = sender {
                return Ok(Some((sender, self.held.split_off(at))));
            }
            match there {
                Some(frame) => at += frame.len(),
                None if is_head => break,
                None => {
                    self.left = len - rest.len() as u64;
                    at = self.held.len();
                }
            }
        }
        self.held.drain(..at);
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        Ok(None)
    }
}

/// A header block says which direction it goes.
fn who_sends(header: &Header, payload: &[u8]) -> Option<Messages> {
    let headers = Headers::parse(header, payload).ok()?;
    frame::sender(headers.block, headers.end_headers).map(messages_of)
}

/// What comes in a tunnel begins a message, or is made of frames that say more.
fn who_says(bytes: &[u8]) -> Option<Messages> {
    match classify(bytes) {
        Class::Http2 => Some(Messages::Requests),
        Class::Response => Some(Messages::Responses),
        class if is_plain_request(class, bytes) => Some(Messages::Requests),
        _ => {
            let found = Search::default().push(bytes, MAX_SIZE, MAX_STREAM)?;
            let inner = Frames::default().push(&found, false);
            inner.ok().flatten().map(|(messages, _)| messages)
        }
    }
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
    fn joined(bytes: &[u8], size: usize, tunnels: bool) -> Option<(Messages, usize)> {
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
            let (messages, found) = joiner.push(&chunk, tunnels)?;
            Some((messages, found.len()))
        })
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<Messages>) {
        let found = joined(bytes, bytes.len().max(1), false);
        assert_eq!(found.map(|(messages, _)| messages), expected);
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
        let bytes = [&ping[..], &headers(&[0x82])].concat();
        assert_eq!(joined(&bytes, 100, false), Some((Messages::Requests, 10)));
    }

    #[test]
    fn a_head_that_is_cut_is_found() {
        let request = headers(&[0x83, 0xbe, 0x86, 0xbf]);
        let body = [&[0, 0, 200, 0, 0, 0, 0, 0, 5][..], &[b'x'; 200]].concat();
        let bytes = [&request[..], &body].concat();
        for size in [1, 5, 9, 50] {
            let (messages, found) = joined(&bytes, size, false).expect("frames");
            assert_eq!(messages, Messages::Requests);
            assert!(found >= request.len(), "{size}: {found}");
        }
    }

    /// Frames without a head, then half of one, or what is missing within one.
    #[test]
    fn frames_are_followed_up_to_a_head() {
        let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let body = [&[0, 0, 200, 0, 0, 0, 0, 0, 5][..], &[b'x'; 200]].concat();
        let unknown = headers(&[0xbe, 0xbf]);
        let request = headers(&[0x83, 0xbe, 0x86, 0xbf]);
        let bytes = [
            &update[..],
            &update,
            &update,
            &update,
            &body,
            &unknown,
            &request,
        ]
        .concat();
        for size in 1..bytes.len() {
            let (messages, found) = joined(&bytes, size, false).expect("a head");
            assert_eq!(messages, Messages::Requests, "{size}");
            assert!(found >= request.len(), "{size}: {found}");
        }
        let mut joiner = Joiner::default();
        let mut push = |at: usize, bytes: &[u8]| {
            let chunk = Chunk {
                bytes,
                offset: Offset(at as u64),
                heard: None,
                time: 1,
                boundary: true,
            };
            joiner.push(&chunk, false).map(|(_, found)| found.len())
        };
        assert_eq!(push(0, &bytes[..100]), None);
        assert_eq!(push(200, &bytes[200..270]), None, "a gap in the body");
        assert_eq!(push(270, &bytes[270..]), Some(request.len()));
    }

    #[test]
    fn what_is_in_a_tunnel_says_who_sends() {
        let check = |data: &[u8], expected: Option<Messages>| {
            let length = u8::try_from(data.len()).unwrap();
            let frame = [&[0, 0, length, 0, 0, 0, 0, 0, 5][..], data].concat();
            let whole = frame.len();
            assert_eq!(
                joined(&frame, whole, true),
                expected.map(|who| (who, whole))
            );
            // A body may hold anything.
            assert_eq!(joined(&frame, whole, false), None);
        };
        check(
            b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n",
            Some(Messages::Requests),
        );
        check(b"HTTP/1.1 200 OK\r\n\r\n", Some(Messages::Responses));
        check(&headers(&[0x82, 0xbe, 0x86]), Some(Messages::Requests));
        check(&headers(&[0x88, 0xbe]), Some(Messages::Responses));
        check(b"the middle of something", None);
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
