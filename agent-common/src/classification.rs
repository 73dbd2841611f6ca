//! What the BPF programs made of the sockets that they met. Index into their per-CPU counters, and
//! metric label.

/// Number of [`Classification`]s.
pub const CLASSIFICATIONS: u32 = 7;

/// What becomes of a socket. Each socket is counted once for each classification that it gets.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Classification {
    /// May speak HTTP: copied.
    Followed = 0,
    /// TLS, proved by an accepted handshake record at the start of its stream: left alone.
    Tls = 1,
    /// No message of HTTP began where one would: looked at again now and then.
    Other = 2,
    /// The end of the connection that `side` does not ask for: left alone.
    Side = 3,
    /// Its cgroup is out of scope: left alone.
    Cgroup = 4,
    /// A subflow of Multipath TCP (RFC 8684): left alone.
    Mptcp = 5,
    /// Left alone because user space requested it.
    Requested = 6,
}

impl Classification {
    /// Every one, in the order of its counter.
    pub const ALL: [Self; CLASSIFICATIONS as usize] = [
        Self::Followed,
        Self::Tls,
        Self::Other,
        Self::Side,
        Self::Cgroup,
        Self::Mptcp,
        Self::Requested,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Followed => "followed",
            Self::Tls => "tls",
            Self::Other => "other",
            Self::Side => "side",
            Self::Cgroup => "cgroup",
            Self::Mptcp => "mptcp",
            Self::Requested => "requested",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Classification::ALL.len() {
        assert!(Classification::ALL[i] as usize == i);
        i += 1;
    }
};
