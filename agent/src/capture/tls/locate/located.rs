//! What is known of a file whose TLS functions were located.

use std::fmt;

/// A file's TLS functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The processor that the file is for.
    pub machine: Machine,
    /// What kind of library it is, and how it was located.
    pub library: Library,
    /// The linker's name for exactly these contents, where there is one.
    pub build_id: Option<BuildId>,
    /// `SSL_read` and `SSL_write` have one function each. A program with two versions of aws-lc has
    /// two of each of its three roles.
    pub functions: Vec<Function>,
}

impl Located {
    /// The functions with a role: none, one, or for aws-lc one for each version.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Function> {
        self.functions
            .iter()
            .filter(move |function| function.role == role)
    }

    /// Those of them to set probes at: not those that do nothing but call one that has a probe.
    pub fn probed(&self, role: Role) -> impl Iterator<Item = &Function> {
        let shared: &[Role] = match role {
            Role::Read | Role::ReadEx => &[Role::ReadShared],
            Role::Write | Role::WriteEx => &[Role::WriteShared, Role::WriteFlags],
            _ => &[],
        };
        let is_shared = shared.iter().any(|role| self.of(*role).next().is_some());
        self.of(role).filter(move |_| !is_shared)
    }
}

/// A function, as file offsets for uprobes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it does.
    pub role: Role,
    /// Where it is entered, after an `endbr64`. Arguments and stack pointer are those of the call,
    /// so a return probe may be set here as well.
    pub entry: u64,
    /// The kernel emulates the first instruction and does not step through a copy of it.
    pub is_emulated: bool,
}

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `SSL_read(ssl, buf, num)`
    Read,
    /// `SSL_write(ssl, buf, num)`
    Write,
    /// `SSL_read_ex(ssl, buf, num, *readbytes)`
    ReadEx,
    /// `SSL_write_ex(ssl, buf, num, *written)`
    WriteEx,
    /// `SSL_do_handshake(ssl)`
    Handshake,
    /// `SSL_shutdown(ssl)`
    Shutdown,
    /// `ssl_read_internal(ssl, buf, num, *readbytes)` of OpenSSL, which the two for reading call
    ReadShared,
    /// `ssl_write_internal(ssl, buf, num, *written)`, which the two for writing call
    WriteShared,
    /// `ssl_write_internal(ssl, buf, num, flags, *written)`, since OpenSSL 3.3
    WriteFlags,
    /// `EVP_AEAD_CTX_open_gather` of aws-lc
    AeadOpen,
    /// `EVP_AEAD_CTX_seal` of aws-lc
    AeadSeal,
    /// `EVP_AEAD_CTX_zero` of aws-lc: a key is about to be made
    AeadNew,
}

impl Role {
    /// The function's name, without the version that aws-lc puts before it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "SSL_read",
            Self::Write => "SSL_write",
            Self::ReadEx => "SSL_read_ex",
            Self::WriteEx => "SSL_write_ex",
            Self::Handshake => "SSL_do_handshake",
            Self::Shutdown => "SSL_shutdown",
            Self::ReadShared => "ssl_read_internal",
            Self::WriteShared | Self::WriteFlags => "ssl_write_internal",
            Self::AeadOpen => "EVP_AEAD_CTX_open_gather",
            Self::AeadSeal => "EVP_AEAD_CTX_seal",
            Self::AeadNew => "EVP_AEAD_CTX_zero",
        }
    }
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64
    X86_64,
    /// aarch64
    Aarch64,
}

impl Machine {
    /// That of this machine, where it is one of the two.
    #[must_use]
    pub const fn own() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else {
            None
        }
    }
}

/// A kind of TLS library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// OpenSSL or BoringSSL that exports its functions: a shared library, or a program such as
    /// `node`.
    Exported,
    /// OpenSSL or BoringSSL inside a program that has its symbol table.
    Symbols,
    /// BoringSSL without symbols.
    StrippedBoringssl,
    /// rustls over aws-lc.
    RustlsAwsLc,
}

impl Library {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exported => "exported functions",
            Self::Symbols => "symbol table",
            Self::StrippedBoringssl => "BoringSSL without symbols",
            Self::RustlsAwsLc => "rustls over aws-lc",
        }
    }
}

/// The linker's name for a file's contents (`NT_GNU_BUILD_ID`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BuildId(pub(super) Box<[u8]>);

impl BuildId {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
