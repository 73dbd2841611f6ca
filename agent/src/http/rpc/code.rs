//! Status codes of calls.

/// How a call ended (grpc.io, "Status codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Code {
    /// It succeeded.
    Ok = 0,
    /// The caller gave it up.
    Cancelled = 1,
    /// Nobody knows why it failed.
    Unknown = 2,
    /// The request makes no sense.
    InvalidArgument = 3,
    /// Its time was over.
    DeadlineExceeded = 4,
    /// What it asks for is not there.
    NotFound = 5,
    /// What it would make is there already.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A quota, or space, is used up.
    ResourceExhausted = 8,
    /// The system is in another state than the call needs.
    FailedPrecondition = 9,
    /// It was aborted, by a conflict in most cases.
    Aborted = 10,
    /// Past the end.
    OutOfRange = 11,
    /// There is no such method.
    Unimplemented = 12,
    /// Something is broken.
    Internal = 13,
    /// The service is not there now.
    Unavailable = 14,
    /// Data is lost.
    DataLoss = 15,
    /// The caller did not say who it is.
    Unauthenticated = 16,
}

/// Each, with its name in gRPC and in Connect.
const ALL: [(Code, &str, &str); 17] = [
    (Code::Ok, "OK", "ok"),
    (Code::Cancelled, "CANCELLED", "canceled"),
    (Code::Unknown, "UNKNOWN", "unknown"),
    (
        Code::InvalidArgument,
        "INVALID_ARGUMENT",
        "invalid_argument",
    ),
    (
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "deadline_exceeded",
    ),
    (Code::NotFound, "NOT_FOUND", "not_found"),
    (Code::AlreadyExists, "ALREADY_EXISTS", "already_exists"),
    (
        Code::PermissionDenied,
        "PERMISSION_DENIED",
        "permission_denied",
    ),
    (
        Code::ResourceExhausted,
        "RESOURCE_EXHAUSTED",
        "resource_exhausted",
    ),
    (
        Code::FailedPrecondition,
        "FAILED_PRECONDITION",
        "failed_precondition",
    ),
    (Code::Aborted, "ABORTED", "aborted"),
    (Code::OutOfRange, "OUT_OF_RANGE", "out_of_range"),
    (Code::Unimplemented, "UNIMPLEMENTED", "unimplemented"),
    (Code::Internal, "INTERNAL", "internal"),
    (Code::Unavailable, "UNAVAILABLE", "unavailable"),
    (Code::DataLoss, "DATA_LOSS", "data_loss"),
    (Code::Unauthenticated, "UNAUTHENTICATED", "unauthenticated"),
];

impl Code {
    /// By its number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        let mut all = ALL.iter();
        all.find(|(code, ..)| *code as u32 == number)
            .map(|(code, ..)| *code)
    }

    /// By its name in Connect.
    #[must_use]
    pub fn of_connect(name: &str) -> Option<Self> {
        let mut all = ALL.iter();
        all.find(|(.., known)| *known == name)
            .map(|(code, ..)| *code)
    }

    /// What a client of Connect makes of a response that says no more than its status code.
    #[must_use]
    pub const fn of_http(status: u16) -> Self {
        match status {
            200..300 => Self::Ok,
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502..=504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// Its name in gRPC.
    #[must_use]
    pub fn label(self) -> &'static str {
        let name = ALL.iter().find(|(code, ..)| *code == self);
        name.map_or("UNKNOWN", |(_, name, _)| name)
    }

    /// Its name in Connect.
    #[must_use]
    pub fn connect_label(self) -> &'static str {
        let name = ALL.iter().find(|(code, ..)| *code == self);
        name.map_or("unknown", |(.., name)| name)
    }

    /// The server has failed, and not the caller (OpenTelemetry, "gRPC": span status of servers).
    #[must_use]
    pub const fn is_of_server(self) -> bool {
        matches!(
            self,
            Self::Unknown
                | Self::DeadlineExceeded
                | Self::Unimplemented
                | Self::Internal
                | Self::Unavailable
                | Self::DataLoss
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        for (number, (code, name, connect)) in (0..).zip(ALL) {
            assert_eq!(code as u32, number);
            assert_eq!(Code::of(number), Some(code));
            assert_eq!(Code::of_connect(connect), Some(code));
            assert_eq!((code.label(), code.connect_label()), (name, connect));
        }
        assert_eq!(Code::of(17), None);
        assert_eq!(Code::of_http(404), Code::Unimplemented);
    }
}
