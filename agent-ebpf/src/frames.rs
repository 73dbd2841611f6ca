//! HTTP/2: DATA past the budget of its stream is not copied; every other byte is.
//!
//! HTTP/2 has no turns, and header compression forgives no missing byte. So the programs follow the
//! headers of frames, nine bytes with the length of what comes next (RFC 9113 §4.1), and read
//! nothing else.
//!
//! ```text
//!        begin      next                  a packet
//!          ▼          ▼      ┌──────────────────────────────┐
//!  ────────┬──┬───────┬──────┴───────────────┬──┬───────────┴─
//!          │hd│ DATA  │hd   DATA, not copied  │hd│ HEADERS
//!  ────────┴──┴───────┴──────────────────────┴──┴─────────────
//! ```
//!
//! A packet is copied whole, or not at all but for those headers (its *outline*): what is wanted of
//! many packets is a few small frames, and a record for each part of a packet would be more than
//! the verifier follows.
//!
//! All is known by sequence numbers, so a packet that is lost, or comes early, within one frame
//! changes nothing. Where a header was not seen, everything is copied from there on, until user
//! space says where another frame begins.

use core::mem::offset_of;

use aya_ebpf::bindings::{__sk_buff, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::macros::btf_map;
use meshtap_common::{CaptureConfig, DIRECTION_INGRESS, distance};

use crate::maps::Marks;
use crate::read::{self, Packet, Socket};
use crate::storage::Storage;
use crate::{asm, emit};

/// Bytes of a frame's header.
const HEADER: u32 = 9;

/// A shorter payload is copied: the outline of a packet of such frames costs a third of that.
const WORTH: u32 = 512;

/// Streams whose bytes are counted at a time, per direction.
const STREAMS: usize = 8;

const DATA: u8 = 0;
const PADDED: u8 = 8;

/// By socket. Only sockets that speak HTTP/2 have one.
#[btf_map]
static FRAMES: Storage<[Frames; 2], { BPF_F_NO_PREALLOC as usize }> = Storage::new();

/// The frames of one direction. Its own program alone writes it.
#[repr(C)]
pub(crate) struct Frames {
    /// Where the header of the next frame begins: a sequence number.
    pub(crate) next: u32,
    /// Where that of the frame at hand does; `next`, when it is not known.
    begin: u32,
    /// End of the payload that was seen behind a header that was not.
    ahead: u32,
    /// Non-zero: `next` is known.
    known: u8,
    /// Non-zero: the payload of the frame at hand is not copied.
    skips: u8,
    /// Bytes of the header at `next` that the packets before have had.
    have: u8,
    /// Non-zero: `ahead` is set.
    is_ahead: u8,
    /// Non-zero: something of the packet at hand is copied.
    wanted: u32,
    /// Where the first header was of those that were read last.
    first: u32,
    /// Non-zero: what was before it in the packet is not copied.
    first_skips: u32,
    /// The header; longer than that, because the verifier adds the largest place and length.
    header: [u8; 24],
    streams: [Stream; STREAMS],
}

/// The DATA of a stream.
#[repr(C)]
struct Stream {
    id: u32,
    /// Bytes copied, at most the budget.
    bytes: u32,
}

/// The frames of a direction of a socket; made when there are none, if `create`.
#[inline(always)]
pub(crate) fn of(socket: Socket, direction: u8, create: bool) -> Option<&'static mut Frames> {
    let flags = if create {
        u64::from(BPF_SK_STORAGE_GET_F_CREATE)
    } else {
        0
    };
    // SAFETY: `socket` was checked when made; each program writes to its own part.
    let [ingress, egress] = unsafe { FRAMES.find(socket.as_ptr(), flags).as_mut() }?;
    Some(if direction == DIRECTION_INGRESS {
        ingress
    } else {
        egress
    })
}

/// Where a packet stands among the frames.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// All of it is copied.
    Copied,
    /// All of it is payload that is not.
    Skipped,
    /// The header of a frame is in it: its first byte that was not seen is `at`. `skips`: what is
    /// before is not copied.
    Header { at: u32, skips: bool },
}

