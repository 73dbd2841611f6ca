//! Finding frames after bytes are missing, or where a direction is picked up.

use super::{Flags, HEADER_LEN, Header, Headers, Kind};
use crate::http::h2::hpack::{Decoder, Error};
use crate::http::h2::stream::Peer;

/// Headers in a row, each where the one before it says, that are believed. The chance that random
/// bytes look like one is less than one in 2^16 (length, kind, flags and stream must fit), so four
/// are proof; fewer are where the last one is whole in a segment and ends with it, because a sender
/// hands whole frames to its socket. So are two of DATA that are the same, length and stream, and a
/// header block that begins as every head does, with a frame behind it, or from the beginning of a
/// segment to the end of a later one.
const CHAIN: usize = 4;

/// Bytes held back until a chain is long enough. Frames are 16 KiB, if nothing else is agreed on;
/// of larger ones a chain is followed without their bytes.
const MAX_HELD: usize = 64 * 1024;

/// Chains followed at once. Random bytes begin few; what was made to begin many hides no more than
/// the frames before the next ones.
const MAX_CHAINS: usize = 64;

/// Looks for frames in what comes of a direction. Each byte is looked at once, and once more for
/// each chain that may begin there.
#[derive(Debug, Default)]
pub struct Search {
    held: Vec<u8>,
    /// Chains that may begin in what is held, in order.
    chains: Vec<Chain>,
    /// Bytes that no frame begins in.
    passed: u64,
}

/// Frames that may be a chain.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// Where the first of them begins whose bytes are held.
    at: usize,
    /// Where the next one does.
    next: usize,
    /// The header before that, and where it is, if it is held.
    before: Option<[u8; HEADER_LEN]>,
    last: Option<usize>,
    /// Headers so far, and how many are enough where the last frame ends with the bytes.
    count: usize,
    enough: usize,
}

/// What is known of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Proven,
    /// More bytes may show it.
    Open,
    Wrong,
}

/// Where frames begin in the bytes of a segment, if a chain of headers shows it. `max_stream`: no
/// stream above it is known; a few more may have started in what is missing.
#[must_use]
pub fn find(bytes: &[u8], max_size: u32, max_stream: u32) -> Option<usize> {
    let found = Search::default().push(bytes, max_size, max_stream)?;
    bytes.len().checked_sub(found.len())
}

/// Which end sends this header block, by the pseudo-fields of it that are known (RFC 9113 §8.3).
/// `is_whole`: more of it does not follow.
#[must_use]
pub fn sender(block: &[u8], is_whole: bool) -> Option<Peer> {
    let mut sender = None;
    let decoded = Decoder::mid_stream().block(block, &mut |field| {
        let found = match field.name {
            Some(b":status") => Peer::Server,
            Some(b":method" | b":path" | b":scheme" | b":authority") => Peer::Client,
            _ => return,
        };
        sender.get_or_insert(found);
    });
    let is_cut = decoded == Err(Error::Truncated) && !is_whole;
    sender.filter(|_| decoded.is_ok() || is_cut)
}

impl Search {
    /// More bytes. What came from where frames begin on, once that is shown.
    pub fn push(&mut self, bytes: &[u8], max_size: u32, max_stream: u32) -> Option<Vec<u8>> {
        let start = self.held.len();
        self.held.extend_from_slice(bytes);
        let limits = (max_size, max_stream);
        let held = &self.held;
        let mut found = None;
        self.chains.retain_mut(|chain| {
            let judged = chain.judge((held, start), limits);
            if judged == Judged::Proven {
                found.get_or_insert(chain.at);
            }
            judged == Judged::Open
        });
        for at in start..held.len() {
            if found.is_some() {
                break;
            }
            let mut chain = Chain::at(at, if at == start { 1 } else { 2 });
            match chain.judge((held, start), limits) {
                Judged::Proven => found = Some(at),
                Judged::Open => self.chains.push(chain),
                Judged::Wrong => {}
            }
        }
        match found {
            Some(at) => {
                self.passed += at as u64;
                self.chains.clear();
                let mut held = std::mem::take(&mut self.held);
                Some(held.split_off(at))
            }
            None => {
                self.trim();
                None
            }
        }
    }

    /// Forgets what is held, as where bytes are missing: nothing that came before them leads to
    /// what follows. Gives the bytes that were passed, as [`Self::take_passed`] does.
    pub fn forget(&mut self) -> u64 {
        let held = std::mem::take(&mut self.held);
        self.chains.clear();
        self.take_passed() + held.len() as u64
    }

    /// What is held: a frame may begin in it.
    #[must_use]
    pub fn into_held(self) -> Vec<u8> {
        self.held
    }

    /// Bytes that no frame begins in, since the last call.
    pub const fn take_passed(&mut self) -> u64 {
        std::mem::replace(&mut self.passed, 0)
    }

