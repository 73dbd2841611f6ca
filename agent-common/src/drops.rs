//! Why the BPF programs did not give a payload to user space. Index into its per-CPU counters, and
//! metric label.

/// Number of [`DropReason`]s.
pub const DROP_REASONS: u32 = 10;

/// What the BPF programs count when they do not copy payload, per CPU: number of segments and their
/// payload bytes.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The ring buffer was full: a gap in the stream.
    RingFull = 0,
    /// A payload byte range could not be read from the skb: a gap in the stream.
    Unreadable = 1,
    /// An skb larger than [`crate::MAX_SKB`]: the rest is a gap in the stream.
    Oversize = 2,
    /// IPv6 extension headers beyond the bound, or an IP fragment: not followed.
    Headers = 3,
    /// Past the capture window: not copied on purpose, known by sequence numbers.
    Budget = 4,
    /// The kernel had no room for the socket's state (`net.core.optmem_max`): the socket was not
    /// followed.
    FlowState = 5,
    /// TCP does not accept a segment with such flags or numbers (RFC 9293 §3.10.7.4).
    Unaccepted = 6,
    /// A subflow of Multipath TCP, which carries parts of a stream (RFC 8684): once per subflow.
    Mptcp = 7,
    /// The ring buffer was short, and the cgroup had more than its share of it: a gap in the
    /// stream.
    RingShare = 8,
    /// A TLS record of rustls of which it is not known which socket carries it.
    NoSocket = 9,
}

impl DropReason {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; DROP_REASONS as usize] = [
        Self::RingFull,
        Self::Unreadable,
        Self::Oversize,
        Self::Headers,
        Self::Budget,
        Self::FlowState,
        Self::Unaccepted,
        Self::Mptcp,
        Self::RingShare,
        Self::NoSocket,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::Unreadable => "unreadable",
            Self::Oversize => "oversize",
            Self::Headers => "headers",
            Self::Budget => "budget",
            Self::FlowState => "flow_state",
            Self::Unaccepted => "unaccepted",
            Self::Mptcp => "mptcp",
            Self::RingShare => "ring_share",
            Self::NoSocket => "no_socket",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < DropReason::ALL.len() {
        assert!(DropReason::ALL[i] as usize == i);
        i += 1;
    }
};