impl Frames {
    /// A frame begins here.
    #[inline(always)]
    pub(crate) fn start(&mut self, seq: u32) {
        self.next = seq;
        self.begin = seq;
        self.first = seq;
        self.known = 1;
        self.skips = 0;
        self.have = 0;
        self.is_ahead = 0;
    }

    /// User space says where a frame begins, while `packet` is next.
    #[inline(always)]
    pub(crate) fn suggest(&mut self, seq: u32, packet: &Packet) {
        if (self.known == 0 || self.is_ahead != 0) && distance(packet.seq, seq) >= 0 {
            self.start(seq);
        }
    }

    /// Where the packet stands. `expected`: payload before it is a retransmission.
    #[inline(always)]
    pub(crate) fn place(&mut self, packet: &Packet, expected: u32) -> Place {
        if self.known == 0 {
            return Place::Copied;
        }
        let len = packet.payload_len;
        let next = distance(packet.seq, self.next);
        let begin = distance(packet.seq, self.begin);
        let needed = next.wrapping_add(i32::from(self.have));
        let first = distance(packet.seq, self.first);
        let is_read = self.first != self.next && distance(expected, self.first) >= 0;
        if is_read && first >= 0 && first < len.cast_signed() {
            // Headers come again, and TCP has not taken them: those that were read may have been
            // somebody else's.
            self.next = self.first;
            self.begin = self.first;
            self.have = 0;
            return Place::Header {
                at: first.cast_unsigned(),
                skips: first == 0 || self.first_skips != 0,
            };
        }
        if begin >= 0
            && begin < len.cast_signed()
            && self.begin != self.next
            && distance(expected, self.begin) >= 0
        {
            // In other segments.
            self.known = 0;
            return Place::Copied;
        }
        let skips = self.skips != 0 && begin < 0;
        if needed >= len.cast_signed() {
            return if skips { Place::Skipped } else { Place::Copied };
        }
        if needed < 0 {
            // A header was not seen. It may come yet, and its frame reach past this.
            if self.is_ahead == 0 || distance(self.ahead, packet.end()) > 0 {
                self.ahead = packet.end();
            }
            self.is_ahead = 1;
            return Place::Copied;
        }
        Place::Header {
            at: needed.cast_unsigned(),
            skips: needed == 0 || skips,
        }
    }

    /// Follows the headers of the packet from `at`, and keeps them in `marks`. How many there are,
    /// when nothing but they is copied of it; zero when all is.
    #[inline(always)]
    pub(crate) fn walk(
        &mut self,
        skb: *mut __sk_buff,
        packet: &Packet,
        (mut at, skips): (u32, bool),
        budget: u32,
        marks: &mut Marks,
    ) -> u32 {
        let len = emit::unknown(packet.payload_len, self.begin);
        at = emit::unknown(at, self.begin);
        // In the map: the verifier follows the value of a register.
        self.wanted = u32::from(!skips);
        self.first = self.next;
        self.first_skips = u32::from(skips);
        if self.have != 0 {
            // A header in two packets: both are copied.
            self.wanted = 1;
            at = emit::unknown(self.complete(skb, packet, at, budget), self.begin);
        }
        let mut count = 0;
        for mark in marks.iter_mut() {
            let behind = at.wrapping_add(HEADER);
            if behind > len {
                break;
            }
            mark.at = at;
            // SAFETY: `header` has nine bytes.
            let loaded = unsafe {
                read::payload(
                    skb,
                    packet.payload_offset + at,
                    mark.header.as_mut_ptr(),
                    HEADER,
                )
            };
            if !loaded {
                self.known = 0;
                return 0;
            }
            let header = mark.header;
            at = emit::unknown(self.enter(&header, packet, behind, budget), self.begin);
            count += 1;
        }
        if self.is_ahead != 0 && distance(self.next, self.ahead) > 0 {
            self.known = 0;
        }
        self.is_ahead = 0;
        if at < len {
            // The beginning of a header, or too many frames.
            self.begin_header(skb, packet, at);
            self.wanted = 1;
        }
        let count = emit::unknown(count, self.begin);
        if self.wanted == 0 { count } else { 0 }
    }

