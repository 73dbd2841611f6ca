//! HTTP/2: DATA past the budget of its stream is not copied; every other byte is.
//!
//! HTTP/2 has no quiescent points, and header compression forgives no missing byte. So the programs
//! follow the headers of frames, nine bytes with the length of what comes next (RFC 9113 §4.1), and
//! read nothing else.
//!
//! ```text
//!        begin      next                  a packet
//!          ▼          ▼      ┌──────────────────────────────┐
//!  ────────┬──┬───────┬──────┴───────────────┬──┬───────────┴─
//!          │hd│ DATA  │hd   DATA, not copied  │hd│ HEADERS
//!  ────────┴──┴───────┴──────────────────────┴──┴─────────────
//! ```
//!
//! Of a packet one *range* is copied, from the first frame that is wanted to the end of the last
//! one (all of it, or nothing, as often as not), and of what is before it and behind it those
//! headers alone: its *outline*. A range for each frame would be more than the verifier follows.
//!
//! All is known by sequence numbers, so a packet that is lost, or comes early, within one frame
//! changes nothing. Behind a header that was not seen, everything is copied, until it comes, or
//! until user space says where another frame begins ([`early`]).

mod chain;
mod early;
mod lock;
mod range;
mod split;
mod streams;

use core::mem::offset_of;

use aya_ebpf::bindings::{__sk_buff, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE};
use aya_ebpf::macros::btf_map;
use meshtap_common::{DIRECTION_INGRESS, MAX_MARKS, distance};

use self::chain::Chain;
use self::early::Early;
use self::lock::Lock;
pub(crate) use self::range::Range;
use self::streams::Streams;
pub(crate) use self::{early::Inquiry, streams::budget};
use crate::emit;
use crate::maps::{self, Marks};
use crate::read::{self, Packet, Socket};
use crate::storage::Storage;

/// Bytes of a frame's header.
const HEADER: u32 = 9;

/// Frames that are followed in a packet. One with more than [`MAX_MARKS`] is copied whole.
const MOST: usize = 2 * MAX_MARKS;

/// A shorter payload is copied: the outline of a packet of such frames costs a third of that.
const WORTH: u32 = 512;

const DATA: u8 = 0;
const PADDED: u8 = 8;

/// By socket. Only sockets that speak HTTP/2 have one.
#[btf_map]
static FRAMES: Storage<[Frames; 2], { BPF_F_NO_PREALLOC as usize }> = Storage::new();

/// Farthest that a packet may be past a header that was not seen: TCP's largest window (RFC 7323
/// §2.3). Distances end at twice that.
const FAR: i32 = 1 << 30;

/// The frames of one direction. Its own program alone writes it.
#[repr(C)]
pub(crate) struct Frames {
    lock: Lock,
    /// The frames that are known to be such.
    chain: Chain,
    early: Early,
    /// Non-zero: `chain.next` is known.
    known: u32,
    /// First byte in the packet at hand of the header of a frame that was not seen. In the map, as
    /// is all that is decided of a packet: the verifier follows the value of a register.
    at: u32,
    /// Non-zero: what is before that is not copied.
    skips: u32,
    range: Range,
    /// Where the first header was of those that were read last.
    first: u32,
    /// Non-zero: what was before it in the packet is not copied.
    first_skips: u32,
    streams: Streams,
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
enum Place {
    /// All of it is copied.
    Copied,
    /// All of it is payload that is not.
    Skipped,
    /// The header of a frame is in it: [`Frames::at`].
    Header,
}

/// What is copied of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// All.
    All,
    /// Nothing. The flag: a frame ends with it.
    Nothing(bool),
    /// A range, which may be empty, and the headers of frames outside it.
    Range,
}

/// What is copied, and what goes with it. (No pointer in an enum: the compiler would move halves of
/// it.)
pub(crate) struct Followed {
    pub(crate) content: Content,
    /// With [`Content::Range`]: the headers.
    pub(crate) marks: Option<&'static Marks>,
    pub(crate) range: Range,
    /// With [`Content::All`].
    pub(crate) inquiry: Inquiry,
}

impl Frames {
    /// A frame begins here.
    #[inline(always)]
    pub(crate) fn start(&mut self, seq: u32) {
        self.chain.start(seq);
        self.early.forget();
        self.first = seq;
        self.known = 1;
    }

