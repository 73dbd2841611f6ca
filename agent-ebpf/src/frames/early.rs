//! Packets behind a header that was not seen.
//!
//! Packets of one connection that are received on two CPUs overtake each other, and at a gigabyte
//! per second what user space says of frames is about a place long past. But a download is frames
//! of one length. So where the next header of that kind is in such a packet is computed, and if it
//! is there, frames are followed from it: a guess. All of it is copied, until it is proven that a
//! frame begins where the guess did. One of two shows it:
//!
//! ```text
//!            next             first                          early.next
//!  ────────┬──▼───────────────┬─▼──────────────────────────────▼──
//!   known  │ not seen         │ packets that came early: copied
//!  ────────┴──────────────────┴───────────────────────────────────
//! ```
//!
//! * What was not seen comes, and the frames in it end at `first`.
//! * User space, which has every byte, is asked, and says that a frame begins at `first`.

use aya_ebpf::bindings::__sk_buff;
use meshtap_common::{FLAG_GUESS, distance};

use super::{Chain, DATA, FAR, Frames, HEADER, Place, WORTH};
use crate::read::{self, Packet};

/// Bytes after which what is missing among the packets that came early comes no more: another guess
/// is made.
const GIVE_UP: i32 = 512 * 1024;

/// `state`: there is a guess.
const GUESSED: u32 = FLAG_GUESS as u32;
/// `state`: it was proven, and no packet has been followed since.
const PROVEN: u32 = 1;

/// What user space is asked: does a frame begin there? Words, and no choice between them: the
/// verifier follows each.
#[derive(Clone, Copy)]
pub(crate) struct Inquiry {
    /// Zero when nothing is asked.
    pub(crate) seq: u32,
    /// `FLAG_GUESS`, or zero.
    pub(crate) flag: u32,
    /// All ones when it was not asked before; else zero.
    pub(crate) is_new: u32,
}

impl Inquiry {
    pub(crate) const NONE: Self = Self {
        seq: 0,
        flag: 0,
        is_new: 0,
    };
}

#[repr(C)]
pub(super) struct Early {
    /// The frames that were guessed.
    chain: Chain,
    /// Where the first of them begins.
    pub(super) first: u32,
    state: u32,
    /// All ones: the guess was made for the packet at hand; else zero.
    pub(super) is_new: u32,
    /// All ones: the packet at hand is followed by the guess; else zero.
    pub(super) mask: u32,
    /// Length of the last DATA that was not copied.
    length: u32,
    /// Bytes of the other frames that were before it, and after it.
    before: u32,
    after: u32,
    /// `Frames::first`, meanwhile.
    kept: u32,
}

impl Early {
    #[inline(always)]
    pub(super) fn is_any(&self) -> bool {
        self.state != 0
    }

    /// There is no guess any more. True: it was proven.
    #[inline(always)]
    pub(super) fn forget(&mut self) -> bool {
        let was_proven = self.state == PROVEN;
        self.state = 0;
        was_proven
    }

    /// What was proven with the packet before may be proven again.
    #[inline(always)]
    pub(super) fn part(&mut self) {
        if self.state == PROVEN {
            self.state = GUESSED;
        }
    }

    #[inline(always)]
    pub(super) fn inquiry(&self) -> Inquiry {
        let flag = self.state & GUESSED;
        Inquiry {
            seq: self.first & (flag / GUESSED).wrapping_neg(),
            flag,
            is_new: self.is_new,
        }
    }

    /// DATA that is not copied.
    #[inline(always)]
    pub(super) fn usual(&mut self, length: u32) {
        self.length = length;
        if self.after != 0 {
            self.before = self.after;
        }
        self.after = 0;
    }

    /// Another frame.
    #[inline(always)]
    pub(super) fn unusual(&mut self, length: u32) {
        self.after = self.after.wrapping_add(HEADER).wrapping_add(length);
    }

    /// By what user space says.
    #[inline(always)]
    fn learn(&mut self, length: u32) {
        if length >= WORTH {
            self.length = length;
        }
    }

    /// What the header of usual DATA would be, of any stream.
    #[inline(always)]
    fn is_usual(&self, header: &[u8; 9]) -> bool {
        let [l0, l1, l2, kind, flags, ..] = *header;
        kind == DATA && flags == 0 && u32::from_be_bytes([0, l0, l1, l2]) == self.length
    }
}

