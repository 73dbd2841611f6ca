//! What of a message breaks the rules of HTTP without making it unreadable.

/// What of a message breaks a rule of HTTP and is tolerated by recipients (RFC 9112). A bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anomalies(pub u16);

impl Anomalies {
    /// `Transfer-Encoding` and `Content-Length` both present (RFC 9112 §6.3: the first wins; a
    /// smuggling sign).
    pub const LENGTH_AND_CHUNKED: Self = Self(1);
    /// `Content-Length` repeated; in HTTP/1 with the same value.
    pub const REPEATED_LENGTH: Self = Self(1 << 1);
    /// A folded field line (obs-fold).
    pub const FOLDED: Self = Self(1 << 2);
    /// A line that ends with LF alone.
    pub const BARE_LF: Self = Self(1 << 3);
    /// `Transfer-Encoding` in an HTTP/1.0 message, or whose last coding is not chunked.
    pub const ODD_CODING: Self = Self(1 << 4);
    /// A field whose name is no token or whose value holds control characters, or a line that is no
    /// field.
    pub const INVALID_FIELD: Self = Self(1 << 5);
    /// A request line that only a tolerant server takes: other white space than single spaces, no
    /// target, white space or control characters in it, a version that is not 1.0 or 1.1 (RFC 9112
    /// §3).
    pub const ODD_LINE: Self = Self(1 << 6);
    /// A status line with other white space than single spaces, or a minor version above 1 (RFC
    /// 9112 §4).
    pub const ODD_STATUS_LINE: Self = Self(1 << 7);

    /// Not of the head: TCP was given other bytes at the same position before it took any, so the
    /// bytes read may not be those that the recipient read.
    pub const CONFLICT: Self = Self(1 << 8);

    /// Header compression as only some decoders of HTTP/2 take it: a size update after a field (RFC
    /// 7541 §4.2), long padding (§5.2), an integer with zeros in front (§5.1).
    pub const ODD_COMPRESSION: Self = Self(1 << 9);

    /// Not of the head: a byte was urgent (RFC 6093) and is excluded, as a recipient without
    /// `SO_OOBINLINE` (tcp(7)) has it.
    pub const URGENT: Self = Self(1 << 10);

    /// White space before the colon of `Content-Length` or `Transfer-Encoding` in a request (RFC
    /// 9112 §5.1): most servers refuse it, some take it, so they differ in where the body ends.
    pub const SPACED_LENGTH: Self = Self(1 << 11);

    /// Not of the head: a frame of its stream breaks the protocol of HTTP/2 (RFC 9113 §5.1, §8.1).
    pub const INVALID_FRAME: Self = Self(1 << 12);

    /// Not of the head: where frames begin was found by their looks, in a connection that was
    /// joined in the middle or lost bytes, and not enough of them were read since to show that they
    /// are no part of a body.
    pub const UNPROVEN_FRAMES: Self = Self(1 << 13);

    /// Each with its name in output.
    pub const NAMED: [(Self, &'static str); 14] = [
        (Self::LENGTH_AND_CHUNKED, "length_and_chunked"),
        (Self::REPEATED_LENGTH, "repeated_length"),
        (Self::FOLDED, "folded_field"),
        (Self::BARE_LF, "bare_lf"),
        (Self::ODD_CODING, "odd_transfer_coding"),
        (Self::INVALID_FIELD, "invalid_field"),
        (Self::ODD_LINE, "odd_request_line"),
        (Self::ODD_STATUS_LINE, "odd_status_line"),
        (Self::CONFLICT, "conflicting_bytes"),
        (Self::ODD_COMPRESSION, "odd_header_compression"),
        (Self::URGENT, "urgent_data"),
        (Self::SPACED_LENGTH, "spaced_length"),
        (Self::INVALID_FRAME, "invalid_frame"),
        (Self::UNPROVEN_FRAMES, "unproven_frames"),
    ];

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED
            .into_iter()
            .filter(move |(anomaly, _)| self.contains(*anomaly))
            .map(|(_, name)| name)
    }

    /// With those of `other` added.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
