//! The first instruction of a function: where to set a probe, and what it costs.

use super::bytes::read;
use super::elf::Elf;
use super::{Function, Machine, Refusal, Role};

/// A function from its address.
pub(super) fn function(elf: &Elf<'_>, role: Role, address: u64) -> Result<Function, Refusal> {
    let entry = elf
        .code_offset(address)
        .ok_or(Refusal::Malformed("a function outside the code"))?;
    let code = read(elf.bytes, entry, FIRST)?;
    let skipped = match elf.machine {
        Machine::X86_64 if code.starts_with(&ENDBR64) => ENDBR64.len(),
        _ => 0,
    };
    let first = code.get(skipped..).unwrap_or_default();
    Ok(Function {
        role,
        entry: entry + skipped as u64,
        is_emulated: match elf.machine {
            Machine::X86_64 => x86_is_emulated(first),
            Machine::Aarch64 => aarch64_is_emulated(first),
        },
    })
}

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// `endbr64` and the start of another instruction.
const FIRST: usize = 8;

/// What `arch/x86/kernel/uprobes.c` does by itself: `push` of a register, `nop`, `call`, `jmp` and
/// conditional jumps. It steps through a copy of everything else, which costs six times as much.
fn x86_is_emulated(code: &[u8]) -> bool {
    matches!(
        *code,
        [0x50..=0x57 | 0x90 | 0xe8 | 0xe9 | 0xeb | 0x70..=0x7f, ..]
            | [0x41, 0x50..=0x57, ..]
            | [0x0f, 0x80..=0x8f, ..]
    )
}

/// What `arch/arm64/kernel/probes/decode-insn.c` does by itself: branches, `ret`, `adr` and loads
/// of literals.
fn aarch64_is_emulated(code: &[u8]) -> bool {
    let Some(word) = code.first_chunk().copied().map(u32::from_le_bytes) else {
        return false;
    };
    let is = |mask: u32, value: u32| word & mask == value;
    is(0x7c00_0000, 0x1400_0000) // b, bl
        || is(0xff00_0010, 0x5400_0000) // b.cond
        || is(0x7e00_0000, 0x3400_0000) // cbz, cbnz
        || is(0x7e00_0000, 0x3600_0000) // tbz, tbnz
        || is(0xff9f_fc1f, 0xd61f_0000) // br, blr, ret
        || is(0x1f00_0000, 0x1000_0000) // adr, adrp
        || is(0xbf00_0000, 0x1800_0000) // ldr of a literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_x86() {
        let check =
            |code: &[u8], expected| assert_eq!(x86_is_emulated(code), expected, "{code:x?}");
        check(&[0x55], true); // push rbp
        check(&[0x41, 0x57], true); // push r15
        check(&[0x41, 0x89], false); // mov r/m32, r32
        check(&[0x48, 0x83, 0xec, 0x08], false); // sub rsp, 8
        check(&ENDBR64, false);
        check(&[0x0f, 0x1f, 0x44], false); // nop of several bytes
        check(&[], false);
    }

    #[test]
    fn instructions_of_aarch64() {
        let check = |word: u32, expected| {
            assert_eq!(
                aarch64_is_emulated(&word.to_le_bytes()),
                expected,
                "{word:x}"
            );
        };
        check(0xd65f_03c0, true); // ret
        check(0x1400_0001, true); // b
        check(0xd503_233f, false); // paciasp
        check(0xa9bf_7bfd, false); // stp x29, x30, [sp, #-16]!
        check(0xd100_83ff, false); // sub sp, sp, #32
    }
}
