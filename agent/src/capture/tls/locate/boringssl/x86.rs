//! Instructions of x86-64.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

use super::insn::{Convention, Insn, Op, Registers, Slot, bit};

const RAX: u8 = 0;
const RCX: u8 = 1;
const RDX: u8 = 2;
const RSP: u8 = 4;
const RBP: u8 = 5;
const RSI: u8 = 6;
const RDI: u8 = 7;

/// System V ABI for x86-64, 3.2.
pub(super) const CONVENTION: Convention = Convention {
    arguments: [RDI, RSI, RDX, RCX, 8, 9],
    clobbered: bit(RAX) | bit(RCX) | bit(RDX) | bit(RSI) | bit(RDI) | 0b1111 << 8,
    stack: [RSP, RBP],
};

/// The longest instruction.
const LONGEST: usize = 15;

pub(super) fn decode(code: &[u8], address: u64) -> Option<Insn> {
    let code = code.get(..LONGEST).unwrap_or(code);
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let (mut reads, mut writes): (Registers, Registers) = (0, 0);
    for used in info.used_registers() {
        let Some(register) = number(used.register()) else {
            continue;
        };
        if is_read(used.access()) {
            reads |= bit(register);
        }
        if is_write(used.access()) {
            writes |= bit(register);
        }
    }
    let base = number(instruction.memory_base());
    let stores = instruction.op0_kind() == OpKind::Memory
        && is_write(info.op0_access())
        && base.is_some_and(|base| base != RSP && base != RBP);
    Some(Insn {
        length: u8::try_from(instruction.len()).ok()?,
        op: op(&instruction),
        reads,
        writes,
        stores,
    })
}

fn op(instruction: &Instruction) -> Op {
    match instruction.flow_control() {
        FlowControl::Next => data(instruction),
        FlowControl::Call => Op::Call(Some(instruction.near_branch_target())),
        FlowControl::IndirectCall => Op::Call(None),
        FlowControl::UnconditionalBranch => Op::Jump(instruction.near_branch_target()),
        FlowControl::ConditionalBranch => Op::Branch(instruction.near_branch_target()),
        FlowControl::IndirectBranch => Op::JumpIndirect,
        FlowControl::Return => Op::Return,
        FlowControl::Interrupt | FlowControl::Exception => Op::Trap,
        FlowControl::XbeginXabortXend => Op::Other,
    }
}

fn data(instruction: &Instruction) -> Op {
    let register = |operand| number(instruction.op_register(operand));
    let kinds = (instruction.op0_kind(), instruction.op1_kind());
    let is_wide = instruction.op0_register().size() >= 4;
    match (instruction.mnemonic(), kinds) {
        (Mnemonic::Hlt, _) => Op::Trap,
        (Mnemonic::Push, (OpKind::Register, _)) => register(0).map_or(Op::Other, Op::Push),
        (Mnemonic::Push, _) if is_immediate(instruction, 0) => {
            Op::PushConstant(instruction.immediate(0))
        }
        (Mnemonic::Pop, (OpKind::Register, _)) => register(0).map_or(Op::Other, Op::Pop),
        (Mnemonic::Movsb | Mnemonic::Movsd | Mnemonic::Movsq | Mnemonic::Movsw, _)
            if instruction.has_rep_prefix() =>
        {
            Op::CopyMemory
        }
        (Mnemonic::Movsxd, (OpKind::Register, OpKind::Register)) => {
            two(register(0), register(1), |to, from| Op::Extend { to, from })
        }
        (Mnemonic::Mov, (OpKind::Memory, _)) => slot(instruction).map_or(Op::Other, |slot| {
            let from = match instruction.op1_kind() {
                OpKind::Register => register(1),
                _ => None,
            };
            Op::Spill { slot, from }
        }),
        (Mnemonic::Mov, (OpKind::Register, OpKind::Memory)) if is_wide => {
            two(register(0), slot(instruction), |to, slot| Op::Reload {
                slot,
                to: Some(to),
            })
        }
        (Mnemonic::Mov, (OpKind::Register, OpKind::Register)) if is_wide => {
            two(register(0), register(1), |to, from| Op::Copy { to, from })
        }
        (Mnemonic::Mov, (OpKind::Register, _)) if is_wide && is_immediate(instruction, 1) => {
            let mask = match instruction.code() {
                Code::Mov_r32_imm32 | Code::Mov_rm32_imm32 => u64::from(u32::MAX),
                _ => u64::MAX,
            };
            let value = instruction.immediate(1) & mask;
            register(0).map_or(Op::Other, |to| Op::Constant { to, value })
        }
        (Mnemonic::Lea, _) if is_wide => address(instruction),
        (Mnemonic::Xor, (OpKind::Register, OpKind::Register))
            if is_wide && instruction.op0_register() == instruction.op1_register() =>
        {
            register(0).map_or(Op::Other, |to| Op::Constant { to, value: 0 })
        }
        _ => Op::Other,
    }
}

