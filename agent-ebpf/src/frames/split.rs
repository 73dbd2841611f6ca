//! The header of a frame that is in two packets.

use aya_ebpf::bindings::__sk_buff;

use super::{Frames, HEADER};
use crate::asm;
use crate::read::{self, Packet};

impl Frames {
    /// Reads the rest of a header that began in the packet before. Where the next one begins.
    #[inline(always)]
    pub(super) fn complete(
        &mut self,
        skb: *mut __sk_buff,
        packet: &Packet,
        at: u32,
        budget: u32,
    ) -> u32 {
        let len = packet.payload_len;
        let have = asm::opaque(self.chain.have);
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
            let to = self.chain.header.as_mut_ptr().add(have as usize);
            read::payload(skb, packet.payload_offset + at, to, last + 1)
        };
        if !loaded {
            self.known = 0;
            return len;
        }
        if have + last + 1 < HEADER {
            self.chain.have = have + last + 1;
            return len;
        }
        self.chain.have = 0;
        let [a, b, c, d, e, f, g, h, i, ..] = self.chain.header;
        self.enter(&[a, b, c, d, e, f, g, h, i], packet, at + last + 1, budget)
    }

    /// Keeps the beginning of a header that ends in the next packet.
    #[inline(always)]
    pub(super) fn begin_header(&mut self, skb: *mut __sk_buff, packet: &Packet, at: u32) {
        let last = asm::opaque(packet.payload_len.wrapping_sub(at).wrapping_sub(1));
        if last >= HEADER - 1 {
            // Too many frames: what follows them is not known.
            return;
        }
        // SAFETY: `last + 1` is at most 8 of the 24 bytes.
        let loaded = unsafe {
            let to = self.chain.header.as_mut_ptr();
            read::payload(skb, packet.payload_offset + at, to, last + 1)
        };
        if loaded {
            self.chain.have = last + 1;
        } else {
            self.known = 0;
        }
    }
}
