//! Why the kernel side did not give a payload to user space. Index into its per-CPU counters, and metric label.

/// Number of [`DropReason`]s.
pub const DROP_REASONS: u32 = 6;

/// What the kernel side counts when it leaves payload out, per CPU: number of segments and their payload bytes.
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
    /// Past the body budget: left out on purpose, known by sequence numbers.
    Budget = 4,
    /// The flow table refused an entry: the socket was not followed.
    FlowTable = 5,
}

impl DropReason {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; DROP_REASONS as usize] = [
        Self::RingFull,
        Self::Unreadable,
        Self::Oversize,
        Self::Headers,
        Self::Budget,
        Self::FlowTable,
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
            Self::FlowTable => "flow_table",
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
