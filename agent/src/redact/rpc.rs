//! Messages of calls (gRPC, gRPC-web, Connect): each is decompressed and searched by itself, and
//! put into an envelope again. And how the call ended.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::Redactor;
use super::config::{Mode, Uninspected};
use super::sanitized::{Content, Omitted};
use crate::exchange::{Exchange, Response};
use crate::http::coding::{self, Decoded};
use crate::http::rpc::{Code, Counter, Envelope, Envelopes, Outcome, Protocol, message_type};
use crate::http::{Body, Fields};

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How it travels.
    pub protocol: Protocol,
    /// How it ended, if that was seen. Its message has no secrets any more.
    pub outcome: Option<Outcome>,
}

impl Call {
    /// Of an exchange, as it came.
    pub(super) fn of(exchange: &Exchange, cap: usize) -> Option<Self> {
        let protocol = Protocol::of(&exchange.request.head)?;
        let response = exchange.response.as_ref();
        Some(Self {
            protocol,
            outcome: response.and_then(|response| outcome(protocol, response, cap)),
        })
    }
}

/// The messages of a body, by the head of its message.
#[derive(Debug)]
pub(super) struct Enveloped {
    protocol: Protocol,
    media_type: Box<[u8]>,
    encoding: Option<Box<[u8]>>,
}

impl Enveloped {
    /// `None`: the body is no messages in envelopes.
    pub(super) fn of(fields: &Fields) -> Option<Self> {
        let media_type = fields.get("content-type")?;
        let protocol = Protocol::of_media_type(media_type)?;
        Some(Self {
            protocol,
            media_type: media_type.into(),
            encoding: fields.get(protocol.encoding_field()).map(Into::into),
        })
    }

    fn bytes(&self, body: &Body) -> Bytes {
        match self.protocol {
            Protocol::GrpcWebText => Bytes::from(decode_text(&body.bytes)),
            _ => body.bytes.clone(),
        }
    }

    fn is_last(&self, envelope: &Envelope<'_>) -> bool {
        self.protocol
            .last()
            .is_some_and(|last| envelope.flags & last != 0)
    }

    /// The message without its compression. `None`: it cannot be removed, or nothing says what it
    /// is.
    fn decompress(&self, envelope: &Envelope<'_>, cap: usize) -> Option<(Bytes, bool)> {
        let payload = Bytes::copy_from_slice(envelope.payload);
        if !envelope.is_compressed() || payload.is_empty() {
            return Some((payload, !envelope.whole));
        }
        let encoding = self.encoding.as_deref();
        match coding::decode(encoding, &payload, envelope.whole, cap) {
            Decoded::Decoded { bytes, truncated } => Some((bytes, truncated)),
            Decoded::Identity | Decoded::Failed { .. } => None,
        }
    }
}

impl Redactor {
    /// Makes the messages of a body fit to leave; those of a body that is omitted are counted.
    pub(super) fn envelopes(
        &mut self,
        enveloped: &Enveloped,
        body: &mut Body,
        content: &mut Content,
    ) {
        let bytes = enveloped.bytes(body);
        let counted = body.messages.unwrap_or_else(|| {
            let mut counter = Counter::new(enveloped.protocol.last());
            counter.push(&bytes);
            if content.cut {
                counter.lose();
            }
            counter.seen()
        });
        // That there are none or more says nothing.
        body.messages = Some(counted).filter(|seen| seen.count > 0 || !seen.inexact);
        content.envelopes = true;
        if content.omitted.is_some() || bytes.is_empty() {
            return;
        }
        match self.messages(enveloped, &bytes, content) {
            Ok(out) => {
                if content.decoded {
                    content.full_size = out.len() as u64;
                }
                body.bytes = Bytes::from(out);
            }
            Err(reason) => {
                content.omitted = Some(reason);
                body.bytes = Bytes::new();
            }
        }
    }

