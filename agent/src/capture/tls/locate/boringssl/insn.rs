//! What an instruction does, as far as constants, arguments and control flow are concerned; the
//! same for every processor.

use super::super::Machine;
use super::{aarch64, x86};

/// Registers as bits.
pub(super) type Registers = u64;

/// The bit of a register.
pub(super) const fn bit(register: u8) -> Registers {
    1 << register
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    /// Its length in bytes.
    pub(super) length: u8,
    pub(super) op: Op,
    pub(super) reads: Registers,
    pub(super) writes: Registers,
    /// It stores through a pointer that is neither the stack's nor a constant.
    pub(super) stores: bool,
}

/// What an instruction does. Whatever has no variant is [`Op::Other`]: its results are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// A constant, or an address.
    Constant {
        to: u8,
        value: u64,
    },
    /// A register.
    Copy {
        to: u8,
        from: u8,
    },
    /// A register with its sign extended.
    Extend {
        to: u8,
        from: u8,
    },
    /// A register and a constant.
    Add {
        to: u8,
        from: u8,
        value: u64,
    },
    /// A register, or what is not known, into a slot of the stack.
    Spill {
        slot: Slot,
        from: Option<u8>,
    },
    /// Two registers into neighbouring slots.
    SpillPair {
        slot: Slot,
        from: [Option<u8>; 2],
    },
    /// A slot of the stack into a register.
    Reload {
        slot: Slot,
        to: Option<u8>,
    },
    /// Neighbouring slots into two registers.
    ReloadPair {
        slot: Slot,
        to: [Option<u8>; 2],
    },
    /// A constant onto the stack.
    PushConstant(u64),
    /// A register onto the stack.
    Push(u8),
    /// Off the stack.
    Pop(u8),
    /// `rep movs`: copies to where the first argument's register points.
    CopyMemory,
    /// To an address, or to where only the running program knows.
    Call(Option<u64>),
    /// To an address.
    Jump(u64),
    /// To an address or on.
    Branch(u64),
    /// To where only the running program knows.
    JumpIndirect,
    /// Out of the function.
    Return,
    /// The program ends here.
    Trap,
    Other,
}

/// A place on the stack: a register, a distance, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) base: u8,
    pub(super) distance: i64,
    pub(super) size: u8,
}

impl Slot {
    /// The one after it.
    pub(super) const fn next(self) -> Self {
        Self {
            distance: self.distance.wrapping_add(self.size as i64),
            ..self
        }
    }
}

/// How a processor's functions are called.
#[derive(Debug)]
pub(super) struct Convention {
    /// Registers of arguments, in order.
    pub(super) arguments: [u8; 6],
    /// What a call may change.
    pub(super) clobbered: Registers,
    /// Registers that point into the stack.
    pub(super) stack: [u8; 2],
}

impl Convention {
    pub(super) const fn of(machine: Machine) -> &'static Self {
        match machine {
            Machine::X86_64 => &x86::CONVENTION,
            Machine::Aarch64 => &aarch64::CONVENTION,
        }
    }
}

/// The instruction at the start of `code`, which is at `address`.
pub(super) fn decode(machine: Machine, code: &[u8], address: u64) -> Option<Insn> {
    match machine {
        Machine::X86_64 => x86::decode(code, address),
        Machine::Aarch64 => aarch64::decode(code, address),
    }
}
