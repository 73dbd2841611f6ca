//! Why nothing of a file is attached to.

use std::io;

use thiserror::Error;

/// Why nothing of a file is attached to.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not an ELF program or library of 64 bits, little-endian.
    #[error("no ELF file of 64 bits")]
    NotElf,
    /// For a processor that is not supported.
    #[error("a program for another processor")]
    Machine,
    /// It holds no TLS library that is known. Most files.
    #[error("no TLS library that is known")]
    NoTls,
    /// Its headers contradict each other or the file's size.
    #[error("malformed ELF file ({0})")]
    Malformed(&'static str),
    /// A bound was reached.
    #[error("too large to be read ({0})")]
    TooLarge(&'static str),
    /// The file cannot be read.
    #[error("cannot be read ({0})")]
    Unreadable(io::ErrorKind),
    /// Only some of the symbols, or several under one name.
    #[error("the symbols of its TLS library are not clear ({0})")]
    Symbols(&'static str),
    /// ring decrypts in place, in functions whose arguments do not say what a record holds.
    #[error("rustls over ring: no function takes or gives whole records")]
    RustlsRing,
    /// Its two functions are known by their symbols only.
    #[error("rustls without symbols")]
    RustlsStripped,
    /// OpenSSL without symbols.
    #[error("OpenSSL without symbols")]
    OpensslStripped,
    /// BoringSSL without symbols that is not as expected.
    #[error("BoringSSL without symbols, not located for certain: {0}")]
    Doubtful(Doubt),
}

impl Refusal {
    /// There is a TLS library in the file: people want to know why it is not read.
    #[must_use]
    pub const fn is_about_tls(self) -> bool {
        matches!(
            self,
            Self::Symbols(_)
                | Self::RustlsRing
                | Self::RustlsStripped
                | Self::OpensslStripped
                | Self::Doubtful(_)
        )
    }
}

/// What a BoringSSL without symbols lacks.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Doubt {
    /// No function reports an error of libssl.
    #[error("no place where it reports an error")]
    Sites,
    /// Several names of files have libssl's errors.
    #[error("several libraries with its errors")]
    File,
    /// Errors are reported to several functions.
    #[error("no one function that takes its errors")]
    PutError,
    /// The lines at which errors are reported are not in the order that is known.
    #[error("errors in another order")]
    Lines,
    /// No function reports what `SSL_write` reports, several do, or it has not three arguments.
    #[error("no one function like SSL_write")]
    Write,
    /// By their errors other functions are `SSL_read` and `SSL_peek` than by whom they call.
    #[error("SSL_read and SSL_peek are not clear")]
    Peek,
    /// No function is like `SSL_read`, or several are.
    #[error("no one function like SSL_read")]
    Read,
    /// `SSL_read` and `SSL_write` are in one function.
    #[error("SSL_read and SSL_write in one function")]
    Merged,
    /// A function is too large, or reports what these do not.
    #[error("SSL_read or SSL_write has swallowed other functions")]
    Shape,
    /// `SSL_write` does not pass on its arguments as it should.
    #[error("SSL_write does not pass its arguments on")]
    WriteFlow,
    /// `SSL_read` does not use its arguments as it should.
    #[error("SSL_read does not use its arguments")]
    ReadFlow,
    /// A bound on the work was reached.
    #[error("too much code to follow")]
    Effort,
}