    /// Follows the frames of a packet. `expected`: payload before it is a retransmission.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        skb: *mut __sk_buff,
        packet: &Packet,
        (direction, expected, budget): (u8, u32, u32),
    ) -> Followed {
        let is_shared = direction == DIRECTION_INGRESS;
        let mut followed = Followed {
            content: Content::All,
            marks: None,
            range: Range::EMPTY,
            inquiry: Inquiry::NONE,
        };
        if is_shared && !self.lock.take() {
            return followed;
        }
        self.early.is_new = 0;
        self.early.mask = 0;
        match self.place(skb, packet, expected) {
            Place::Copied => {}
            Place::Skipped => {
                let is_whole = distance(packet.end(), self.chain.next) == 0;
                followed.content = Content::Nothing(is_whole);
            }
            Place::Header => self.outline(skb, packet, budget, &mut followed),
        }
        followed.inquiry = self.early.inquiry();
        if is_shared {
            self.lock.give();
        }
        followed
    }

    /// Follows the headers of the packet. Where not all is copied, they are in `followed`.
    #[inline(always)]
    fn outline(
        &mut self,
        skb: *mut __sk_buff,
        packet: &Packet,
        budget: u32,
        followed: &mut Followed,
    ) {
        let Some(marks) = maps::take_marks() else {
            return;
        };
        self.enter_early();
        let is_part = self.walk(skb, packet, budget, marks);
        self.leave_early();
        if !is_part {
            maps::give_marks();
            return;
        }
        followed.content = Content::Range;
        followed.marks = Some(marks);
        followed.range = self.range;
    }

    /// Where the packet stands.
    #[inline(always)]
    fn place(&mut self, skb: *mut __sk_buff, packet: &Packet, expected: u32) -> Place {
        let len = packet.payload_len.cast_signed();
        let next = distance(packet.seq, self.chain.next);
        if self.known == 0 || next < -FAR {
            self.known = 0;
            return Place::Copied;
        }
        let begin = distance(packet.seq, self.chain.begin);
        let needed = next.wrapping_add(self.chain.have.cast_signed());
        let is_again = |at: u32| {
            let offset = distance(packet.seq, at);
            offset >= 0 && offset < len && distance(expected, at) >= 0
        };
        // Headers come again, and TCP has not taken them: those that were read may have been
        // somebody else's.
        if self.first != self.chain.next && is_again(self.first) {
            return self.again(packet, self.first, self.first_skips != 0);
        }
        if self.early.is_any() && is_again(self.early.first) && self.early.forget() {
            return self.again(packet, self.early.first, false);
        }
        if self.chain.begin != self.chain.next && is_again(self.chain.begin) {
            // In other segments.
            self.known = 0;
            return Place::Copied;
        }
        let skips = self.chain.skips != 0 && begin < 0;
        if needed >= len {
            return if skips { Place::Skipped } else { Place::Copied };
        }
        if needed < 0 {
            return self.place_early(skb, packet);
        }
        self.header_at(needed, skips)
    }

    /// The frame at `first` is read once more.
    #[inline(always)]
    fn again(&mut self, packet: &Packet, first: u32, skips: bool) -> Place {
        self.chain.next = first;
        self.chain.begin = first;
        self.chain.have = 0;
        self.first = first;
        self.early.part();
        self.header_at(distance(packet.seq, first), skips)
    }

    #[inline(always)]
    fn header_at(&mut self, at: i32, skips: bool) -> Place {
        self.at = at.cast_unsigned();
        self.skips = u32::from(at == 0 || skips);
        Place::Header
    }

    /// Follows the headers of the packet from `at`, and keeps them in `marks`. False: all of it is
    /// copied.
    #[inline(always)]
    fn walk(
        &mut self,
        skb: *mut __sk_buff,
        packet: &Packet,
        budget: u32,
        marks: &mut Marks,
    ) -> bool {
        let len = emit::unknown(packet.payload_len, self.chain.begin);
        let mut at = self.at;
        self.first = self.chain.next;
        self.first_skips = self.skips;
        self.range.start(at, self.skips.wrapping_sub(1));
        if self.chain.have != 0 {
            // A header in two packets: both parts are copied.
            at = emit::unknown(self.complete(skb, packet, at, budget), self.chain.begin);
            self.range.start(at, u32::MAX);
        }
        let mut count = 0;
        #[expect(
            clippy::needless_range_loop,
            reason = "an iterator would keep two pointers, which the verifier follows"
        )]
        for n in 0..MOST {
            let behind = at.wrapping_add(HEADER);
            if behind > len {
                break;
            }
            let mark = &mut marks[n];
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
                return false;
            }
            let header = mark.header;
            let start = at;
            at = emit::unknown(
                self.enter(&header, packet, behind, budget),
                self.chain.begin,
            );
            self.range
                .add((start, at), count, self.chain.skips.wrapping_sub(1));
            count += 1;
        }
        let count = emit::unknown(count, self.chain.begin);
        if at < len {
            // The beginning of a header, or too many frames.
            self.begin_header(skb, packet, at);
            self.range.add((at, len), count, u32::MAX);
        }
        count <= MAX_MARKS as u32 && self.range.end(len, count, self.early.mask)
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
            && self
                .streams
                .is_spent(id, (length, !self.early.mask), budget);
        if skips {
            self.chain.skips = 1;
            self.early.usual(length);
        } else {
            self.chain.skips = 0;
            self.early.unusual(length);
        }
        self.chain.begin = packet.seq.wrapping_add(behind).wrapping_sub(HEADER);
        self.chain.next = packet.seq.wrapping_add(behind).wrapping_add(length);
        let left = packet.payload_len.wrapping_sub(behind);
        behind.wrapping_add(if length < left { length } else { left })
    }
}

const _: () = assert!(offset_of!(Frames, chain).is_multiple_of(8));