    fn messages(
        &mut self,
        enveloped: &Enveloped,
        bytes: &[u8],
        content: &mut Content,
    ) -> Result<Vec<u8>, Omitted> {
        content.decoded |= enveloped.protocol == Protocol::GrpcWebText;
        let mut left = self.rules.bodies.decoded_limit;
        let mut out = Vec::with_capacity(bytes.len().min(left));
        for envelope in Envelopes(bytes) {
            let kind: &[u8] = match (enveloped.is_last(&envelope), enveloped.protocol) {
                (false, _) => message_type(&enveloped.media_type),
                (true, Protocol::ConnectStream) => b"application/json",
                (true, _) => b"text/plain",
            };
            let decompressed = enveloped.decompress(&envelope, left);
            let is_decoded = decompressed.is_some();
            let (payload, cut) = match decompressed {
                Some(payload) => payload,
                None => {
                    content.undecoded = true;
                    self.uninspected()?;
                    (Bytes::copy_from_slice(envelope.payload), !envelope.whole)
                }
            };
            content.decoded |= is_decoded && envelope.is_compressed();
            content.cut |= cut;
            match self.replace(kind, &payload)? {
                None if !is_decoded || !envelope.is_compressed() => envelope.copy(&mut out),
                // It is compressed, and says so.
                Some(replaced) if !is_decoded => envelope.replace(&replaced, &mut out),
                replaced => envelope.write(replaced.as_deref().unwrap_or(&payload), &mut out),
            }
            left = left.saturating_sub(payload.len());
            if left == 0 {
                content.cut = true;
                break;
            }
        }
        Ok(out)
    }

    /// A message cannot be searched.
    fn uninspected(&mut self) -> Result<(), Omitted> {
        let rules = &self.rules;
        if !rules.bodies.inspect || rules.bodies.uninspected != Uninspected::Omit {
            return Ok(());
        }
        self.counts.omit(Omitted::Uninspected);
        match rules.mode {
            Mode::On => Err(Omitted::Uninspected),
            Mode::DryRun | Mode::Off => Ok(()),
        }
    }

    /// What the server says of the end of a call, without secrets; nothing when that costs too
    /// much.
    pub(super) fn call(&mut self, call: &mut Option<Call>) {
        let outcome = call.as_mut().and_then(|call| call.outcome.as_mut());
        let Some(outcome) = outcome else { return };
        outcome.message = outcome.message.take().and_then(|text| {
            let replaced = self.replace(b"text/plain", &text);
            replaced.map(|replaced| replaced.unwrap_or(text)).ok()
        });
    }
}

fn outcome(protocol: Protocol, response: &Response, cap: usize) -> Option<Outcome> {
    let head = &response.head;
    let trailers = response.body.trailers.as_deref();
    let in_fields = || {
        let trailers = trailers.and_then(|trailers| Outcome::of_fields(|name| trailers.get(name)));
        // A call that fails at once has no body, and its status stands in the head.
        trailers.or_else(|| Outcome::of_fields(|name| head.fields.get(name)))
    };
    match protocol {
        Protocol::Grpc => in_fields(),
        Protocol::GrpcWeb | Protocol::GrpcWebText => {
            let last = || last_message(response, cap);
            in_fields().or_else(|| Outcome::of_lines(&last()?))
        }
        Protocol::ConnectStream => of_json(&last_message(response, cap)?, true),
        Protocol::Connect if (200..300).contains(&head.status) => Some(Outcome {
            code: Code::Ok as u32,
            message: None,
        }),
        Protocol::Connect => {
            let said = of_json(&response.body.bytes, false);
            said.or_else(|| Some(Outcome::of_status(head)))
        }
    }
}

/// The envelope that ends a call.
fn last_message(response: &Response, cap: usize) -> Option<Bytes> {
    let enveloped = Enveloped::of(&response.head.fields)?;
    let bytes = enveloped.bytes(&response.body);
    let mut envelopes = Envelopes(&bytes);
    let last = envelopes.find(|envelope| enveloped.is_last(envelope) && envelope.whole)?;
    enveloped.decompress(&last, cap).map(|(payload, _)| payload)
}