impl Frames {
    /// User space says where a frame begins, while `packet` is next, and how long usual DATA is.
    #[inline(always)]
    pub(crate) fn suggest(&mut self, seq: u32, usual: u32, packet: &Packet) {
        if !self.lock.take() {
            return;
        }
        let next = distance(packet.seq, self.chain.next);
        let is_lost = self.known == 0 || next < -FAR;
        if is_lost {
            self.start(seq);
            self.early.learn(usual);
        } else if next.wrapping_add(self.chain.have.cast_signed()) >= 0
            || distance(self.chain.next, seq) <= 0
        {
            // Known already.
        } else if self.early.state == GUESSED && self.early.first == seq {
            self.prove();
            self.first = self.chain.next;
        } else {
            let is_refuted = self.early.state != GUESSED || distance(self.early.first, seq) > 0;
            self.chain.start(seq);
            self.first = seq;
            if is_refuted {
                self.early.state = 0;
                self.early.learn(usual);
            }
        }
        self.lock.give();
    }

    /// The packet is behind a header that was not seen.
    #[inline(always)]
    pub(super) fn place_early(&mut self, skb: *mut __sk_buff, packet: &Packet) -> Place {
        if self.early.state == GUESSED {
            let next = distance(packet.seq, self.early.chain.next);
            let needed = next.wrapping_add(self.early.chain.have.cast_signed());
            if needed >= packet.payload_len.cast_signed() || (needed < 0 && needed > -GIVE_UP) {
                return Place::Copied;
            }
            if needed >= 0 {
                self.early.mask = u32::MAX;
                self.at = needed.cast_unsigned();
                self.skips = 0;
                return Place::Header;
            }
        }
        self.early.state = 0;
        // As if there were nothing but usual DATA; then, as if there had been others once.
        for shift in [0, self.early.before] {
            if let Some(at) = self.guess(skb, packet, shift) {
                self.early.first = packet.seq.wrapping_add(at);
                self.early.chain.start(self.early.first);
                self.early.state = GUESSED;
                self.early.is_new = u32::MAX;
                self.early.mask = u32::MAX;
                self.at = at;
                self.skips = 0;
                return Place::Header;
            }
        }
        Place::Copied
    }

    /// Where usual DATA begins in the packet, `shift` bytes aside, if it does.
    #[inline(always)]
    fn guess(&self, skb: *mut __sk_buff, packet: &Packet, shift: u32) -> Option<u32> {
        let period = self.early.length.wrapping_add(HEADER);
        let gap = distance(self.chain.next.wrapping_add(shift), packet.seq);
        if self.early.length == 0 || gap < 0 {
            return None;
        }
        let at = match gap.cast_unsigned().checked_rem(period)? {
            0 => 0,
            past => period - past,
        };
        if at.wrapping_add(HEADER) > packet.payload_len {
            return None;
        }
        // Words: nine bytes would be set to zero by a call, one by one.
        let mut words = [0_u64; 2];
        let header = words.as_mut_ptr().cast::<[u8; HEADER as usize]>();
        // SAFETY: `header` has nine bytes.
        let loaded =
            unsafe { read::payload(skb, packet.payload_offset + at, header.cast(), HEADER) };
        // SAFETY: as above, and nobody else has them.
        (loaded && self.early.is_usual(unsafe { &*header })).then_some(at)
    }

    /// Follows the guess, if the packet at hand is of it.
    #[inline(always)]
    pub(super) fn enter_early(&mut self) {
        if self.early.mask != 0 {
            self.early.kept = self.first;
            core::mem::swap(&mut self.chain, &mut self.early.chain);
        } else if self.early.state == PROVEN {
            self.early.state = 0;
        }
    }

    /// Follows what is known again, and looks if that has shown the guess to be right.
    #[inline(always)]
    pub(super) fn leave_early(&mut self) {
        if self.early.mask != 0 {
            self.early.mask = 0;
            core::mem::swap(&mut self.chain, &mut self.early.chain);
            self.first = self.early.kept;
        } else if self.early.state == GUESSED {
            let ahead = distance(self.chain.next, self.early.first);
            if ahead == 0 && self.chain.have == 0 {
                self.prove();
            } else if ahead < 0 {
                self.early.state = 0;
            }
        }
    }

    #[inline(always)]
    fn prove(&mut self) {
        self.chain = self.early.chain;
        self.early.state = PROVEN;
    }
}
