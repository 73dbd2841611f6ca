//! What user space asks of the BPF programs for one socket.

/// `flags`: leave the socket alone for as long as it lives.
pub const COMMAND_IGNORE: u32 = 1;
/// `flags`: copy every byte, whatever the capture window says; a resume offset still skips.
pub const COMMAND_UNLIMITED: u32 = 1 << 1;
/// `flags`: the socket speaks HTTP/2. Every byte is copied but DATA past the budget of its stream.
/// A resume offset says where a frame begins; it skips nothing. `COMMAND_UNLIMITED` is stronger.
pub const COMMAND_FRAMES: u32 = 1 << 2;
/// `flags`: with [`COMMAND_FRAMES`], bytes before the first that were read are missing, so that
/// some header fields are unknown. The BPF programs do not ask for it; `meshtap explain` does.
pub const COMMAND_MID_STREAM: u32 = 1 << 3;

/// Why a socket is left alone by [`COMMAND_IGNORE`]: for `meshtap explain`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// What it carries is no HTTP.
    NotHttp = 1,
    /// It carries TLS.
    Tls = 2,
    /// Of the HTTP that it carries nothing more can be emitted.
    Lost = 3,
    /// What it carries is read where a program decrypts it.
    Decrypted = 4,
    /// Its peer socket on this machine emits the exchanges of both.
    Duplicate = 5,
    /// It is the agent's own.
    Own = 6,
}

impl IgnoreReason {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::NotHttp,
        Self::Tls,
        Self::Lost,
        Self::Decrypted,
        Self::Duplicate,
        Self::Own,
    ];
}

/// Value of the command table; its key is the socket cookie. All that was asked so far, not only
/// the last request.
///
/// The programs look a socket up there once for each move of the generation counter, which user
/// space raises after it has written.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCommand {
    /// The key once more. The kernel may hand the memory of a replaced entry to another one at any
    /// time: a program that reads a foreign cookie here reads nothing else.
    pub cookie: u64,
    /// `COMMAND_*`.
    pub flags: u32,
    /// With [`COMMAND_IGNORE`]: an [`IgnoreReason`].
    pub reason: u32,
    /// By `DIRECTION_*`.
    pub resume_offset: [ResumeOffset; 2],
}

/// Where the capture window of a direction begins anew.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeOffset {
    /// Differs from that of the request before: a request counts once. Zero: nothing was asked
    /// yet.
    pub serial: u32,
    /// TCP sequence number. Payload before it is not needed; the window counts from there. With
    /// [`COMMAND_FRAMES`]: where the header of a frame begins.
    pub seq: u32,
    /// With [`COMMAND_FRAMES`]: length of the last DATA that had no flags; zero if there was none.
    pub usual: u32,
}

impl SocketCommand {
    /// Why the socket is left alone. `None`: it is not, or nothing says why.
    #[must_use]
    pub fn ignored(&self) -> Option<IgnoreReason> {
        let mut all = IgnoreReason::ALL.into_iter();
        let reason = all.find(|reason| *reason as u32 == self.reason);
        reason.filter(|_| self.flags & COMMAND_IGNORE != 0)
    }

    /// The socket speaks HTTP/2 that was joined after it began.
    #[must_use]
    pub const fn is_mid_stream(&self) -> bool {
        self.flags & COMMAND_MID_STREAM != 0
    }
}

const _: () = assert!(core::mem::size_of::<SocketCommand>() == 40);

// SAFETY: `repr(C)`, integers only, no padding (8 + 2 × 4 + 2 × 12 = 40, asserted above): any bytes
// are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for SocketCommand {}
