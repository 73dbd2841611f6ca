//! Reason phrases of status lines.

/// The reason phrase of a response (RFC 9112 §4). The usual one of a status takes no room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// None, or an empty one.
    #[default]
    None,
    /// The one that the IANA registry has for the status (RFC 9110 §15).
    Registered(&'static str),
    /// Another one.
    Other(Box<[u8]>),
}

impl Reason {
    /// The reason phrase of a status line.
    #[must_use]
    pub fn new(status: u16, phrase: &[u8]) -> Self {
        match registered(status) {
            Some(registered) if registered.as_bytes() == phrase => Self::Registered(registered),
            _ if phrase.is_empty() => Self::None,
            _ => Self::Other(phrase.into()),
        }
    }

    /// Its bytes, as they came; empty when there was none.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Registered(phrase) => phrase.as_bytes(),
            Self::Other(phrase) => phrase,
        }
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::None | Self::Registered(_) => 0,
            Self::Other(phrase) => phrase.len(),
        }
    }
}

/// The phrase that most servers send with a status.
const fn registered(status: u16) -> Option<&'static str> {
    Some(match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, phrase: &str, memory: usize) {
        let reason = Reason::new(status, phrase.as_bytes());
        assert_eq!(reason.as_bytes(), phrase.as_bytes());
        assert_eq!(reason.memory(), memory);
    }

    #[test]
    fn phrases() {
        check(200, "OK", 0);
        check(200, "", 0);
        check(200, "ok", 2);
        check(404, "Kein Dokument", 13);
        check(299, "Fine", 4);
    }
}
