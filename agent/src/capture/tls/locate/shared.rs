//! What `SSL_read` and `SSL_read_ex` of OpenSSL both call: one place for both, and a cheaper one.
//!
//! ```text
//! SSL_read     sub rsp, 0x18 … call ssl_read_internal     the kernel steps through the first
//! SSL_read_ex  sub rsp, 8      call ssl_read_internal     instruction
//! ssl_read_internal  push r15 …                           the kernel emulates the first instruction
//! ```
//!
//! Both lead to the same function with their own arguments and a pointer to the count, or there is
//! none. It has been so since OpenSSL 1.1.1; since 3.3 writes have flags before the pointer.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::bytes::read;
use super::elf::Elf;
use super::{Function, Machine, Role, entry};

/// Bytes up to the call, in a function of some hundred; read where they are.
const MOST: usize = 64;
/// `SSL_write_ex` jumps to `SSL_write_ex2`.
const JUMPS: usize = 2;

/// The functions that both of a pair call, where a probe costs less there.
pub(super) fn functions(elf: &Elf<'_>, found: &[(Role, u64)]) -> Vec<Function> {
    if elf.machine != Machine::X86_64 {
        return Vec::new();
    }
    let code = |address| {
        let offset = elf.code_offset(address)?;
        read(elf.bytes, offset, MOST).ok()
    };
    let address = |role| {
        let named = found.iter().find(|(named, _)| *named == role);
        named.map(|(_, address)| *address)
    };
    let shared = |plain, extended| {
        let (address, passing) = shared(&code, address(plain)?, address(extended)?)?;
        let role = match (plain, passing) {
            (Role::Read, Passing::Plain) => Role::ReadShared,
            (Role::Write, Passing::Plain) => Role::WriteShared,
            (Role::Write, Passing::Flags) => Role::WriteFlags,
            _ => return None,
        };
        let function = entry::function(elf, role, address).ok()?;
        function.is_emulated.then_some(function)
    };
    let pairs = [(Role::Read, Role::ReadEx), (Role::Write, Role::WriteEx)];
    let shared = pairs
        .into_iter()
        .filter_map(|(plain, extended)| shared(plain, extended));
    shared.collect()
}

/// How the shared function takes its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    /// `(ssl, buf, num, &count)`
    Plain,
    /// `(ssl, buf, num, flags, &count)`
    Flags,
}

/// What a register of an argument holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Argument(usize),
    Zero,
    /// An address on the stack.
    Stack,
    Unknown,
}

/// System V ABI for x86-64, 3.2.3: the first five.
const ARGUMENTS: [Register; 5] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
];

type Values = [Value; 5];

fn shared(
    code: &dyn Fn(u64) -> Option<Vec<u8>>,
    plain: u64,
    extended: u64,
) -> Option<(u64, Passing)> {
    let (plain, plain_values) = called(code, plain)?;
    let (extended, extended_values) = called(code, extended)?;
    let passing = passing(&plain_values, Value::Stack)?;
    let is_same =
        plain == extended && Some(passing) == self::passing(&extended_values, Value::Argument(3));
    is_same.then_some((plain, passing))
}

fn passing(values: &Values, count: Value) -> Option<Passing> {
    let [ssl, buffer, length, fourth, fifth] = *values;
    let own = [0, 1, 2].map(Value::Argument);
    match (fourth, fifth) {
        _ if [ssl, buffer, length] != own => None,
        (fourth, _) if fourth == count => Some(Passing::Plain),
        (Value::Zero, fifth) if fifth == count => Some(Passing::Flags),
        _ => None,
    }
}

/// The first call of a function on the way on which no branch is taken, and what it passes.
fn called(code: &dyn Fn(u64) -> Option<Vec<u8>>, function: u64) -> Option<(u64, Values)> {
    let mut values = [0, 1, 2, 3, 4].map(Value::Argument);
    let mut factory = InstructionInfoFactory::new();
    let mut from = function;
    for _ in 0..=JUMPS {
        let bytes = code(from)?;
        let mut decoder = Decoder::with_ip(64, &bytes, from, DecoderOptions::NONE);
        from = loop {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return None;
            }
            match instruction.flow_control() {
                FlowControl::Next => step(&mut values, &instruction, &mut factory),
                FlowControl::ConditionalBranch => {}
                FlowControl::Call => return Some((instruction.near_branch_target(), values)),
                FlowControl::UnconditionalBranch => break instruction.near_branch_target(),
                _ => return None,
            }
        };
    }
    None
}

fn step(values: &mut Values, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
    let value = written(values, instruction);
    let written: Vec<Register> = factory
        .info(instruction)
        .used_registers()
        .iter()
        .filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead))
        .map(|used| used.register().full_register())
        .collect();
    for (register, held) in ARGUMENTS.iter().zip(values) {
        if written.contains(register) {
            *held = value;
        }
    }
}

