//! Remote procedure calls in HTTP: gRPC, gRPC-web and Connect. What a request is, where its
//! messages begin and end, what its response says of it.
//!
//! Specifications: "gRPC over HTTP2" and "gRPC Web" in the folder `doc` of grpc/grpc; Connect:
//! <https://connectrpc.com/docs/protocol>.

mod code;
mod messages;

pub use code::Code;
pub use messages::{Counter, Envelope, Envelopes, Messages, PREFIX};

use super::target::{path_and_query, split_query};
use super::{RequestHead, ResponseHead};

/// How a call travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `application/grpc`: messages in envelopes, the status in trailers.
    Grpc,
    /// `application/grpc-web`: as gRPC, the trailers in a last envelope.
    GrpcWeb,
    /// `application/grpc-web-text`: as gRPC-web, in base64.
    GrpcWebText,
    /// Connect, one message without an envelope; errors are JSON, and say so by their status code.
    Connect,
    /// Connect, messages in envelopes; the last one is JSON and says how the call ended.
    ConnectStream,
}

/// Media types of calls, longest first: each may end there or go on with `+proto`, `+json` …
const MEDIA_TYPES: [(&[u8], Protocol); 4] = [
    (b"application/grpc-web-text", Protocol::GrpcWebText),
    (b"application/grpc-web", Protocol::GrpcWeb),
    (b"application/grpc", Protocol::Grpc),
    (b"application/connect", Protocol::ConnectStream),
];

/// Where the first letter stands that distinguishes these media types.
const FIRST: usize = b"application/".len();

impl Protocol {
    /// Of a request. Media types are compared without case (RFC 9110 §8.3.1).
    #[must_use]
    pub fn of(head: &RequestHead) -> Option<Self> {
        let by_type = head
            .fields
            .get("content-type")
            .and_then(Self::of_media_type);
        by_type.or_else(|| {
            // A unary Connect call is known from other JSON by its version, which a GET has in its
            // query.
            let version = head.fields.get("connect-protocol-version");
            let in_query = || {
                let (_, query) = split_query(path_and_query(head.target()));
                query.is_some_and(|query| query.split(|b| *b == b'&').any(|p| p == b"connect=v1"))
            };
            (version == Some(b"1") || in_query()).then_some(Self::Connect)
        })
    }

    /// By a media type that only calls have.
    #[must_use]
    pub fn of_media_type(media_type: &[u8]) -> Option<Self> {
        // Most media types are none, and one letter says so.
        let is_other = |b: &u8| !matches!(b, b'g' | b'G' | b'c' | b'C');
        let begins = media_type.first().is_some_and(u8::is_ascii_alphabetic);
        if begins && media_type.get(FIRST).is_none_or(is_other) {
            return None;
        }
        let essence = essence(media_type);
        MEDIA_TYPES.into_iter().find_map(|(name, protocol)| {
            let (start, rest) = essence.split_at_checked(name.len())?;
            let fits =
                start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+'));
            fits.then_some(protocol)
        })
    }

    /// `rpc.system` (OpenTelemetry).
    #[must_use]
    pub const fn system(self) -> &'static str {
        match self {
            Self::Grpc | Self::GrpcWeb | Self::GrpcWebText => "grpc",
            Self::Connect | Self::ConnectStream => "connect_rpc",
        }
    }

    /// The name in output.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::GrpcWebText => "grpc_web_text",
            Self::Connect => "connect",
            Self::ConnectStream => "connect_stream",
        }
    }

    /// Its messages can be counted while they pass by.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        !matches!(self, Self::Connect | Self::GrpcWebText)
    }

    /// The field that says how messages are compressed.
    #[must_use]
    pub const fn encoding_field(self) -> &'static str {
        match self {
            Self::Connect | Self::ConnectStream => "connect-content-encoding",
            Self::Grpc | Self::GrpcWeb | Self::GrpcWebText => "grpc-encoding",
        }
    }

    /// Flags of the envelope that ends a call and is no message.
    #[must_use]
    pub const fn last(self) -> Option<u8> {
        match self {
            Self::GrpcWeb | Self::GrpcWebText => Some(0x80),
            Self::ConnectStream => Some(0x02),
            Self::Grpc | Self::Connect => None,
        }
    }
}

/// A media type without its parameters (RFC 9110 §8.3.1).
pub(crate) fn essence(media_type: &[u8]) -> &[u8] {
    let essence = media_type.split(|b| *b == b';').next();
    essence.unwrap_or_default().trim_ascii()
}

