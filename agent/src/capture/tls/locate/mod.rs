//! Where a program's TLS library takes and gives plaintext: file offsets for uprobes.
//!
//! Symbols come first (`.dynsym`, `.symtab`). A BoringSSL without symbols, as in Envoy, is located
//! by what its functions do (`boringssl`). It is all or nothing: a file about which there is any
//! doubt gives no offset and a reason.
//!
//! A file is input like any other: nothing is mapped (a file that shrinks under a mapping kills the
//! reader), every read and every loop is bounded.

mod bytes;
mod elf;
mod entry;
mod located;
mod refusal;
mod symbols;

use std::fs::File;

pub use bytes::ReadAt;
pub use located::{BuildId, Function, Library, Located, Machine, Role};
pub use refusal::{Doubt, Refusal};

use elf::Elf;

/// The functions of a file, or why there are none. Reads the file at offsets of its own: its
/// position does not matter.
///
/// # Errors
/// Why nothing of this file is attached to.
pub fn locate(file: &File) -> Result<Located, Refusal> {
    locate_in(file)
}

/// [`locate`] in any bytes.
///
/// # Errors
/// Why nothing of this file is attached to.
pub fn locate_in(bytes: &dyn ReadAt) -> Result<Located, Refusal> {
    let elf = Elf::parse(bytes)?;
    let (library, functions) = symbols::locate(&elf)?.ok_or(Refusal::NoTls)?;
    Ok(Located {
        machine: elf.machine,
        library,
        build_id: elf.build_id(),
        functions,
    })
}

#[cfg(test)]
mod tests;
