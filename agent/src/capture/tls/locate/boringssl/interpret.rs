//! Follows a function's control flow and knows which registers hold constants and arguments.

use std::cell::Cell;

use hashbrown::{HashMap, HashSet};

use super::image::Image;
use super::insn::{Convention, Insn, Op, bit, decode};
use super::ranges::{Range, Ranges};
use super::scan::Called;
use super::state::{Seen, State};

pub(super) use super::state::{Arguments, Site, Summary, Target, Value};

/// Instructions that are followed in one function; those of libssl need some thousand.
const MAX_STEPS: usize = 60_000;
/// The same outside of it. A jump may be a call in the last place, and lead through functions that
/// are called through pointers only: those are not libssl's.
const MAX_STEPS_OUTSIDE: usize = 20_000;
/// Instructions that are decoded for one file: Envoy needs some hundred thousand.
const MAX_DECODED: usize = 3 * 1024 * 1024;

/// The program, and what functions are followed with.
pub(super) struct Interpreter<'a> {
    pub(super) image: &'a Image,
    pub(super) ranges: &'a Ranges,
    pub(super) called: &'a Called,
    pub(super) convention: &'static Convention,
    /// Names of files whose errors count; nothing: any constant.
    pub(super) files: Option<Vec<u64>>,
    /// Code that the compiler moved out of several functions: it is followed where it is called.
    pub(super) outlined: HashSet<u64>,
    cache: HashMap<u64, Summary>,
    left: Cell<usize>,
}

impl<'a> Interpreter<'a> {
    pub(super) fn new(
        image: &'a Image,
        ranges: &'a Ranges,
        called: &'a Called,
        files: Option<Vec<u64>>,
    ) -> Self {
        Self {
            image,
            ranges,
            called,
            convention: Convention::of(image.machine),
            files,
            outlined: HashSet::new(),
            cache: HashMap::new(),
            left: Cell::new(MAX_DECODED),
        }
    }

    /// The instruction at an address, until the bound is reached.
    pub(super) fn insn(&self, address: u64) -> Option<Insn> {
        self.left.set(self.left.get().checked_sub(1)?);
        decode(self.image.machine, self.image.code_at(address)?, address)
    }

