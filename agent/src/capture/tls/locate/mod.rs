//! Where a program's TLS library takes and gives plaintext: file offsets for uprobes.
//!
//! Symbols come first (`.dynsym`, `.symtab`). A BoringSSL without symbols, as in Envoy, is located
//! by what its functions do ([`boringssl`]). It is all or nothing: a file about which there is any
//! doubt gives no offset and a reason.
//!
//! A file is input like any other: nothing is mapped (a file that shrinks under a mapping kills the
//! reader), every read and every loop is bounded.

mod boringssl;
mod bytes;
#[cfg(feature = "agent")]
mod cache;
mod elf;
mod entry;
mod located;
mod refusal;
mod shared;
mod symbols;

use std::fs::File;

pub use bytes::ReadAt;
#[cfg(feature = "agent")]
pub use cache::Cache;
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
    let (library, functions) = match symbols::locate(&elf)? {
        Some(found) => found,
        None => (Library::StrippedBoringssl, stripped(&elf)?),
    };
    Ok(Located {
        machine: elf.machine,
        library,
        build_id: elf.build_id(),
        functions,
    })
}

/// [`locate_in`] as if a BoringSSL's symbols were not there: what can be compared with them.
///
/// # Errors
/// Why the functions cannot be located without symbols.
pub fn locate_without_symbols(bytes: &dyn ReadAt) -> Result<Located, Refusal> {
    let elf = Elf::parse(bytes)?;
    Ok(Located {
        machine: elf.machine,
        library: Library::StrippedBoringssl,
        build_id: elf.build_id(),
        functions: stripped(&elf)?,
    })
}

/// The functions of a BoringSSL without symbols.
fn stripped(elf: &Elf<'_>) -> Result<Vec<Function>, Refusal> {
    let found = boringssl::locate(elf)?.ok_or(Refusal::NoTls)?;
    let functions = found
        .into_iter()
        .map(|(role, address)| entry::function(elf, role, address));
    functions.collect()
}

#[cfg(test)]
pub(super) mod tests;
