//! Any segments of a stream whose bytes are known: what is handed on is that stream, in order, and
//! every byte of it is either handed on or given to be missing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtap::capture::Segment;
use meshtap::flow::{CgroupId, Direction, Endpoint, Offset, SocketId};
use meshtap::transport::Item;
use meshtap::transport::tcp::{Anchor, Assembler, Bounds, Receiver};

const BOUNDS: Bounds = Bounds {
    reorder_bytes: 2048,
    positions: true,
};

/// The byte of the stream at a sequence number.
fn byte(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

/// What was handed on so far.
#[derive(Default)]
struct Given {
    next: Option<Offset>,
    ended: bool,
}

impl Given {
    /// `start`: the sequence number at [`Offset::ORIGIN`], known once the direction has opened.
    fn item(&mut self, item: &Item<'_>, start: Option<u32>) {
        assert!(!self.ended, "nothing follows the end");
        match item {
            Item::Opens { offset, .. } => {
                assert!(self.next.is_none());
                assert_eq!(*offset, Offset::ORIGIN);
                self.next = Some(*offset);
            }
            Item::Chunk(chunk) => {
                assert_eq!(self.next, Some(chunk.offset));
                assert!(!chunk.bytes.is_empty());
                let first = Offset::ORIGIN.until(chunk.offset) as u32;
                for (at, got) in (0..).zip(chunk.bytes) {
                    let seq = start.map(|start| start.wrapping_add(first).wrapping_add(at));
                    assert!(seq.is_none_or(|seq| *got == byte(seq)));
                }
                self.next = Some(chunk.end());
            }
            Item::Gap(gap) => {
                assert_eq!(self.next, Some(gap.offset));
                // A position never goes back.
                assert!(0 < gap.len && gap.len <= u64::from(i32::MAX.unsigned_abs()));
                self.next = Some(gap.end());
            }
            Item::Heard(_) | Item::Conflict { .. } | Item::Urgent => {}
            Item::End { .. } => self.ended = true,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut assembler = Assembler::default();
    let mut given = Given::default();
    let peer = Anchor::new(0);
    let end = Endpoint::from_mapped([0; 16], 1);
    // Close to the wrap, half of the time.
    let base = if data.len() % 2 == 0 {
        0_u32.wrapping_sub(300)
    } else {
        1000
    };
    let mut time = 0;
    for step in data.chunks_exact(6) {
        let [op, a, b, c, d, e] = *step else { continue };
        time += u64::from(e);
        let near =
            |low: u8, high: u8| base.wrapping_add(u32::from(u16::from_le_bytes([low, high & 7])));
        let start = assembler
            .offset()
            .map(|_| assembler.at().seq(Offset::ORIGIN));
        match op % 8 {
            0 => assembler.pass_hole(&mut Receiver::new(peer, |item: Item<'_>| {
                given.item(&item, start);
            })),
            1 => {
                let mut receiver = Receiver::new(peer, |item: Item<'_>| given.item(&item, start));
                assembler.acknowledged(near(a, b), time, &mut receiver);
            }
            2 => assembler.unneeded(near(a, b)),
            _ => {
                let seq = match op & 0x80 {
                    0 => near(a, b),
                    _ => u32::from_le_bytes([a, b, c, d]),
                };
                let payload: Vec<u8> = (0..u32::from(c))
                    .map(|at| byte(seq.wrapping_add(at)))
                    .collect();
                let segment = Segment {
                    time,
                    cgroup: CgroupId(1),
                    seq,
                    expected: if op & 0x40 == 0 { base } else { near(d, e) },
                    wire_len: u32::from(c) + if op & 0x20 == 0 { 0 } else { u32::from(d) },
                    start: given.next.is_none(),
                    fin: op & 0x18 == 0x18 && e > 200,
                    skipped: op & 0x10 != 0,
                    ..Segment::new(SocketId(1), Direction::Ingress, (end, end), &payload)
                };
                let mut receiver = Receiver::new(peer, |item: Item<'_>| given.item(&item, start));
                assembler.push(&segment, &BOUNDS, &mut receiver);
            }
        }
        assert_eq!(assembler.offset(), given.next);
        assert_eq!(assembler.ended(), given.ended);
        assert!(assembler.memory() <= BOUNDS.reorder_bytes);
    }
    let start = Some(assembler.at().seq(Offset::ORIGIN));
    let mut receiver = Receiver::new(peer, |item: Item<'_>| given.item(&item, start));
    assembler.flush(&mut receiver);
    assert_eq!(assembler.memory(), 0);
    assert!(assembler.waiting_since().is_none());
});