    /// The bound on the work was reached: what was not seen is not known.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// The instructions of a range, one after the other.
    pub(super) fn listing(&self, range: Range) -> impl Iterator<Item = (u64, Insn)> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let insn = self.insn(at)?;
            let here = at;
            at += u64::from(insn.length);
            Some((here, insn))
        })
    }

    /// Code is to be followed where it is called from now on.
    pub(super) fn outline(&mut self, starts: impl Iterator<Item = u64>) {
        self.outlined.extend(starts);
        self.cache.clear();
    }

    /// What a function does, whatever its arguments are.
    pub(super) fn summary(&mut self, range: Range) -> Summary {
        if let Some(known) = self.cache.get(&range.start) {
            return known.clone();
        }
        let summary = self.follow(range, State::default());
        self.cache.insert(range.start, summary.clone());
        summary
    }

    /// What a function does with its first three arguments.
    pub(super) fn flow(&self, range: Range) -> Summary {
        let mut state = State::default();
        for (number, register) in (0_u8..3).zip(self.convention.arguments) {
            state.set(register, Some(Value::Argument(number)));
        }
        self.follow(range, state)
    }

    /// The function itself first, then code outside that it jumps to.
    fn follow(&self, function: Range, state: State) -> Summary {
        let mut summary = Summary::default();
        let mut seen = Seen::default();
        let mut inside = vec![(function.start, state)];
        let mut outside = Vec::new();
        let (mut steps, mut steps_outside) = (0, 0);
        while let Some((mut at, mut state)) = inside.pop().or_else(|| outside.pop()) {
            loop {
                let counted = if function.contains(at) {
                    &mut steps
                } else if steps_outside < MAX_STEPS_OUTSIDE && self.is_part(at) {
                    &mut steps_outside
                } else {
                    break;
                };
                *counted += 1;
                if steps > MAX_STEPS {
                    summary.is_cut = true;
                    return summary;
                }
                let Some(insn) = self.insn(at) else { break };
                let next = at + u64::from(insn.length);
                let ways = self.step(at, &insn, function, &mut state, &mut summary);
                if ways == [Some(next), None] {
                    at = next;
                    continue;
                }
                for way in ways.into_iter().flatten() {
                    if let Some(state) = seen.enter(way, &state) {
                        let work = if function.contains(way) {
                            &mut inside
                        } else {
                            &mut outside
                        };
                        work.push((way, state));
                    }
                }
                break;
            }
        }
        summary
    }

    /// Code outside a function is followed where nobody calls it: it may be the function's unlikely
    /// part.
    fn is_part(&self, at: u64) -> bool {
        self.ranges
            .of_address(at)
            .is_some_and(|range| !self.called.contains(range.start))
    }

    /// One instruction; where it goes on.
    fn step(
        &self,
        at: u64,
        insn: &Insn,
        function: Range,
        state: &mut State,
        summary: &mut Summary,
    ) -> [Option<u64>; 2] {
        let on = Some(at + u64::from(insn.length));
        match insn.op {
            Op::Return | Op::Trap | Op::JumpIndirect => return [None, None],
            Op::Branch(target) => return [on, Some(target)],
            Op::Jump(target) => {
                return [self.jump(at, target, function, state, summary), None];
            }
            Op::Call(Some(target)) if self.outlined.contains(&target) => {
                if self.run_outlined(target, function, state, summary) {
                    return [on, None];
                }
                self.call(at, Target::Address(target), state, summary);
            }
            Op::Call(target) => {
                let target = target.map_or(Target::Indirect, Target::Address);
                self.call(at, target, state, summary);
            }
            Op::CopyMemory => {
                summary.calls.insert((Target::Copy, self.arguments(state)));
                state.forget(insn, self.convention);
            }
            _ => state.data(insn, self.convention),
        }
        [on, None]
    }

    /// A call. What it may change is not known afterwards.
    fn call(&self, at: u64, target: Target, state: &mut State, summary: &mut Summary) {
        summary.calls.insert((target, self.arguments(state)));
        self.record(at, target, state, summary);
        for register in 0..32 {
            if self.convention.clobbered & bit(register) != 0 {
                state.set(register, None);
            }
        }
    }

    /// A jump: where it goes on, unless it is a call in the last place.
    fn jump(
        &self,
        at: u64,
        target: u64,
        function: Range,
        state: &mut State,
        summary: &mut Summary,
    ) -> Option<u64> {
        if function.contains(target) {
            return Some(target);
        }
        if self.outlined.contains(&target) {
            self.run_outlined(target, function, state, summary);
            return None;
        }
        let is_function = self
            .ranges
            .of_address(target)
            .is_none_or(|range| range.start == target && self.called.contains(target));
        if is_function {
            self.record(at, Target::Address(target), state, summary);
            return None;
        }
        Some(target)
    }

    /// Code that was moved out of a function; whether it returns.
    fn run_outlined(
        &self,
        start: u64,
        function: Range,
        state: &mut State,
        summary: &mut Summary,
    ) -> bool {
        const LONGEST: usize = 40;
        let mut at = start;
        for _ in 0..LONGEST {
            let Some(insn) = self.insn(at) else {
                return false;
            };
            let here = self.ranges.of_address(at).unwrap_or(function);
            match insn.op {
                Op::Return => return true,
                Op::Call(target) => {
                    let target = target.map_or(Target::Indirect, Target::Address);
                    self.call(at, target, state, summary);
                    return false;
                }
                Op::Jump(target) if self.outlined.contains(&target) => at = target,
                Op::Jump(target) => match self.jump(at, target, here, state, summary) {
                    Some(target) => at = target,
                    None => return false,
                },
                Op::Trap | Op::JumpIndirect | Op::Branch(_) => return false,
                _ => {
                    state.data(&insn, self.convention);
                    at += u64::from(insn.length);
                }
            }
        }
        false
    }

    fn arguments(&self, state: &State) -> Arguments {
        self.convention
            .arguments
            .map(|register| state.get(register))
    }

    /// Notes the place where an error is reported.
    fn record(&self, at: u64, target: Target, state: &State, summary: &mut Summary) {
        let [library, _, reason, file, line, _] = self
            .arguments(state)
            .map(|value| value.and_then(Value::constant));
        let (Some(library), Some(reason), Some(file)) = (library, reason, file) else {
            return;
        };
        let counts = match &self.files {
            Some(files) => files.contains(&file),
            None => self.image.is_constant(file),
        };
        if counts {
            summary.sites.insert(Site {
                library,
                reason: reason & u64::from(u32::MAX),
                line,
                file,
                target,
                at,
            });
        }
    }

    /// The registers of the first three arguments that are read before they are written, on some
    /// way from the entry.
    pub(super) fn live_arguments(&self, function: Range) -> usize {
        let arguments = self.convention.arguments;
        let mask = arguments
            .iter()
            .take(3)
            .fold(0, |mask, register| mask | bit(*register));
        let mut live = 0;
        let mut seen = HashSet::new();
        let mut work = vec![(function.start, 0)];
        while let Some((at, mut written)) = work.pop() {
            if seen.len() > MAX_STEPS || !seen.insert((at, written)) {
                continue;
            }
            let in_code = self.ranges.of_address(at).is_some();
            let Some(insn) = self.insn(at).filter(|_| in_code) else {
                continue;
            };
            let is_call = matches!(insn.op, Op::Call(_));
            if !is_call {
                live |= insn.reads & mask & !written;
            }
            written |= insn.writes & mask;
            let on = at + u64::from(insn.length);
            match insn.op {
                Op::Call(_) | Op::Return | Op::Trap | Op::JumpIndirect => {}
                Op::Jump(target) => work.push((target, written)),
                Op::Branch(target) => work.extend([(on, written), (target, written)]),
                _ => work.push((on, written)),
            }
        }
        usize::try_from(live.count_ones()).unwrap_or(0)
    }
}
