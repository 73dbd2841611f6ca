//! The first bytes that a server sends: do they speak the protocol that is expected of the port?
//! Pure.

use super::response::one_line;

/// What the requests of a connection are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, which gRPC is carried by.
    Http2,
}

impl Expected {
    const fn label(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "gRPC",
        }
    }
}

/// An HTTP/2 frame's head (RFC 9113 §4.1); a server's first frame is SETTINGS (§3.4), or GOAWAY.
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Bytes kept: enough to know any of the protocols, and to show a line of another.
const KEPT: usize = 24;

/// What to do with bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Read them.
    Pass,
    /// Read on without them: they are not what is expected, and too few to say what they are.
    Hold,
}

/// The first bytes of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting {
    bytes: Vec<u8>,
    judged: bool,
}

impl Greeting {
    /// Takes bytes that came.
    ///
    /// # Errors
    /// What speaks there instead of `expected`, once, as soon as it is known.
    pub(super) fn hear(&mut self, bytes: &[u8], expected: Expected) -> Result<Heard, String> {
        if self.judged {
            return Ok(Heard::Pass);
        }
        self.keep(bytes);
        match self.is(expected) {
            None => Ok(Heard::Pass),
            Some(true) => {
                self.judged = true;
                Ok(Heard::Pass)
            }
            Some(false) if self.protocol().is_none() && self.bytes.len() < FRAME_HEAD => {
                Ok(Heard::Hold)
            }
            Some(false) => {
                self.judged = true;
                Err(self.mismatch(expected))
            }
        }
    }

    /// The connection ends.
    ///
    /// # Errors
    /// When it has not said what is expected.
    pub(super) fn end(&mut self, expected: Expected) -> Result<(), String> {
        if std::mem::replace(&mut self.judged, true) {
            return Ok(());
        }
        Err(self.mismatch(expected))
    }

    /// Takes bytes of a connection whose TLS handshake is under way.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.bytes.len());
        self.bytes.extend(bytes.iter().take(room));
    }

    /// What speaks there when TLS was expected, as far as that is known.
    pub(super) fn instead_of_tls(&self) -> Option<String> {
        match self.protocol() {
            // An alert, say: the handshake's own error says more.
            Some("TLS") => None,
            Some(protocol) => Some(format!("this port speaks {protocol} without TLS")),
            // Handshakes go on with one of these (RFC 8446 §5.1), however little has come.
            None if matches!(self.bytes.first(), None | Some(0x14..=0x17)) => None,
            None => Some(format!(
                "this port does not speak TLS: it says `{}`",
                one_line(&self.bytes.escape_ascii().to_string())
            )),
        }
    }

    fn is(&self, expected: Expected) -> Option<bool> {
        match expected {
            Expected::Http1 => {
                // Lines before the status line are tolerated (RFC 9112 §2.2).
                let text = self.bytes.trim_ascii_start();
                let len = text.len().min(HTTP1.len());
                let same = text.get(..len) == HTTP1.get(..len);
                (!same || len == HTTP1.len()).then_some(same)
            }
            Expected::Http2 => match self.bytes.first() {
                None => None,
                // The first byte of a length that no first frame has.
                Some(1..) => Some(false),
                Some(0) => (self.bytes.len() >= FRAME_HEAD).then(|| self.is_frame()),
            },
        }
    }

    fn is_frame(&self) -> bool {
        matches!(
            self.bytes.get(..FRAME_HEAD),
            Some([0, _, _, SETTINGS | GOAWAY, _, 0, 0, 0, 0])
        )
    }

    fn protocol(&self) -> Option<&'static str> {
        let bytes = &*self.bytes;
        if bytes.starts_with(HTTP1) {
            Some("HTTP/1")
        } else if self.is_frame() {
            Some("gRPC (HTTP/2)")
        } else if matches!(bytes, [0x14..=0x17, 3, 0..=4, ..]) {
            Some("TLS")
        } else {
            None
        }
    }

    fn mismatch(&self, expected: Expected) -> String {
        let expected_label = expected.label();
        match self.protocol() {
            Some("TLS") => {
                format!("this port speaks TLS, not plain {expected_label}: use https://")
            }
            Some(protocol) => format!("this port speaks {protocol}, not {expected_label}"),
            None if self.bytes.is_empty() => format!(
                "the connection was closed without a response; does this port speak {expected_label}?"
            ),
            None => format!(
                "this port does not speak {expected_label}: it says `{}`",
                one_line(&self.bytes.escape_ascii().to_string())
            ),
        }
    }
}

