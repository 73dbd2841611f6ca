//! The BPF programs of meshtap: they select the sockets of interest and copy their TCP payload
//! into a ring buffer.
//!
//! They never parse HTTP. The first bytes of a connection are looked at, so that everything else
//! costs one storage look-up per packet. One hook per file under [`hooks`]; every read of kernel
//! memory is in [`read`]; [`emit`] alone writes to the ring of captured bytes.
//!
//! The programs always let traffic pass: whatever goes wrong here costs a record (counted), never
//! a packet.
//!
//! Kernel documentation: `Documentation/bpf/prog_cgroup_sockopt.rst` (cgroup programs),
//! `ringbuf.rst`, `include/uapi/linux/bpf.h`.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// An atomic addition needs inline assembly, which is unstable for this target.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod accept;
mod asm;
mod classify;
mod emit;
mod flow;
mod frames;
mod hooks;
mod look;
mod maps;
mod mptcp;
mod read;
mod record;
mod scope;
mod segment;
mod shape;
mod share;
mod shared;
mod storage;
mod window;

/// No helper used here is restricted to GPL programs.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host build is for lints only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
