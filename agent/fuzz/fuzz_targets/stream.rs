//! Any segments of a stream whose bytes are known: what is handed on is that stream, in order, and every byte of it is
//! either handed on or told to be missing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meshtap::capture::{Event, Segment};
use meshtap::flow::{CgroupId, Direction, Endpoint, SocketId};
use meshtap::transport::tcp::{Assembler, Bounds, Item};

const BOUNDS: Bounds = Bounds {
    reorder_bytes: 2048,
};

/// The byte of the stream at a sequence number.
fn byte(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

/// What was handed on so far.
#[derive(Default)]
struct Told {
    next: Option<u32>,
    ended: bool,
}

impl Told {
    fn item(&mut self, item: &Item<'_>) {
        assert!(!self.ended, "nothing follows the end");
        match item {
            Item::Opens { seq, .. } => {
                assert!(self.next.is_none());
                self.next = Some(*seq);
            }
            Item::Bytes(piece) => {
                assert_eq!(self.next, Some(piece.seq));
                assert!(!piece.bytes.is_empty());
                for (at, got) in (0..).zip(piece.bytes) {
                    assert_eq!(*got, byte(piece.seq.wrapping_add(at)));
                }
                self.next = Some(piece.end());
            }
            Item::Gap(gap) => {
                assert_eq!(self.next, Some(gap.seq));
                // A position never goes back.
                assert!(0 < gap.len && gap.len <= i32::MAX.unsigned_abs());
                self.next = Some(gap.seq.wrapping_add(gap.len));
            }
            Item::Fin { .. } => self.ended = true,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut assembler = Assembler::default();
    let mut told = Told::default();
    let end = Endpoint::from_mapped([0; 16], 1);
    // Close to the wrap, half of the time.
    let base = if data.len() % 2 == 0 { 0_u32.wrapping_sub(300) } else { 1000 };
    let mut time = 0;
    for step in data.chunks_exact(6) {
        let [op, a, b, c, d, e] = *step else { continue };
        time += u64::from(e);
        let near = |low: u8, high: u8| base.wrapping_add(u32::from(u16::from_le_bytes([low, high & 7])));
        match op % 8 {
            0 => assembler.give_up(time, &mut |item| told.item(&item)),
            1 => assembler.acknowledged(near(a, b), time, &mut |item| told.item(&item)),
            2 => assembler.unneeded(near(a, b)),
            _ => {
                let seq = match op & 0x80 {
                    0 => near(a, b),
                    _ => u32::from_le_bytes([a, b, c, d]),
                };
                let payload: Vec<u8> = (0..u32::from(c)).map(|at| byte(seq.wrapping_add(at))).collect();
                let segment = Segment {
                    time,
                    cgroup: CgroupId(1),
                    seq,
                    expected: if op & 0x40 == 0 { base } else { near(d, e) },
                    wire_len: u32::from(c) + if op & 0x20 == 0 { 0 } else { u32::from(d) },
                    start: told.next.is_none(),
                    fin: op & 0x18 == 0x18 && e > 200,
                    skipped: op & 0x10 != 0,
                    ..Segment::new(SocketId(1), Direction::Ingress, (end, end), &payload)
                };
                assembler.push(&segment, &BOUNDS, &mut |item| told.item(&item));
            }
        }
        assert_eq!(assembler.position(), told.next);
        assert_eq!(assembler.ended(), told.ended);
        assert!(assembler.memory() <= BOUNDS.reorder_bytes);
    }
    assembler.flush(time, &mut |item| told.item(&item));
    assert_eq!(assembler.memory(), 0);
    assert!(assembler.waiting_since().is_none());
});