/// What the instruction's first operand holds afterwards.
fn written(values: &Values, instruction: &Instruction) -> Value {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    let is_wide = to.is_gpr64() || to.is_gpr32();
    let held = |register: Register| {
        let place = ARGUMENTS
            .iter()
            .position(|one| *one == register.full_register());
        place.and_then(|place| values.get(place)).copied()
    };
    match instruction.mnemonic() {
        _ if !is_wide => Value::Unknown,
        Mnemonic::Mov if from == Register::RSP => Value::Stack,
        Mnemonic::Mov if from.is_gpr64() => held(from).unwrap_or(Value::Unknown),
        // A number of 32 bits is made one of 64.
        Mnemonic::Movsxd | Mnemonic::Mov
            if from == Register::EDX && to.full_register() == Register::RDX =>
        {
            held(from).unwrap_or(Value::Unknown)
        }
        Mnemonic::Lea if instruction.memory_base() == Register::RSP => Value::Stack,
        Mnemonic::Xor if to == from => Value::Zero,
        Mnemonic::Mov
            if instruction.op1_kind() == OpKind::Immediate32 && instruction.immediate32() == 0 =>
        {
            Value::Zero
        }
        _ => Value::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sub rsp, 0x18; test edx, edx; js +0x20`
    const START: &[u8] = &[0x48, 0x83, 0xec, 0x18, 0x85, 0xd2, 0x78, 0x20];
    /// `lea rcx, [rsp + 8]`
    const COUNT: &[u8] = &[0x48, 0x8d, 0x4c, 0x24, 8];
    /// `xor ecx, ecx; lea r8, [rsp + 8]`
    const FLAGS: &[u8] = &[0x31, 0xc9, 0x4c, 0x8d, 0x44, 0x24, 8];
    /// `movsxd rdx, edx`
    const EXTEND: &[u8] = &[0x48, 0x63, 0xd2];
    /// `sub rsp, 8`
    const START_EX: &[u8] = &[0x48, 0x83, 0xec, 8];
    /// `mov r8, rcx; xor ecx, ecx`
    const FLAGS_EX: &[u8] = &[0x49, 0x89, 0xc8, 0x31, 0xc9];

    const PLAIN: u64 = 0x1000;
    const EXTENDED: u64 = 0x2000;
    const SHARED: u64 = 0x3000;

    /// Ends in a call, or a jump, to there.
    fn leads(parts: &[&[u8]], opcode: u8, start: u64, to: u64) -> Vec<u8> {
        let mut code = parts.concat();
        let next = start + code.len() as u64 + 5;
        code.push(opcode);
        let distance = u32::try_from(to.wrapping_sub(next) & 0xffff_ffff).expect("32 bits");
        code.extend(distance.to_le_bytes());
        code
    }

    #[track_caller]
    fn check(plain: &[&[u8]], extended: &[&[u8]], expected: Option<Passing>) {
        let plain = leads(plain, 0xe8, PLAIN, SHARED);
        let extended = leads(extended, 0xe8, EXTENDED, SHARED);
        let code = move |address| match address {
            PLAIN => Some(plain.clone()),
            EXTENDED => Some(extended.clone()),
            _ => None,
        };
        let found = super::shared(&code, PLAIN, EXTENDED);
        assert_eq!(found, expected.map(|passing| (SHARED, passing)));
    }

    #[test]
    fn what_both_call_with_their_arguments() {
        check(&[START, COUNT, EXTEND], &[START_EX], Some(Passing::Plain));
        check(
            &[START, FLAGS, EXTEND],
            &[START_EX, FLAGS_EX],
            Some(Passing::Flags),
        );
    }

    #[test]
    fn other_arguments() {
        // mov rsi, rdi; mov edi, 1; pop rdx; mov rcx, rax
        for other in [
            &[0x48, 0x89, 0xfe][..],
            &[0xbf, 1, 0, 0, 0],
            &[0x5a],
            &[0x48, 0x89, 0xc1],
        ] {
            check(&[START, COUNT, EXTEND, other], &[START_EX], None);
            check(&[START, COUNT, EXTEND], &[START_EX, other], None);
        }
        // One has flags, the other has none; no pointer.
        check(&[START, COUNT, EXTEND], &[START_EX, FLAGS_EX], None);
        check(&[START, EXTEND], &[START_EX], None);
        // Halves: mov ecx, ecx; mov ecx, edx.
        check(&[START, COUNT, &[0x89, 0xc9]], &[START_EX], None);
        check(&[START, COUNT, &[0x89, 0xd1]], &[START_EX], None);
    }

    #[test]
    fn two_functions() {
        let plain = leads(&[START, COUNT, EXTEND], 0xe8, PLAIN, SHARED);
        let extended = leads(&[START_EX], 0xe8, EXTENDED, SHARED + 16);
        let code = move |address| match address {
            PLAIN => Some(plain.clone()),
            EXTENDED => Some(extended.clone()),
            _ => None,
        };
        assert_eq!(super::shared(&code, PLAIN, EXTENDED), None);
    }

    #[test]
    fn a_jump_is_followed_and_a_loop_ends() {
        const NEXT: u64 = 0x2100;
        let plain = leads(&[START, FLAGS, EXTEND], 0xe8, PLAIN, SHARED);
        let jump = leads(&[FLAGS_EX], 0xe9, EXTENDED, NEXT);
        let next = leads(&[START_EX], 0xe8, NEXT, SHARED);
        let code = move |address| match address {
            PLAIN => Some(plain.clone()),
            EXTENDED => Some(jump.clone()),
            NEXT => Some(next.clone()),
            _ => None,
        };
        let found = super::shared(&code, PLAIN, EXTENDED);
        assert_eq!(found, Some((SHARED, Passing::Flags)));
        let jump = leads(&[], 0xe9, EXTENDED, EXTENDED);
        assert_eq!(called(&|_| Some(jump.clone()), EXTENDED), None);
    }
}
