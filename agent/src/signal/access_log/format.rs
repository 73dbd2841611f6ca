//! The format of a line: text with operators, or JSON whose members have such formats.

use std::collections::BTreeMap;

use super::operator::{Operator, Written};
use super::record::{Body, Value};
use crate::redact::Sanitized;
use crate::visible::{self, hidden};

/// Envoy's default format.
const ENVOY: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value {
        operator: Operator,
        /// Most bytes of the value.
        limit: Option<usize>,
    },
}

/// The format of lines.
#[derive(Clone, Debug)]
pub struct Format(Shape);

#[derive(Clone, Debug)]
enum Shape {
    Text(Vec<Part>),
    Json(Vec<(String, Vec<Part>)>),
}

impl Default for Format {
    fn default() -> Self {
        // Envoy's default names operators that there are; a test reads it.
        Self(Shape::Text(parse(ENVOY).unwrap_or_default()))
    }
}

impl Format {
    /// A line of text. One that does not end its line gets its end.
    ///
    /// # Errors
    /// Names the operator that there is not.
    pub fn text(text: &str) -> Result<Self, String> {
        let mut parts = parse(text)?;
        if !text.ends_with('\n') {
            parts.push(Part::Literal("\n".to_owned()));
        }
        Ok(Self(Shape::Text(parts)))
    }

    /// A JSON object.
    ///
    /// # Errors
    /// Names the operator that there is not.
    pub fn json(members: &BTreeMap<String, String>) -> Result<Self, String> {
        let members = members.iter();
        let members = members.map(|(name, text)| Ok((name.clone(), parse(text)?)));
        Ok(Self(Shape::Json(members.collect::<Result<_, String>>()?)))
    }

    /// Writes a line. `value` is room for one value, used again.
    pub fn write(&self, out: &mut Vec<u8>, value: &mut Vec<u8>, sanitized: &Sanitized) {
        match &self.0 {
            Shape::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                        Part::Value { operator, limit } => {
                            match written(operator, *limit, value, sanitized) {
                                Written::Nothing => out.push(b'-'),
                                Written::Text | Written::Number => escape_text(out, value),
                            }
                        }
                    }
                }
            }
            Shape::Json(members) => {
                for (number, (name, parts)) in members.iter().enumerate() {
                    out.push(if number == 0 { b'{' } else { b',' });
                    escape_json(out, name.as_bytes());
                    out.push(b':');
                    member(out, value, parts, sanitized);
                }
                out.extend_from_slice(b"}\n");
            }
        }
    }

    /// What a record says, in this format.
    pub(super) fn body(&self, value: &mut Vec<u8>, sanitized: &Sanitized) -> Body {
        match &self.0 {
            Shape::Text(_) => {
                let mut line = Vec::new();
                self.write(&mut line, value, sanitized);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                Body::Text(String::from_utf8_lossy(line).into_owned())
            }
            Shape::Json(members) => {
                let members = members.iter().filter_map(|(name, parts)| {
                    Some((name.clone(), typed(value, parts, sanitized)?))
                });
                Body::Members(members.collect())
            }
        }
    }
}

/// The value of a member. An operator that stands alone keeps its type.
fn typed(value: &mut Vec<u8>, parts: &[Part], sanitized: &Sanitized) -> Option<Value> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let [Part::Value { operator, limit }] = parts else {
        return Some(Value::Text(text(&joined(value, parts, sanitized))));
    };
    match written(operator, *limit, value, sanitized) {
        Written::Nothing => None,
        Written::Text => Some(Value::Text(text(value))),
        Written::Number => match text(value).parse() {
            Ok(number) => Some(Value::Number(number)),
            Err(_) => Some(Value::Text(text(value))),
        },
    }
}

fn written(
    operator: &Operator,
    limit: Option<usize>,
    value: &mut Vec<u8>,
    sanitized: &Sanitized,
) -> Written {
    value.clear();
    let written = operator.write(value, sanitized);
    if let Some(limit) = limit {
        value.truncate(limit);
    }
    written
}

/// An operator that stands alone keeps its type; among other text it is text.
fn member(out: &mut Vec<u8>, value: &mut Vec<u8>, parts: &[Part], sanitized: &Sanitized) {
    if let [Part::Value { operator, limit }] = parts {
        match written(operator, *limit, value, sanitized) {
            Written::Nothing => out.extend_from_slice(b"null"),
            Written::Number => out.extend_from_slice(value),
            Written::Text => escape_json(out, value),
        }
        return;
    }
    escape_json(out, &joined(value, parts, sanitized));
}

fn joined(value: &mut Vec<u8>, parts: &[Part], sanitized: &Sanitized) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in parts {
        match part {
            Part::Literal(text) => whole.extend_from_slice(text.as_bytes()),
            Part::Value { operator, limit } => match written(operator, *limit, value, sanitized) {
                Written::Nothing => whole.push(b'-'),
                Written::Text | Written::Number => whole.extend_from_slice(value),
            },
        }
    }
    whole
}

/// What would end a value or a line, what a terminal would obey, and what is no UTF-8, as `\xHH`: a
/// client cannot forge lines.
fn escape_text(out: &mut Vec<u8>, value: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let escape = |out: &mut Vec<u8>, byte: u8| {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        out.extend_from_slice(&[b'\\', b'x', DIGITS[high], DIGITS[low]]);
    };
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut room = [0; 4];
            let bytes = c.encode_utf8(&mut room).as_bytes();
            match matches!(c, '"' | '\\') || hidden(c) {
                true => bytes.iter().for_each(|byte| escape(out, *byte)),
                false => out.extend_from_slice(bytes),
            }
        }
        for byte in chunk.invalid() {
            escape(out, *byte);
        }
    }
}