const HTTP1: &[u8] = b"HTTP/";

#[cfg(test)]
mod tests {
    use super::*;

    /// The judgement is the same whether the bytes come at once or one by one.
    #[track_caller]
    fn check(bytes: &[u8], expected: Expected, result: Result<(), &str>) {
        for size in [bytes.len().max(1), 1] {
            let mut greeting = Greeting::default();
            let heard = bytes
                .chunks(size)
                .try_for_each(|chunk| greeting.hear(chunk, expected).map(drop));
            let found = heard.and_then(|()| greeting.end(expected));
            match result {
                Ok(()) => assert_eq!(found, Ok(())),
                Err(start) => {
                    let text = found.unwrap_err();
                    assert!(text.starts_with(start), "{text}");
                }
            }
            assert_eq!(greeting.hear(b"more", expected), Ok(Heard::Pass), "once");
        }
    }

    const SETTINGS_FRAME: &[u8] = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64";
    const ALERT: &[u8] = b"\x15\x03\x01\0\x02\x02\x46";

    #[test]
    fn http1() {
        let check = |bytes, result| check(bytes, Expected::Http1, result);
        check(b"HTTP/1.1 200 OK\r\n", Ok(()));
        check(b"HTTP/", Ok(()));
        check(b"\r\nHTTP/1.0 200", Ok(()));
        check(
            SETTINGS_FRAME,
            Err("this port speaks gRPC (HTTP/2), not HTTP/1"),
        );
        check(
            ALERT,
            Err("this port speaks TLS, not plain HTTP/1: use https://"),
        );
        check(
            b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03",
            Err("this port speaks TLS"),
        );
        check(
            b"SSH-2.0-OpenSSH_9.2\r\n",
            Err("this port does not speak HTTP/1: it says `SSH-2.0-O"),
        );
        check(b"HT", Err("this port does not speak HTTP/1: it says `HT`"));
        check(
            b"\xff\0\x1b",
            Err(r"this port does not speak HTTP/1: it says `\xff\x00\x1b`"),
        );
        check(b"", Err("the connection was closed without a response"));
    }

    #[test]
    fn http2() {
        let check = |bytes, result| check(bytes, Expected::Http2, result);
        check(SETTINGS_FRAME, Ok(()));
        check(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01", Ok(()));
        check(
            b"HTTP/1.1 400 Bad Request\r\n",
            Err("this port speaks HTTP/1, not gRPC"),
        );
        check(
            ALERT,
            Err("this port speaks TLS, not plain gRPC: use https://"),
        );
        check(
            b"\0\0\0\0\0\0\0\0\0\0",
            Err("this port does not speak gRPC"),
        );
        check(b"", Err("the connection was closed without a response"));
    }

    #[test]
    fn plain_where_tls_was_expected() {
        let instead = |bytes: &[u8]| {
            let mut greeting = Greeting::default();
            greeting.keep(bytes);
            greeting.instead_of_tls()
        };
        let plain = |protocol| Some(format!("this port speaks {protocol} without TLS"));
        assert_eq!(instead(b"HTTP/1.1 400 Bad"), plain("HTTP/1"));
        assert_eq!(instead(SETTINGS_FRAME), plain("gRPC (HTTP/2)"));
        assert_eq!(instead(ALERT), None);
        assert_eq!(instead(b""), None);
        assert_eq!(instead(b"\x16"), None);
        let says = |text| Some(format!("this port does not speak TLS: it says `{text}`"));
        assert_eq!(
            instead(b"220 mail.example ESMTP\r\n"),
            says(r"220 mail.example ESMTP\r\n")
        );
        assert_eq!(instead(b"+OK\r\n"), says(r"+OK\r\n"));
        assert_eq!(instead(b"\xff\0"), says(r"\xff\x00"));
    }
}
