//! Instructions of A64 (Arm Architecture Reference Manual, C4).
//!
//! The fields are read off the word: a disassembler would give names, and which registers an
//! instruction writes would have to be found out all the same. Where encodings are not
//! distinguished, more is taken as written than is: what is not known is never used.

use super::insn::{Convention, Insn, Op, Registers, Slot, bit};

/// The stack pointer; in other places the number means zero.
const SP: u8 = 31;
/// The frame pointer.
const FP: u8 = 29;

/// Procedure Call Standard for the Arm 64-bit Architecture, 6.1.1; x30 is the return address.
pub(super) const CONVENTION: Convention = Convention {
    arguments: [0, 1, 2, 3, 4, 5],
    clobbered: ((1 << 19) - 1) | bit(30),
    stack: [SP, FP],
};

/// What an instruction does, without its length.
struct Effect {
    op: Op,
    reads: Registers,
    writes: Registers,
    stores: bool,
}

impl Effect {
    const fn of(op: Op) -> Self {
        Self {
            op,
            reads: 0,
            writes: 0,
            stores: false,
        }
    }

    const fn reading(self, reads: Registers) -> Self {
        Self { reads, ..self }
    }

    const fn writing(self, writes: Registers) -> Self {
        Self { writes, ..self }
    }
}

/// Fields of a word.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    const fn is(self, mask: u32, value: u32) -> bool {
        self.0 & mask == value
    }

    const fn bits(self, low: u32, count: u32) -> u32 {
        self.0 >> low & ((1 << count) - 1)
    }

    /// With its sign.
    const fn signed(self, low: u32, count: u32) -> i64 {
        let shift = 32 - count;
        ((self.bits(low, count) << shift).cast_signed() >> shift) as i64
    }

    #[expect(clippy::cast_possible_truncation, reason = "five bits")]
    const fn register(self, low: u32) -> u8 {
        self.bits(low, 5) as u8
    }

    /// The bit of a register field where 31 means zero.
    const fn mask(self, low: u32) -> Registers {
        match self.register(low) {
            31 => 0,
            register => bit(register),
        }
    }
}

pub(super) fn decode(code: &[u8], address: u64) -> Option<Insn> {
    let word = Word(u32::from_le_bytes(*code.first_chunk()?));
    let effect = match word.bits(25, 4) {
        0b1000 | 0b1001 => immediate(word, address),
        0b1010 | 0b1011 => branch(word, address),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word),
        0b0101 | 0b1101 => registers(word),
        0b0111 | 0b1111 => vector(word),
        // Reserved; `udf` is all zero but for its immediate.
        0b0000 => Effect::of(Op::Trap),
        // SVE: what it writes of general registers is few, and taken as written.
        _ => Effect::of(Op::Other).writing(word.mask(0)),
    };
    Some(Insn {
        length: 4,
        op: effect.op,
        reads: effect.reads,
        writes: effect.writes,
        stores: effect.stores,
    })
}

/// C4.1.86: data processing with an immediate.
fn immediate(word: Word, address: u64) -> Effect {
    let to = word.register(0);
    if word.is(0x1f00_0000, 0x1000_0000) {
        // adr, adrp
        let distance = word.signed(5, 19) << 2 | i64::from(word.bits(29, 2));
        let value = match word.bits(31, 1) {
            0 => address.wrapping_add_signed(distance),
            _ => (address & !0xfff).wrapping_add_signed(distance << 12),
        };
        return constant(to, value);
    }
    if word.is(0x1f80_0000, 0x1100_0000) {
        return add(word);
    }
    if word.is(0x1f80_0000, 0x1280_0000) {
        // movn, movz, movk
        let value = u64::from(word.bits(5, 16)) << (16 * word.bits(21, 2));
        let wide = if word.bits(31, 1) == 1 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        return match word.bits(29, 2) {
            0 => constant(to, !value & wide),
            2 => constant(to, value & wide),
            _ => Effect::of(Op::Other)
                .reading(word.mask(0))
                .writing(word.mask(0)),
        };
    }
    if word.is(0xffff_fc00, 0x9340_7c00) {
        // sxtw
        let from = word.register(5);
        return Effect::of(Op::Extend { to, from })
            .reading(word.mask(5))
            .writing(word.mask(0));
    }
    // Logical, bit fields (bfm reads its result, too), extr.
    let is_field = word.is(0x7f80_0000, 0x3300_0000);
    let reads = word.mask(5) | if is_field { word.mask(0) } else { 0 };
    let extracted = if word.is(0x1f80_0000, 0x1380_0000) {
        word.mask(16)
    } else {
        0
    };
    Effect::of(Op::Other)
        .reading(reads | extracted)
        .writing(bit(to))
}

