//! One packet at a time: packets of one connection may be received on several CPUs at once.

use crate::asm;

/// How often it is tried. A holder needs less than a microsecond, and so do these.
const ATTEMPTS: u32 = 32;

/// How many hold it, or try to.
#[repr(C)]
pub(super) struct Lock(u64);

impl Lock {
    /// False: another CPU has it. No kernel before 5.12 has an atomic operation that says what was
    /// there; who adds one and then finds it is alone.
    #[inline(always)]
    pub(super) fn take(&mut self) -> bool {
        let holders = &raw mut self.0;
        for _ in 0..ATTEMPTS {
            // SAFETY: part of a map value, 8-byte aligned.
            unsafe {
                asm::add(holders, 1);
                if holders.read_volatile() == 1 {
                    return true;
                }
                asm::add(holders, u64::MAX);
            }
        }
        false
    }

    /// Gives back what was taken.
    #[inline(always)]
    pub(super) fn give(&mut self) {
        // SAFETY: as above.
        unsafe { asm::add(&raw mut self.0, u64::MAX) };
    }
}