/// `lea`.
fn address(instruction: &Instruction) -> Op {
    let Some(to) = number(instruction.op0_register()) else {
        return Op::Other;
    };
    if instruction.is_ip_rel_memory_operand() {
        let value = instruction.ip_rel_memory_address();
        return Op::Constant { to, value };
    }
    match number(instruction.memory_base()) {
        Some(from) if instruction.memory_index() == Register::None => Op::Add {
            to,
            from,
            value: instruction.memory_displacement64(),
        },
        _ => Op::Other,
    }
}

fn two<A, B>(a: Option<A>, b: Option<B>, make: impl FnOnce(A, B) -> Op) -> Op {
    a.zip(b).map_or(Op::Other, |(a, b)| make(a, b))
}

fn is_immediate(instruction: &Instruction, operand: u32) -> bool {
    matches!(
        instruction.op_kind(operand),
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

/// The memory operand, where it is on the stack.
fn slot(instruction: &Instruction) -> Option<Slot> {
    let base = number(instruction.memory_base())?;
    let is_on_stack = matches!(instruction.memory_base(), Register::RSP | Register::RBP)
        && instruction.memory_index() == Register::None;
    is_on_stack.then(|| Slot {
        base,
        distance: instruction.memory_displacement64().cast_signed(),
        size: u8::try_from(instruction.memory_size().size()).unwrap_or(u8::MAX),
    })
}

const fn is_read(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

const fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// A general register's number, whatever part of it is meant.
fn number(register: Register) -> Option<u8> {
    if !register.is_gpr() {
        return None;
    }
    u8::try_from(register.full_register().number()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &[u8], expected: Op, writes: Registers) {
        let insn = decode(code, 0x1000).expect("an instruction");
        assert_eq!(usize::from(insn.length), code.len(), "{code:x?}");
        assert_eq!(insn.op, expected, "{code:x?}");
        assert_eq!(insn.writes, writes, "{code:x?}");
    }

    #[test]
    fn data() {
        let value = 16;
        check(
            &[0xbf, 16, 0, 0, 0],
            Op::Constant { to: RDI, value },
            bit(RDI),
        ); // mov edi, 16
        let value = 0x10d7;
        let lea = [0x48, 0x8d, 0x0d, 0xd0, 0, 0, 0]; // lea rcx, [rip + 0xd0]
        check(&lea, Op::Constant { to: RCX, value }, bit(RCX));
        let value = 0;
        check(&[0x31, 0xc0], Op::Constant { to: RAX, value }, bit(RAX)); // xor eax, eax
        let (to, from) = (3, RDI);
        check(&[0x48, 0x89, 0xfb], Op::Copy { to, from }, bit(3)); // mov rbx, rdi
        let (to, from) = (RDX, RDX);
        check(&[0x48, 0x63, 0xd2], Op::Extend { to, from }, bit(RDX)); // movsxd rdx, edx
        check(&[0x6a, 0x10], Op::PushConstant(16), bit(RSP)); // push 16
        check(&[0xb0, 1], Op::Other, bit(RAX)); // mov al, 1
    }

    #[test]
    fn memory() {
        let slot = Slot {
            base: RSP,
            distance: 8,
            size: 8,
        };
        let from = Some(RDI);
        let spill = [0x48, 0x89, 0x7c, 0x24, 8]; // mov [rsp + 8], rdi
        check(&spill, Op::Spill { slot, from }, 0);
        let to = Some(RSI);
        let reload = [0x48, 0x8b, 0x74, 0x24, 8]; // mov rsi, [rsp + 8]
        check(&reload, Op::Reload { slot, to }, bit(RSI));
        let stores = |code: &[u8]| decode(code, 0).expect("one").stores;
        assert!(stores(&[0x48, 0x89, 0x43, 8])); // mov [rbx + 8], rax
        assert!(!stores(&spill));
        assert!(!stores(&[0x48, 0x8b, 0x43, 8])); // mov rax, [rbx + 8]
    }

    #[test]
    fn control_flow() {
        check(&[0xe8, 0, 0, 0, 0], Op::Call(Some(0x1005)), bit(RSP));
        check(&[0xff, 0xd0], Op::Call(None), bit(RSP)); // call rax
        check(&[0xe9, 0, 1, 0, 0], Op::Jump(0x1105), 0);
        check(&[0x74, 0xfe], Op::Branch(0x1000), 0);
        check(&[0xff, 0xe0], Op::JumpIndirect, 0); // jmp rax
        check(&[0xc3], Op::Return, bit(RSP));
        check(&[0x0f, 0x0b], Op::Trap, 0); // ud2
        assert!(decode(&[0x06], 0).is_none(), "invalid in 64-bit mode");
    }
}