fn constant(to: u8, value: u64) -> Effect {
    match to {
        31 => Effect::of(Op::Other),
        to => Effect::of(Op::Constant { to, value }).writing(bit(to)),
    }
}

/// `add` and `sub` of an immediate.
fn add(word: Word) -> Effect {
    let (to, from) = (word.register(0), word.register(5));
    let value = u64::from(word.bits(10, 12)) << (12 * word.bits(22, 1));
    let value = match word.bits(30, 1) {
        0 => value,
        _ => value.wrapping_neg(),
    };
    if word.bits(29, 1) == 1 {
        // It sets flags: register 31 is zero then.
        return Effect::of(Op::Other)
            .reading(bit(from))
            .writing(word.mask(0));
    }
    // `mov` to or from the stack pointer is an `add` of zero.
    Effect::of(Op::Add { to, from, value })
        .reading(bit(from))
        .writing(bit(to))
}

/// C4.1.89: branches, exceptions, system.
fn branch(word: Word, address: u64) -> Effect {
    let to = |distance: i64| address.wrapping_add_signed(distance << 2);
    if word.is(0x7c00_0000, 0x1400_0000) {
        let target = to(word.signed(0, 26));
        return match word.bits(31, 1) {
            0 => Effect::of(Op::Jump(target)),
            _ => Effect::of(Op::Call(Some(target))).writing(bit(30)),
        };
    }
    if word.is(0xff00_0000, 0x5400_0000) {
        return Effect::of(Op::Branch(to(word.signed(5, 19))));
    }
    if word.is(0x7e00_0000, 0x3400_0000) {
        return Effect::of(Op::Branch(to(word.signed(5, 19)))).reading(word.mask(0));
    }
    if word.is(0x7e00_0000, 0x3600_0000) {
        return Effect::of(Op::Branch(to(word.signed(5, 14)))).reading(word.mask(0));
    }
    if word.is(0xfe00_0000, 0xd600_0000) {
        // With and without a check of the pointer's signature.
        return match word.bits(21, 4) & 0b111 {
            0 => Effect::of(Op::JumpIndirect).reading(word.mask(5)),
            1 => Effect::of(Op::Call(None))
                .reading(word.mask(5))
                .writing(bit(30)),
            2 => Effect::of(Op::Return),
            _ => Effect::of(Op::Trap),
        };
    }
    if word.is(0xff00_0000, 0xd400_0000) {
        // svc goes on; brk and hlt do not.
        return match word.bits(21, 3) {
            0 => Effect::of(Op::Other).writing(CONVENTION.clobbered),
            _ => Effect::of(Op::Trap),
        };
    }
    // mrs, sysl
    let writes = if word.is(0xffe0_0000, 0xd520_0000) {
        word.mask(0)
    } else {
        0
    };
    Effect::of(Op::Other).writing(writes)
}

/// C4.1.94: loads and stores.
fn memory(word: Word) -> Effect {
    let is_vector = word.bits(26, 1) == 1;
    if word.is(0x3a00_0000, 0x2800_0000) {
        return pair(word, is_vector);
    }
    if word.is(0x3b00_0000, 0x3900_0000) {
        // One register at a distance in units of its size.
        let size = word.bits(30, 2);
        let distance = i64::from(word.bits(10, 12)) << size;
        return single(word, is_vector, Some(distance), false);
    }
    if word.is(0x3b20_0000, 0x3800_0000) {
        // A distance in bytes; written back where the lowest bit of its kind is set.
        let is_written_back = word.bits(10, 1) == 1;
        let distance = (!is_written_back).then(|| word.signed(12, 9));
        return single(word, is_vector, distance, is_written_back);
    }
    if word.is(0x3b20_0c00, 0x3820_0800) {
        let effect = single(word, is_vector, None, false);
        let reads = effect.reads | word.mask(16);
        return effect.reading(reads);
    }
    if word.is(0x3b00_0000, 0x1800_0000) {
        // Of a literal.
        let writes = if is_vector { 0 } else { word.mask(0) };
        return Effect::of(Op::Other).writing(writes);
    }
    // Exclusive, atomic, tags, vectors by element: everything that they name may be written.
    let named = word.mask(0) | word.mask(16);
    let vectors = word.is(0xbe00_0000, 0x0c00_0000);
    let base = word.register(5);
    Effect {
        op: Op::Other,
        reads: bit(base) | if vectors { 0 } else { named },
        writes: if vectors {
            bit(base)
        } else {
            named | word.mask(10)
        },
        stores: word.bits(22, 1) == 0 && !CONVENTION.stack.contains(&base),
    }
}

