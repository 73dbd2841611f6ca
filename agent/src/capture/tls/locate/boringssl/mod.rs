//! A BoringSSL without symbols, by what its functions do.
//!
//! Every error that libssl reports is a call `ERR_put_error(16, 0, reason, __FILE__, __LINE__)`.
//! The numbers of reasons have not changed since 2016, and neither has the order of the lines in
//! `ssl_lib.cc` that report them, whatever the compiler did with the functions around them. So the
//! places of errors say which function is which; what the functions do with their arguments has to
//! confirm it. `docs/tls.md` has the rules and the binaries on which they were tried.

mod aarch64;
mod confirm;
mod evidence;
mod image;
mod insn;
mod interpret;
mod ranges;
mod roles;
mod scan;
mod sites;
mod state;
mod x86;

use std::collections::BTreeSet;

use super::elf::Elf;
use super::{Doubt, Refusal, Role};

use evidence::Evidence;
use image::Image;
use interpret::Interpreter;
use ranges::{Range, Ranges};
use scan::Called;
use sites::Sites;

/// `ERR_LIB_SSL`
const LIBRARY: u64 = 16;

/// Reasons of libssl (`include/openssl/ssl.h`, `err.h`).
mod reason {
    pub(super) const SHOULD_NOT_HAVE_BEEN_CALLED: u64 = 66;
    pub(super) const BAD_LENGTH: u64 = 111;
    pub(super) const CONNECTION_TYPE_NOT_SET: u64 = 134;
    pub(super) const PROTOCOL_IS_SHUTDOWN: u64 = 194;
    pub(super) const SSL_HANDSHAKE_FAILURE: u64 = 215;
    pub(super) const UNINITIALIZED: u64 = 226;
    pub(super) const APPLICATION_DATA_ON_SHUTDOWN: u64 = 291;
}

/// The addresses of the functions; nothing where there is no BoringSSL.
pub(super) fn locate(elf: &Elf<'_>) -> Result<Option<Vec<(Role, u64)>>, Refusal> {
    let evidence = Evidence::of(elf)?;
    if !evidence.is_of_libssl() {
        return match evidence.has_rustls {
            true => Err(Refusal::RustlsStripped),
            false => Ok(None),
        };
    }
    let image = Image::read(elf)?;
    match find(&image, &evidence.files) {
        Ok(found) => Ok(Some(found)),
        // Nothing of it is BoringSSL's: what looked like a libssl is another one, or a list of
        // ciphers.
        Err(Refusal::Doubtful(Doubt::Sites)) if evidence.has_openssl => {
            Err(Refusal::OpensslStripped)
        }
        Err(Refusal::Doubtful(Doubt::Sites)) if evidence.files.is_empty() => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

fn find(image: &Image, files: &[u64]) -> Result<Vec<(Role, u64)>, Refusal> {
    let called = Called::of(image);
    let mut ranges = Ranges::of(image, &called)?;
    let mut files = files.to_vec();
    if files.is_empty() {
        let mut interpreter = Interpreter::new(image, &ranges, &called, None);
        let file = sites::file_of_seeds(&mut interpreter);
        if interpreter.is_exhausted() {
            return Err(Refusal::Doubtful(Doubt::Effort));
        }
        files = vec![file?];
    }
    let functions = sites::referring(image, &mut ranges, &called, &files);
    let mut interpreter = Interpreter::new(image, &ranges, &called, Some(files));
    let found = decide(&mut interpreter, functions);
    if interpreter.is_exhausted() {
        return Err(Refusal::Doubtful(Doubt::Effort));
    }
    found
}

/// The functions, from those that name the file.
fn decide(
    interpreter: &mut Interpreter<'_>,
    functions: BTreeSet<Range>,
) -> Result<Vec<(Role, u64)>, Refusal> {
    let sites = Sites::of(interpreter, functions)?;
    let roles = roles::assign(interpreter, &sites)?;
    confirm::confirm(interpreter, &sites, roles)
}