    /// A frame's header has come, and not the one behind it.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.chains.iter().any(|chain| chain.count > 0)
    }

    /// Bytes held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.held.capacity() + self.chains.capacity() * size_of::<Chain>()
    }

    /// Holds no more than chains need, and the bound allows.
    fn trim(&mut self) {
        let many = self.chains.len().saturating_sub(MAX_CHAINS);
        self.chains.drain(..many);
        let least = self.held.len().saturating_sub(MAX_HELD);
        for chain in &mut self.chains {
            if chain.at < least {
                chain.at = chain.next;
            }
        }
        let first = self.chains.iter().map(|chain| chain.at).min();
        let first = first.unwrap_or(usize::MAX).min(self.held.len());
        // Moving what is left costs no more than what goes did.
        if 2 * first >= self.held.len() {
            self.held.drain(..first);
            if self.held.is_empty() {
                self.held = Vec::new();
            }
            self.passed += first as u64;
            for chain in &mut self.chains {
                chain.at -= first;
                chain.next -= first;
                chain.last = chain.last.and_then(|last| last.checked_sub(first));
            }
        }
    }
}

impl Chain {
    const fn at(at: usize, enough: usize) -> Self {
        Self {
            at,
            next: at,
            before: None,
            last: None,
            count: 0,
            enough,
        }
    }

    /// Follows the chain as far as its headers have come; the last bytes came together, from
    /// `start` on.
    fn judge(
        &mut self,
        (held, start): (&[u8], usize),
        (max_size, max_stream): (u32, u32),
    ) -> Judged {
        /// A shorter payload may be what is guessed at: frames in a row with the same bytes.
        const LARGE: u32 = 1024;
        while self.count < CHAIN {
            let is_whole = |last| last >= start || self.enough == 1 && is_head(held, last);
            let is_last = self.next == held.len() && self.last.is_some_and(is_whole);
            if is_last && self.count >= self.enough {
                return Judged::Proven;
            }
            let Some(bytes) = held.get(self.next..).and_then(<[u8]>::first_chunk) else {
                return Judged::Open;
            };
            // The reserved bit is clear in what anybody sends (RFC 9113 §4.1).
            let header = Header::parse(bytes);
            if bytes[5] & 0x80 != 0 || !is_plausible(&header, max_size, max_stream) {
                return Judged::Wrong;
            }
            let same = self.before == Some(*bytes);
            let is_large = header.kind == Kind::Data && header.length >= LARGE;
            if same && is_large || self.last.is_some_and(|last| is_head(held, last)) {
                return Judged::Proven;
            }
            self.before = Some(*bytes);
            self.last = Some(self.next);
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            self.next = self.next.saturating_add(HEADER_LEN).saturating_add(length);
            // Zeros look like DATA without bytes.
            let is_empty = header.kind == Kind::Data && header.length == 0 && header.flags.0 == 0;
            self.count += usize::from(!is_empty);
        }
        Judged::Proven
    }
}

/// A head begins there, as every head does.
fn is_head(held: &[u8], at: usize) -> bool {
    let Some((header, rest)) = held
        .get(at..)
        .and_then(<[u8]>::split_first_chunk::<HEADER_LEN>)
    else {
        return false;
    };
    let header = Header::parse(header);
    let length = usize::try_from(header.length).unwrap_or(usize::MAX);
    let Some(payload) = rest.get(..length).filter(|_| header.kind == Kind::Headers) else {
        return false;
    };
    let headers = Headers::parse(&header, payload);
    headers.is_ok_and(|headers| sender(headers.block, headers.end_headers).is_some())
}

fn is_plausible(header: &Header, max_size: u32, max_stream: u32) -> bool {
    /// Streams that may have started unseen.
    const UNSEEN: u32 = 1 << 16;
    let known = match header.kind {
        Kind::Data => Flags::END_STREAM.0 | Flags::PADDED.0,
        Kind::Headers => {
            Flags::END_STREAM.0 | Flags::END_HEADERS.0 | Flags::PADDED.0 | Flags::PRIORITY.0
        }
        Kind::Settings | Kind::Ping => Flags::ACK.0,
        Kind::PushPromise => Flags::END_HEADERS.0 | Flags::PADDED.0,
        Kind::Continuation => Flags::END_HEADERS.0,
        // RFC 9218 §7.1.
        Kind::PriorityUpdate if header.stream != 0 || header.length < 4 => return false,
        Kind::Priority
        | Kind::RstStream
        | Kind::GoAway
        | Kind::WindowUpdate
        | Kind::PriorityUpdate => 0,
        Kind::Other(_) => return false,
    };
    header.flags.0 & !known == 0
        && header.check(max_size).is_ok()
        && header.stream <= max_stream.saturating_add(UNSEEN)
}