/// `ldr`, `str` and those of narrower sizes. No distance: one that is not a constant, or not one of
/// before.
fn single(word: Word, is_vector: bool, distance: Option<i64>, is_written_back: bool) -> Effect {
    let (size, kind) = (word.bits(30, 2), word.bits(22, 2));
    let base = word.register(5);
    let is_on_stack = CONVENTION.stack.contains(&base);
    // Of vectors the lower bit is "load", the upper one is of the size.
    let is_store = kind == 0 || is_vector && kind == 2;
    let back = if is_written_back { bit(base) } else { 0 };
    let is_prefetch = !is_vector && size == 3 && kind == 2;
    let value = if is_vector || is_prefetch {
        0
    } else {
        word.mask(0)
    };
    let slot = distance
        .filter(|_| is_on_stack && !is_vector && size >= 2)
        .map(|distance| Slot {
            base,
            distance,
            size: if size == 2 { 4 } else { 8 },
        });
    let zero_or = |register: u8| (register != 31).then_some(register);
    let op = match (slot, kind) {
        (Some(slot), 0) => Op::Spill {
            slot,
            from: zero_or(word.register(0)),
        },
        (Some(slot), 1) => Op::Reload {
            slot,
            to: zero_or(word.register(0)),
        },
        _ => Op::Other,
    };
    Effect {
        op,
        reads: bit(base) | if is_store { value } else { 0 },
        writes: back | if is_store { 0 } else { value },
        stores: is_store && !is_on_stack,
    }
}

/// `ldp` and `stp`.
fn pair(word: Word, is_vector: bool) -> Effect {
    let is_store = word.bits(22, 1) == 0;
    let base = word.register(5);
    let is_on_stack = CONVENTION.stack.contains(&base);
    let is_written_back = word.bits(23, 1) == 1;
    let (size, is_plain) = match word.bits(30, 2) {
        0 => (4, true),
        2 => (8, true),
        // ldpsw
        _ => (4, false),
    };
    let both = if is_vector {
        0
    } else {
        word.mask(0) | word.mask(10)
    };
    let is_slot = is_on_stack && !is_written_back && !is_vector && is_plain;
    let zero_or = |register: u8| (register != 31).then_some(register);
    let named = [zero_or(word.register(0)), zero_or(word.register(10))];
    let slot = Slot {
        base,
        distance: word.signed(15, 7) * i64::from(size),
        size,
    };
    let op = match (is_slot, is_store) {
        (false, _) => Op::Other,
        (true, true) => Op::SpillPair { slot, from: named },
        (true, false) => Op::ReloadPair { slot, to: named },
    };
    Effect {
        op,
        reads: bit(base) | if is_store { both } else { 0 },
        writes: if is_store { 0 } else { both } | if is_written_back { bit(base) } else { 0 },
        stores: is_store && !is_on_stack,
    }
}