/// From the last envelope of Connect, or the body of a unary call that failed.
fn of_json(payload: &[u8], envelope: bool) -> Option<Outcome> {
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let error = match envelope {
        true => value.get("error"),
        false => Some(&value),
    };
    let Some(error) = error.filter(|error| !error.is_null()) else {
        return Some(Outcome {
            code: Code::Ok as u32,
            message: None,
        });
    };
    let code = Code::of_connect(error.get("code")?.as_str()?)?;
    let message = error.get("message").and_then(serde_json::Value::as_str);
    Some(Outcome {
        code: code as u32,
        message: message.map(|text| text.as_bytes().to_vec()),
    })
}

/// Text of base64, with or without padding, in parts that may each end with padding
/// (gRPC-web: a base64 decoder that stops at `=` starts again). What is broken ends it.
pub(super) fn decode_text(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for quantum in text.chunks(4) {
        let decoded = match quantum.contains(&b'=') {
            true => STANDARD.decode(quantum),
            false => STANDARD_NO_PAD.decode(quantum),
        };
        match decoded {
            Ok(decoded) => bytes.extend_from_slice(&decoded),
            Err(_) => break,
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::fixture::{mask, sanitize};
    use super::super::{Config, Secret};
    use super::*;
    use crate::policy::fixture;

    fn envelope(flags: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[flags][..], &length.to_be_bytes(), message].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Messages, their number, and how the call ended.
    type Expected<'a> = (&'a [&'a str], u64, Option<(u32, Option<&'a str>)>);

    /// The messages that leave, each with `*` before it when it still claims to be compressed;
    /// how many were counted; how the call ended.
    fn check(media_type: &str, encoding: &str, body: &[u8], expected: Expected<'_>) {
        let head = format!("POST /s.S/M HTTP/1.1\r\ncontent-type: {media_type}\r\n\r\n");
        let fields = format!("content-type: {media_type}\r\ngrpc-encoding: {encoding}\r\n\r\n");
        let mut response = format!("HTTP/1.1 200 OK\r\n{fields}").into_bytes();
        response.extend_from_slice(body);
        let config = Config {
            key: Some(Secret::new("a key for no more than tests".to_owned())),
            ..Config::default()
        };
        let sanitized = sanitize(&config, fixture::exchange(head, response));
        let body = &sanitized.exchange().response.as_ref().unwrap().body;
        let shown = Envelopes(&body.bytes).map(|envelope| {
            let mark = if envelope.is_compressed() { "*" } else { "" };
            assert!(envelope.whole);
            mark.to_owned() + &mask(&String::from_utf8_lossy(envelope.payload))
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected.0, "{media_type}");
        assert_eq!(
            body.messages.map(|messages| messages.count),
            Some(expected.1)
        );
        let outcome = sanitized.call().and_then(|call| call.outcome.as_ref());
        let outcome = outcome.map(|outcome| {
            let message = outcome.message.as_deref();
            (
                outcome.code,
                message.map(|text| mask(str::from_utf8(text).unwrap())),
            )
        });
        let outcome = outcome
            .as_ref()
            .map(|(code, message)| (*code, message.as_deref()));
        assert_eq!(outcome, expected.2, "{media_type}");
    }

    #[test]
    fn each_message_is_decompressed_and_searched() {
        let (one, two) = (br#"{"password":"x"}"#, br#"{"n":1}"#);
        let body = [envelope(0, one), envelope(1, &gzip(one)), envelope(0, two)].concat();
        let hidden = "{\"password\":\"#\"}";
        check(
            "application/grpc+json",
            "gzip",
            &body,
            (&[hidden, hidden, "{\"n\":1}"], 3, None),
        );
        // Binary messages stay as they are.
        check(
            "application/grpc",
            "gzip",
            &[envelope(0, b"\x0a\x01a"), envelope(1, &gzip(b"\x0a\x01b"))].concat(),
            (&["\n\u{1}a", "\n\u{1}b"], 2, None),
        );
        // What cannot be decompressed cannot be searched.
        check(
            "application/grpc",
            "snappy",
            &envelope(1, b"\xff\x06"),
            (&[], 1, None),
        );
    }

    /// A message that says that it is compressed, and nothing says how: it leaves as it came.
    #[test]
    fn messages_of_an_unknown_compression() {
        let body = [envelope(5, b"\x1f\x8b"), envelope(0, b"\x0a\x01a")].concat();
        let head = "POST /s.S/M HTTP/1.1\r\ncontent-type: application/grpc\r\n\r\n";
        for encoding in ["", "grpc-encoding: identity\r\n"] {
            let fields = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n";
            let response = [format!("{fields}{encoding}\r\n").as_bytes(), &body].concat();
            let config = Config {
                uninspected: Uninspected::Keep,
                ..Config::default()
            };
            let sanitized = sanitize(&config, fixture::exchange(head, response));
            let left = &sanitized.exchange().response.as_ref().unwrap().body;
            assert_eq!(left.bytes, body, "{encoding:?}");
            let content = sanitized.response_content();
            assert!(content.undecoded && !content.decoded);
        }
    }

    #[test]
    fn calls_that_end_in_an_envelope() {
        let last = envelope(
            0x80,
            b"grpc-status:5\r\ngrpc-message:password%3dhunter2\r\n",
        );
        let body = [envelope(0, b"\x0a\x01a"), last].concat();
        let trailers = "grpc-status:5\r\ngrpc-message:password%3dhunter2\r\n";
        let _ = trailers;
        let outcome = Some((5, Some("password=#")));
        let shown = |body: &[u8], media_type: &str| {
            let sanitized = fixture::exchange(
                format!("POST /s.S/M HTTP/1.1\r\ncontent-type: {media_type}\r\n\r\n"),
                [
                    format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\n\r\n").into_bytes(),
                    body.to_vec(),
                ]
                .concat(),
            );
            let sanitized = sanitize(&Config::default(), sanitized);
            let call = sanitized.call().cloned().unwrap();
            let body = &sanitized.exchange().response.as_ref().unwrap().body;
            let outcome = call.outcome.map(|outcome| {
                let message = outcome.message.map(|text| String::from_utf8(text).unwrap());
                (outcome.code, message.map(|text| mask(&text)))
            });
            (body.messages.unwrap().count, outcome)
        };
        let expected = (
            1,
            outcome.map(|(code, text)| (code, text.map(str::to_owned))),
        );
        assert_eq!(shown(&body, "application/grpc-web+proto"), expected);
        let text = STANDARD.encode(&body);
        assert_eq!(
            shown(text.as_bytes(), "application/grpc-web-text"),
            expected
        );
        let end = envelope(2, br#"{"error":{"code":"aborted"}}"#);
        let body = [envelope(0, b"{}"), end].concat();
        let expected = (1, Some((10, None)));
        assert_eq!(shown(&body, "application/connect+json"), expected);
    }

    #[test]
    fn base64_in_parts() {
        assert_eq!(decode_text(b"YWI=YWJj"), b"ababc");
        assert_eq!(decode_text(b"YWJjYQ"), b"abca");
        assert_eq!(decode_text(b"YWJj!!!!YWJj"), b"abc");
        assert_eq!(decode_text(b""), b"");
    }

    fn json(text: &str, envelope: bool, expected: Option<(u32, Option<&str>)>) {
        let found = of_json(text.as_bytes(), envelope);
        let expected = expected.map(|(code, message)| Outcome {
            code,
            message: message.map(|text| text.as_bytes().to_vec()),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn outcomes_in_json() {
        json("{}", true, Some((0, None)));
        let failed = r#"{"error":{"code":"not_found","message":"m"}}"#;
        json(failed, true, Some((5, Some("m"))));
        json(r#"{"code":"unavailable"}"#, false, Some((14, None)));
        json(r#"{"code":"what"}"#, false, None);
        json("no JSON", true, None);
    }
}