/// The media type of the messages of a call: what is behind the `+`; protobuf where nothing is.
#[must_use]
pub fn message_type(media_type: &[u8]) -> &'static [u8] {
    match essence(media_type).rsplit(|b| *b == b'+').next() {
        Some(kind) if kind.eq_ignore_ascii_case(b"json") => b"application/json",
        _ => b"application/proto",
    }
}

/// The service, and its method, that a target names: the last two parts of its path.
#[must_use]
pub fn procedure(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let (path, _) = split_query(path_and_query(target));
    let mut parts = path.rsplitn(3, |b| *b == b'/');
    let method = parts.next().filter(|part| !part.is_empty())?;
    let service = parts.next().filter(|part| !part.is_empty())?;
    Some((service, method))
}

/// How a call ended, as the response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status; may be one that nobody knows.
    pub code: u32,
    /// What the server says of it, decoded.
    pub message: Option<Vec<u8>>,
}

impl Outcome {
    /// From the fields that have it: trailers, or the head of a response that has no others.
    #[must_use]
    pub fn of_fields<'a>(get: impl Fn(&str) -> Option<&'a [u8]>) -> Option<Self> {
        let code = str::from_utf8(get("grpc-status")?).ok()?.trim();
        Some(Self {
            code: code.parse().ok()?,
            message: get("grpc-message").map(super::percent::decode_escapes),
        })
    }

    /// From the last envelope of gRPC-web: fields as HTTP/1 has them.
    #[must_use]
    pub fn of_lines(payload: &[u8]) -> Option<Self> {
        Self::of_fields(|name| {
            payload.split(|b| *b == b'\n').find_map(|line| {
                let colon = memchr::memchr(b':', line)?;
                let (key, value) = line.split_at(colon);
                let same = key.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
                same.then(|| value.get(1..).unwrap_or_default().trim_ascii())
            })
        })
    }

    /// From the status code of a unary Connect call that does not say more.
    #[must_use]
    pub fn of_status(head: &ResponseHead) -> Self {
        Self {
            code: Code::of_http(head.status) as u32,
            message: None,
        }
    }

    /// The status, if it is a known one.
    #[must_use]
    pub fn known(&self) -> Option<Code> {
        Code::of(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(media_type: &str, expected: Option<Protocol>) {
        assert_eq!(Protocol::of_media_type(media_type.as_bytes()), expected);
    }

    #[test]
    fn media_types() {
        check("application/grpc", Some(Protocol::Grpc));
        check("Application/gRPC+proto; charset=x", Some(Protocol::Grpc));
        check("application/grpc-web+proto", Some(Protocol::GrpcWeb));
        check("application/grpc-web-text", Some(Protocol::GrpcWebText));
        check("application/connect+json", Some(Protocol::ConnectStream));
        check("application/grpcx", None);
        check("application/json", None);
        assert_eq!(message_type(b"application/grpc+json"), b"application/json");
        assert_eq!(message_type(b"application/grpc"), b"application/proto");
    }

    #[test]
    fn procedures() {
        let of = |target: &'static str| procedure(target.as_bytes());
        assert_eq!(of("/pkg.S/Do"), Some((&b"pkg.S"[..], &b"Do"[..])));
        assert_eq!(of("/api/pkg.S/Do?x=/"), Some((&b"pkg.S"[..], &b"Do"[..])));
        assert_eq!(of("http://h/S/Do"), Some((&b"S"[..], &b"Do"[..])));
        assert_eq!(of("/Do"), None);
        assert_eq!(of("/S/"), None);
        assert_eq!(of("*"), None);
    }

    fn outcome(code: u32, message: Option<&str>) -> Option<Outcome> {
        let message = message.map(|text| text.as_bytes().to_vec());
        Some(Outcome { code, message })
    }

    #[test]
    fn outcomes() {
        let lines = |text: &str| Outcome::of_lines(text.as_bytes());
        assert_eq!(lines("grpc-status: 0\r\n"), outcome(0, None));
        assert_eq!(
            lines("Grpc-Status:5\r\ngrpc-message:not%20a+b%zz\r\n"),
            outcome(5, Some("not a+b%zz"))
        );
        assert_eq!(lines("grpc-status:x\r\n"), None);
        assert_eq!(lines(""), None);
    }
}