    /// Reads the rest of a header that began in the packet before. Where the next one begins.
    #[inline(always)]
    fn complete(&mut self, skb: *mut __sk_buff, packet: &Packet, at: u32, budget: u32) -> u32 {
        let len = packet.payload_len;
        let have = asm::opaque(u32::from(self.have));
        if have >= HEADER {
            return len;
        }
        let wanted = HEADER - have;
        let left = len.wrapping_sub(at);
        let last = asm::opaque(if wanted < left { wanted } else { left }.wrapping_sub(1));
        if last >= HEADER {
            return len;
        }
        // SAFETY: `have` is less than 9, and `last + 1` at most that: 18 of the 24 bytes.
        let loaded = unsafe {
            let to = self.header.as_mut_ptr().add(have as usize);
            read::payload(skb, packet.payload_offset + at, to, last + 1)
        };
        if !loaded {
            self.known = 0;
            return len;
        }
        if have + last + 1 < HEADER {
            self.have = (have + last + 1) as u8;
            return len;
        }
        self.have = 0;
        let [a, b, c, d, e, f, g, h, i, ..] = self.header;
        self.enter(&[a, b, c, d, e, f, g, h, i], packet, at + last + 1, budget)
    }

    /// Keeps the beginning of a header that ends in the next packet.
    #[inline(always)]
    fn begin_header(&mut self, skb: *mut __sk_buff, packet: &Packet, at: u32) {
        let last = asm::opaque(packet.payload_len.wrapping_sub(at).wrapping_sub(1));
        if last >= HEADER - 1 {
            self.known = 0;
            return;
        }
        // SAFETY: `last + 1` is at most 8 of the 24 bytes.
        let loaded = unsafe {
            let to = self.header.as_mut_ptr();
            read::payload(skb, packet.payload_offset + at, to, last + 1)
        };
        if loaded {
            self.have = (last + 1) as u8;
        } else {
            self.known = 0;
        }
    }

    /// A header is known, and `behind` is the end of it. Where the next one begins, or the packet
    /// ends.
    #[inline(always)]
    fn enter(&mut self, header: &[u8; 9], packet: &Packet, behind: u32, budget: u32) -> u32 {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *header;
        let length = u32::from(l0) << 16 | u32::from(l1) << 8 | u32::from(l2);
        let id = (u32::from(s0 & 0x7f) << 24)
            | (u32::from(s1) << 16)
            | (u32::from(s2) << 8)
            | u32::from(s3);
        let skips = kind == DATA
            && flags & PADDED == 0
            && length >= WORTH
            && self.is_spent(id, length, budget);
        if skips {
            self.skips = 1;
        } else {
            self.skips = 0;
            self.wanted = 1;
        }
        self.begin = packet.seq.wrapping_add(behind).wrapping_sub(HEADER);
        self.next = packet.seq.wrapping_add(behind).wrapping_add(length);
        let left = packet.payload_len.wrapping_sub(behind);
        behind.wrapping_add(if length < left { length } else { left })
    }

    /// Has the stream had its budget? Counts `length` bytes more if not.
    ///
    /// A stream that is counted loses what others in its place have, so that one of many small ones
    /// does not push out a large one, and one that is over goes (Misra and Gries).
    #[inline(always)]
    fn is_spent(&mut self, id: u32, length: u32, budget: u32) -> bool {
        let index = asm::opaque(id >> 1) as usize & (STREAMS - 1);
        // SAFETY: `index` is less than the number of streams.
        let stream = unsafe { &mut *self.streams.as_mut_ptr().add(index) };
        if stream.id == id {
            if stream.bytes >= budget {
                return true;
            }
            let bytes = stream.bytes.wrapping_add(length);
            stream.bytes = if bytes < budget { bytes } else { budget };
        } else if stream.bytes > length {
            stream.bytes -= length;
        } else {
            stream.id = id;
            stream.bytes = if length < budget { length } else { budget };
        }
        false
    }
}

/// Bytes of DATA copied per stream.
#[inline(always)]
pub(crate) fn budget(config: &CaptureConfig) -> u32 {
    if config.stream_budget < config.budget {
        config.stream_budget
    } else {
        config.budget
    }
}

const _: () = {
    assert!(offset_of!(Frames, header) == 28);
    assert!(size_of::<Frames>() == 28 + 24 + 8 * STREAMS);
    assert!(STREAMS.is_power_of_two());
};
