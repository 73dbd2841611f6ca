//! What is known at one instruction, and what is noted of a function.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};

use super::insn::{Convention, Insn, Op, Slot, bit};

/// Stack slots that are known at one time.
const MAX_SLOTS: usize = 32;

/// What a register or a stack slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    Constant(u64),
    /// An argument of the function, as it was given.
    Argument(u8),
}

impl Value {
    pub(super) const fn constant(self) -> Option<u64> {
        match self {
            Self::Constant(value) => Some(value),
            Self::Argument(_) => None,
        }
    }
}

/// What a call passes.
pub(super) type Arguments = [Option<Value>; 6];

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Address(u64),
    /// Through a register or from memory.
    Indirect,
    /// The instruction that copies memory.
    Copy,
}

/// A place where an error of a library is reported:
/// `ERR_put_error(library, 0, reason, file, line)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    pub(super) library: u64,
    pub(super) reason: u64,
    pub(super) line: Option<u64>,
    pub(super) file: u64,
    pub(super) target: Target,
    pub(super) at: u64,
}

/// What a function does.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) sites: BTreeSet<Site>,
    pub(super) calls: BTreeSet<(Target, Arguments)>,
    /// It was not followed to the end.
    pub(super) is_cut: bool,
}

/// What is known at one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    registers: [Option<Value>; 32],
    /// By register and distance: size and value.
    slots: BTreeMap<(u8, i64), (u8, Value)>,
    pushed: Option<Value>,
}

impl State {
    pub(super) fn get(&self, register: u8) -> Option<Value> {
        *self.registers.get(usize::from(register))?
    }

    pub(super) fn set(&mut self, register: u8, value: Option<Value>) {
        if let Some(known) = self.registers.get_mut(usize::from(register)) {
            *known = value;
        }
    }

    /// What a slot of at least this size holds.
    fn slot(&self, slot: Slot) -> Option<Value> {
        let (size, value) = self.slots.get(&(slot.base, slot.distance))?;
        (*size >= slot.size).then_some(*value)
    }

    fn set_slot(&mut self, slot: Slot, value: Option<Value>) {
        let end = slot.next().distance;
        self.slots.retain(|(base, distance), (size, _)| {
            *base != slot.base
                || *distance >= end
                || distance.wrapping_add(i64::from(*size)) <= slot.distance
        });
        if let Some(value) = value
            && self.slots.len() < MAX_SLOTS
        {
            self.slots
                .insert((slot.base, slot.distance), (slot.size, value));
        }
    }

    fn set_some(&mut self, to: Option<u8>, value: Option<Value>) {
        if let Some(to) = to {
            self.set(to, value);
        }
    }

    /// An instruction that only moves data.
    pub(super) fn data(&mut self, insn: &Insn, convention: &Convention) {
        match insn.op {
            Op::Constant { to, value } => {
                self.forget(insn, convention);
                self.set(to, Some(Value::Constant(value)));
            }
            Op::Copy { to, from } => {
                let value = self.get(from);
                self.forget(insn, convention);
                self.set(to, value);
            }
            Op::Extend { to, from } => {
                let value = self.get(from);
                self.forget(insn, convention);
                self.set(to, value.filter(|value| value.constant().is_none()));
            }
            Op::Add { to, from, value } => {
                let known = self.get(from).and_then(Value::constant);
                self.forget(insn, convention);
                let sum = known.map(|known| Value::Constant(known.wrapping_add(value)));
                self.set(to, sum);
            }
            Op::Spill { slot, from } => {
                self.forget(insn, convention);
                self.set_slot(slot, from.and_then(|from| self.get(from)));
            }
            Op::SpillPair { slot, from } => {
                self.forget(insn, convention);
                for (slot, from) in [slot, slot.next()].into_iter().zip(from) {
                    self.set_slot(slot, from.and_then(|from| self.get(from)));
                }
            }
            Op::Reload { slot, to } => {
                let value = self.slot(slot);
                self.forget(insn, convention);
                self.set_some(to, value);
            }
            Op::ReloadPair { slot, to } => {
                let values = [self.slot(slot), self.slot(slot.next())];
                self.forget(insn, convention);
                for (to, value) in to.into_iter().zip(values) {
                    self.set_some(to, value);
                }
            }
            Op::PushConstant(value) => {
                self.forget(insn, convention);
                self.pushed = Some(Value::Constant(value));
            }
            Op::Push(from) => {
                self.forget(insn, convention);
                self.pushed = self.get(from);
            }
            Op::Pop(to) => {
                let value = self.pushed.take();
                self.forget(insn, convention);
                self.set(to, value);
            }
            _ => self.forget(insn, convention),
        }
    }

    /// What an instruction writes is not known afterwards; with a pointer into the stack, neither
    /// are its slots.
    pub(super) fn forget(&mut self, insn: &Insn, convention: &Convention) {
        if insn.writes == 0 {
            return;
        }
        for register in 0..32 {
            if insn.writes & bit(register) != 0 {
                self.set(register, None);
                if convention.stack.contains(&register) {
                    self.slots.retain(|(base, _), _| *base != register);
                }
            }
        }
    }
}

/// Where the interpreter has been, and what it knew there.
#[derive(Debug, Default)]
pub(super) struct Seen {
    states: HashMap<u64, HashSet<State>>,
    total: usize,
}

impl Seen {
    /// The state to go on with, where it is a new one. A loop that counts has no end of them: past
    /// the bound nothing is known.
    pub(super) fn enter(&mut self, at: u64, state: &State) -> Option<State> {
        const MAX_STATES: usize = 128;
        /// A kilobyte each.
        const MAX_TOTAL: usize = 32 * 1024;
        let states = self.states.entry(at).or_default();
        let state = if states.len() < MAX_STATES && self.total < MAX_TOTAL {
            state.clone()
        } else {
            State::default()
        };
        let is_new = states.insert(state.clone());
        self.total += usize::from(is_new);
        is_new.then_some(state)
    }
}
