//! Signs of a TLS library among a program's constants.

use memchr::memmem::Finder;

use super::super::Refusal;
use super::super::bytes::windows;
use super::super::elf::Elf;

/// The longest path of a source file that is read.
const LONGEST: usize = 1024;
/// A name of the file is there once for each copy of the library.
const MAX_FILES: usize = 16;

/// Signs of a TLS library.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Addresses of the name of libssl's main source file.
    pub(super) files: Vec<u64>,
    /// The name of a cipher suite as OpenSSL and BoringSSL write it.
    has_cipher: bool,
    pub(super) has_openssl: bool,
    pub(super) has_rustls: bool,
}

impl Evidence {
    /// One pass over all constants and, where they are not apart, code.
    pub(super) fn of(elf: &Elf<'_>) -> Result<Self, Refusal> {
        let files = [
            Finder::new("ssl/ssl_lib.cc\0"),
            Finder::new("ssl/ssl_lib.c\0"),
        ];
        let cipher = Finder::new("ECDHE-ECDSA-CHACHA20-POLY1305\0");
        let openssl = [Finder::new("OpenSSL 1.1."), Finder::new("OpenSSL 3.")];
        let rustls = Finder::new("/rustls-0.");
        let mut evidence = Self::default();
        let constant = elf.segments.iter().filter(|segment| !segment.is_writable());
        for segment in constant {
            let (offset, size) = (segment.offset, segment.size);
            windows(elf.bytes, offset, size, LONGEST, |at, window| {
                let has = |finder: &Finder<'_>| finder.find(window).is_some();
                evidence.has_cipher = evidence.has_cipher || has(&cipher);
                evidence.has_openssl = evidence.has_openssl || openssl.iter().any(has);
                evidence.has_rustls = evidence.has_rustls || has(&rustls);
                for place in files.iter().flat_map(|name| name.find_iter(window)) {
                    let before = window.get(..place).unwrap_or_default();
                    let printable = before
                        .iter()
                        .rev()
                        .take_while(|byte| (0x20..0x7f).contains(*byte))
                        .count();
                    // What starts with the window was seen whole in the one before it.
                    if at > 0 && printable == place {
                        continue;
                    }
                    let start = segment.address + at + (place - printable) as u64;
                    if !evidence.files.contains(&start) {
                        evidence.files.push(start);
                    }
                    if evidence.files.len() > MAX_FILES {
                        return Err(Refusal::Malformed("a file's name that is there many times"));
                    }
                }
                Ok(())
            })?;
        }
        Ok(evidence)
    }

    pub(super) const fn is_of_libssl(&self) -> bool {
        self.has_cipher || !self.files.is_empty()
    }
}
