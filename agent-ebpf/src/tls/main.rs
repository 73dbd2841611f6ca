//! The BPF programs of the TLS hook: they copy the plaintext that a TLS library has read or is
//! about to encrypt, at the return of its calls, into a ring buffer.
//!
//! Only the arguments and results of the library's public functions are used, never the memory of
//! a session: no key is ever read. Nothing that a program does here changes a call.
//!
//! ```text
//! SSL_write(ssl, buffer, length)      entry: remember the call of this thread
//!   └─ sendto ─ sock_send_length      which socket it is
//! returns n                           n bytes of `buffer` are written: record them
//! ```
//!
//! rustls over aws-lc has no such functions: [`rustls`] says how its TLS records are read.
//!
//! Reading user memory is for GPL-compatible programs alone, so the programs of this object are
//! available under the GPL too, and are apart from the others.

// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[path = "../asm.rs"]
mod asm;
mod call;
mod emit;
mod finish;
mod hooks;
mod maps;
mod rustls;
mod session;
#[path = "../share.rs"]
mod share;
#[path = "../shared.rs"]
mod shared;
mod sock;

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host build is for lints only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
