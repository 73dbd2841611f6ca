//! What Rust has no words for on this target. A part of both objects.

/// Adds atomically: a program run can be preempted by another one on the same CPU. `core` offers no
/// read-modify-write for this target, so this is BPF_XADD, which every kernel has.
///
/// # Safety
/// `counter` is valid and aligned.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, value: u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("lock *(u64 *)({counter} + 0) += {value}", counter = in(reg) counter, value = in(reg) value);
    }
    // Never run: the host build is for lints only.
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller's.
    unsafe {
        *counter += value;
    }
}

/// Hides from the compiler where a value comes from, so that it keeps the comparisons that the
/// verifier needs to see.
#[inline(always)]
pub(crate) fn opaque(value: u32) -> u32 {
    #[cfg(target_arch = "bpf")]
    let value = {
        let mut value = value;
        // SAFETY: copies the register onto itself.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack, preserves_flags));
        }
        value
    };
    value
}
