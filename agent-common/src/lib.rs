//! What the BPF programs and user space share: the layout of events and maps, drop reasons, limits.
//!
//! Everything here is plain data, `#[repr(C)]`, with its layout asserted at compile time. No
//! dependencies, no `std`.
//!
//! One record of the ring buffer is an [`EventHeader`] followed by [`EventHeader::captured_len`]
//! bytes of TCP payload; what remains of the reserved bucket after that is undefined and must not
//! be read.

#![no_std]

mod classification;
mod command;
mod config;
mod connection;
mod drops;
mod event;
mod flow;
mod outline;
mod owner;
mod plaintext;
mod sequence;
mod share;
mod signature;

pub use classification::{CLASSIFICATIONS, Classification};
pub use command::{
    COMMAND_FRAMES, COMMAND_IGNORE, COMMAND_MID_STREAM, COMMAND_UNLIMITED, IgnoreReason,
    ResumeOffset, SocketCommand,
};
pub use config::{
    CaptureConfig, MAX_PORTS, MIN_STREAM_BUDGET, SIDE_BOTH, SIDE_CLIENT, SIDE_SERVER,
};
pub use connection::{
    CONNECTION_CLOSED, CONNECTION_OPENED, CONNECTION_RING_BYTES, ConnectionRecord,
};
pub use drops::{DROP_REASONS, DropReason};
pub use event::{
    DIRECTION_EGRESS, DIRECTION_INGRESS, EventHeader, FLAG_FIN, FLAG_LISTENER, FLAG_RST,
    FLAG_SKIPPED, FLAG_START, FLAG_URGENT, HEADER_LEN, KIND_RELEASED, KIND_SEGMENT,
};
pub use flow::{
    FLOW_LEN, FLOW_REASON_OFFSET, FLOW_RULE_GUESSED, FLOW_RULE_OFFSET, FLOW_STATE_DORMANT,
    FLOW_STATE_FOLLOWED, FLOW_STATE_IGNORED, FLOW_STATE_NEW, FLOW_STATE_OFFSET, FLOW_STATE_PENDING,
    FLOW_STATE_SUSPECTED, FLOW_STATE_WAITING, FlowReport, IgnoredFlow,
};
pub use outline::{FLAG_FRAME, FLAG_GUESS, FLAG_OUTLINE, FrameMark, MARK_LEN, MAX_MARKS};
pub use owner::Owner;
pub use plaintext::{
    FLAG_HANDSHAKE, FLAG_HEARD, FLAG_RUSTLS, KIND_CLOSED, KIND_PLAINTEXT, MAX_PLAINTEXT,
    PLAINTEXT_LEN, PlaintextHeader, TlsConfig, TlsProcess,
};
pub use sequence::distance;
pub use share::{RingShare, SHARE_FACTOR};
pub use signature::{HTTP2_PREFACE, PROXY_V2_SIGNATURE};

/// Most payload bytes of one record. A larger skb makes several records, in order.
pub const MAX_CHUNK: usize = 32 * 1024;

/// Largest skb that is copied: BIG TCP's 512 KiB. Bytes past it are a gap that sequence numbers
/// show.
pub const MAX_SKB: usize = 512 * 1024;

/// Default size of the ring buffer in bytes (a power of two).
pub const DEFAULT_RING_BYTES: u32 = 16 * 1024 * 1024;

/// Sockets with a command at a time, which is as many as the engine keeps connections. An entry
/// takes about 100 bytes.
pub const MAX_COMMANDS: u32 = 65_536;

/// Cgroups that can be left alone at a time: every container of the fullest node, and what is
/// nested in them.
pub const MAX_EXCLUDED_CGROUPS: u32 = 16_384;
/// Value of an excluded cgroup: nothing of it is copied.
pub const EXCLUDED_ALL: u32 = 0;
/// Value of an excluded cgroup: nothing of its sockets is copied, but what rustls in it decrypts
/// and encrypts is.
pub const EXCLUDED_SOCKETS: u32 = 1;