/// C4.1.95: data processing with registers.
fn registers(word: Word) -> Effect {
    let (to, from) = (word.register(0), word.register(16));
    if word.is(0x7fe0_ffe0, 0x2a00_03e0) && to != 31 {
        // mov
        return match from {
            31 => constant(to, 0),
            from => Effect::of(Op::Copy { to, from })
                .reading(bit(from))
                .writing(bit(to)),
        };
    }
    // Three sources; conditional compares write flags only.
    let third = if word.is(0x1f00_0000, 0x1b00_0000) {
        word.mask(10)
    } else {
        0
    };
    let is_compare = word.is(0x1fe0_0000, 0x1a40_0000);
    // `add` of an extended register may write the stack pointer.
    let is_extended = word.is(0x3fe0_0000, 0x0b20_0000);
    let writes = match (is_compare, is_extended) {
        (true, _) => 0,
        (false, true) => bit(to),
        (false, false) => word.mask(0),
    };
    Effect::of(Op::Other)
        .reading(word.mask(5) | word.mask(16) | third)
        .writing(writes)
}

/// C4.1.96: floating point and vectors. Few move something to a general register.
fn vector(word: Word) -> Effect {
    let converts = word.is(0x5f20_0000, 0x1e20_0000) && word.bits(10, 6) == 0;
    let fixed = word.is(0x5f20_0000, 0x1e00_0000);
    let moves = word.is(0x9fe0_8400, 0x0e00_0400);
    if !(converts || fixed || moves) {
        return Effect::of(Op::Other);
    }
    Effect::of(Op::Other)
        .reading(word.mask(5))
        .writing(word.mask(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: u32, expected: Op, writes: Registers) {
        let insn = decode(&word.to_le_bytes(), 0x1_2345).expect("an instruction");
        assert_eq!(insn.op, expected, "{word:x}");
        assert_eq!(insn.writes, writes, "{word:x}");
    }

    #[test]
    fn data() {
        let value = 226;
        check(0x5280_1c42, Op::Constant { to: 2, value }, bit(2)); // movz w2, #226
        let value = 0x1_3000;
        check(0xb000_0000, Op::Constant { to: 0, value }, bit(0)); // adrp x0, one page on
        let (to, from) = (1, 1);
        let value = 0x11;
        check(0x9100_4421, Op::Add { to, from, value }, bit(1)); // add x1, x1, #0x11
        let (to, from) = (19, 0);
        check(0xaa00_03f3, Op::Copy { to, from }, bit(19)); // mov x19, x0
        let (to, from) = (2, 2);
        check(0x9340_7c42, Op::Extend { to, from }, bit(2)); // sxtw x2, w2
        check(0xfa45_1822, Op::Other, 0); // ccmp x1, x5, #2, ne
        check(0xd53b_d048, Op::Other, bit(8)); // mrs x8, tpidr_el0
    }

    #[test]
    fn control_flow() {
        check(0x9400_0001, Op::Call(Some(0x1_2349)), bit(30)); // bl
        check(0xd63f_0100, Op::Call(None), bit(30)); // blr x8
        check(0x17ff_ffff, Op::Jump(0x1_2341), 0); // b
        check(0x5400_0041, Op::Branch(0x1_234d), 0); // b.ne
        check(0x3400_0040, Op::Branch(0x1_234d), 0); // cbz w0
        check(0xd65f_03c0, Op::Return, 0); // ret
        check(0xd65f_0bff, Op::Return, 0); // retaa
        check(0xd61f_0100, Op::JumpIndirect, 0); // br x8
        check(0xd420_0020, Op::Trap, 0); // brk #1
    }

    #[test]
    fn memory() {
        let slot = |distance| Slot {
            base: SP,
            distance,
            size: 8,
        };
        let spill = |distance, from| Op::Spill {
            slot: slot(distance),
            from: Some(from),
        };
        check(0xf900_0fe1, spill(24, 1), 0); // str x1, [sp, #24]
        let pair = Op::ReloadPair {
            slot: slot(16),
            to: [Some(19), Some(20)],
        };
        check(0xa941_53f3, pair, bit(19) | bit(20)); // ldp x19, x20, [sp, #16]
        check(0xa9bf_7bfd, Op::Other, bit(SP)); // stp x29, x30, [sp, #-16]!
        check(0xf840_8401, Op::Other, bit(0) | bit(1)); // ldr x1, [x0], #8
        let stores = |word: u32| decode(&word.to_le_bytes(), 0).expect("one").stores;
        assert!(stores(0xb900_0c22)); // str w2, [x1, #12]
        assert!(!stores(0xf900_0fe1)); // str x1, [sp, #24]
        assert!(!stores(0xb940_0c22)); // ldr w2, [x1, #12]
    }
}