fn escape_json(out: &mut Vec<u8>, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    // Writing text into memory does not fail.
    let _ = visible::write_json(out, &*text);
}

/// Reads a format: `%%`, `%NAME%`, `%NAME(ARGUMENT)%`, `%NAME(ARGUMENT):LENGTH%`.
fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let end = rest
            .find('%')
            .ok_or("a `%` is not closed; write `%%` for one")?;
        let (operator, after) = (&rest[..end], &rest[end + 1..]);
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(value(operator)?);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn value(text: &str) -> Result<Part, String> {
    let wrong = || format!("`%{text}%` is not like %NAME%, %NAME(FIELD)% or %NAME(FIELD):LENGTH%");
    let (name, argument, length) = match text.split_once('(') {
        None => match text.split_once(':') {
            Some((name, length)) => (name, None, Some(length)),
            None => (text, None, None),
        },
        Some((name, rest)) => {
            let (argument, after) = rest.rsplit_once(')').ok_or_else(wrong)?;
            let length = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or_else(wrong)?),
            };
            (name, Some(argument), length)
        }
    };
    let limit = length
        .map(|length| length.parse().map_err(|_| wrong()))
        .transpose()?;
    let operator = Operator::parse(name, argument)?;
    Ok(Part::Value { operator, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture;
    use crate::redact::Config;
    use crate::redact::fixture::sanitize;

    fn exchange(request: &str, response: &str) -> Sanitized {
        let mut exchange = fixture::exchange(request, response);
        exchange.request.ended = 3_000_000;
        exchange.ended = 12_900_000;
        sanitize(&Config::everything(), exchange)
    }

    fn line(format: &Format, sanitized: &Sanitized) -> String {
        let mut out = Vec::new();
        format.write(&mut out, &mut Vec::new(), sanitized);
        String::from_utf8(out).unwrap()
    }

    const REQUEST: &str = "POST /a?b=1 HTTP/1.1\r\nhost: h.shop\r\nuser-agent: curl/8\r\nx-forwarded-for: 192.0.2.7\r\nx-request-id: r-1\r\n\r\nhello";
    const RESPONSE: &str = "HTTP/1.1 201 X\r\nx-envoy-upstream-service-time: 5\r\n\r\nhi";

    #[test]
    fn the_default_is_envoys() {
        let found = line(&Format::default(), &exchange(REQUEST, RESPONSE));
        assert_eq!(
            found,
            "[1970-01-01T00:00:00.000Z] \"POST /a?b=1 HTTP/1.1\" 201 - 5 2 12 5 \"192.0.2.7\" \"curl/8\" \"r-1\" \"h.shop\" \"10.0.0.1:8080\"\n"
        );
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let format = Format::text(text).unwrap();
        let found = line(&format, &exchange(REQUEST, RESPONSE));
        assert_eq!(found, format!("{expected}\n"), "{text}");
    }

    #[test]
    fn operators() {
        check("100%% %REQ(:METHOD):2%", "100% PO");
        check("%REQ(nothing)% %REQ(NOTHING?X-REQUEST-ID)%", "- r-1");
        check("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "5");
        check("%REQUEST_DURATION% %PROTOCOL% %PATH(NQ)%", "2 HTTP/1.1 /a");
        check(
            "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
            "10.0.0.9:40000 10.0.0.9",
        );
        check(
            "%DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_CLUSTER% %GRPC_STATUS%",
            "10.0.0.1:8080 - -",
        );
        check("%TRAILER(grpc-status)% %CONNECTION_ID%", "- 1");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for text in [
            "%",
            "%NOTHING%",
            "%REQ%",
            "%REQ(a%",
            "%REQ(a):x%",
            "%REQ(a)x%",
            "%START_TIME(%s)%",
        ] {
            assert!(Format::text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn json() {
        let members = [
            ("code", "%RESPONSE_CODE%"),
            ("cluster", "%UPSTREAM_CLUSTER%"),
            ("path", "%REQ(:PATH)%"),
            ("both", "%RESPONSE_CODE% of %REQ(:METHOD)%"),
        ];
        let members = members.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let format = Format::json(&BTreeMap::from(members)).unwrap();
        let found = line(&format, &exchange(REQUEST, RESPONSE));
        let expected =
            "{\"both\":\"201 of POST\",\"cluster\":null,\"code\":201,\"path\":\"/a?b=1\"}\n";
        assert_eq!(found, expected);
    }

    #[test]
    fn nobody_forges_a_line() {
        let mut out = Vec::new();
        escape_text(&mut out, b"a\" \n\\\x00\xff\xc3\xa9");
        assert_eq!(out, "a\\x22 \\x0A\\x5C\\x00\\xFF\u{e9}".as_bytes());
        out.clear();
        escape_text(&mut out, "\u{9b}2J\u{2028}\u{202e}".as_bytes());
        assert_eq!(out, br"\xC2\x9B2J\xE2\x80\xA8\xE2\x80\xAE");
        out.clear();
        escape_json(&mut out, "\u{9b}2J\u{2028}\u{202e}\u{e9}".as_bytes());
        assert_eq!(out, "\"\\u009b2J\\u2028\\u202e\u{e9}\"".as_bytes());
    }
}
