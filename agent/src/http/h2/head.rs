//! Heads of messages from the fields of a header block (RFC 9113 §8.2, §8.3).

mod unknown;

use bytes::Bytes;

use self::unknown::Nameless;
use super::hpack::Field;
use crate::http::{
    Anomalies, Fields, FieldsBuilder, Reason, RequestHead, ResponseHead, Slice, Unknown, Version,
};

/// Counted for each field beside its bytes, so that fields without bytes are bounded too: as much
/// as the shortest line of HTTP/1.
const OVERHEAD: usize = 4;

/// Most heads have no more, and grow no buffers.
const USUAL_BYTES: usize = 512;
const USUAL_FIELDS: usize = 16;

/// Gathers the fields of one header block.
#[derive(Debug)]
pub struct HeadBuilder {
    limit: usize,
    buffer: Vec<u8>,
    fields: Vec<(Slice, Slice)>,
    pseudo: Pseudo,
    /// The values of `cookie`, which come one by one, joined; and which field is to have them.
    cookies: Option<(usize, Vec<u8>)>,
    /// There is a `content-length`.
    length: bool,
    nameless: Nameless,
    anomalies: Anomalies,
    too_large: bool,
    cut: bool,
    missing: bool,
}

#[derive(Debug, Default)]
struct Pseudo {
    method: Option<Slice>,
    scheme: Option<Slice>,
    authority: Option<Slice>,
    path: Option<Slice>,
    status: Option<Slice>,
    protocol: Option<Slice>,
}

impl Pseudo {
    /// Only requests have such.
    const fn is_of_request(&self) -> bool {
        self.method.is_some()
            || self.scheme.is_some()
            || self.authority.is_some()
            || self.path.is_some()
            || self.protocol.is_some()
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<Slice>> {
        Some(match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":status" => &mut self.status,
            b":protocol" => &mut self.protocol,
            _ => return None,
        })
    }
}

impl HeadBuilder {
    /// For a block of which nothing was read. `limit`: most bytes of all names and values, at most
    /// 65 535.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(usize::from(u16::MAX)),
            buffer: Vec::with_capacity(USUAL_BYTES),
            fields: Vec::with_capacity(USUAL_FIELDS),
            pseudo: Pseudo::default(),
            cookies: None,
            length: false,
            nameless: Nameless::default(),
            anomalies: Anomalies::default(),
            too_large: false,
            cut: false,
            missing: false,
        }
    }

    /// Adds a field.
    pub fn push(&mut self, field: Field<'_>) {
        let (Some(name), Some(value)) = (field.name, field.value) else {
            self.nameless.add();
            return;
        };
        self.nameless.fields |= name.first() != Some(&b':');
        let cookies = self.cookies.as_ref().map_or(0, |(_, joined)| joined.len());
        let size = self.buffer.len() + cookies + self.fields.len() * OVERHEAD;
        if size + name.len() + value.len() + OVERHEAD > self.limit {
            self.too_large = true;
            return;
        }
        if name.first() == Some(&b':') {
            if !is_valid(b"pseudo", value) {
                self.invalid();
            }
            let value = self.keep(value);
            // After other fields, twice, or of no meaning: malformed (§8.3), and still of use.
            let late = !self.fields.is_empty();
            match self.pseudo.slot(name) {
                Some(slot @ None) if !late => *slot = Some(value),
                Some(slot) => {
                    slot.get_or_insert(value);
                    self.invalid();
                }
                None => self.invalid(),
            }
            return;
        }
        if !is_valid(name, value) {
            self.invalid();
        }
        match name {
            b"cookie" => return self.crumb(value),
            b"content-length" if std::mem::replace(&mut self.length, true) => {
                self.anomalies = self.anomalies.with(Anomalies::REPEATED_LENGTH);
            }
            _ => {}
        }
        let field = (self.keep(name), self.keep(value));
        self.fields.push(field);
    }

    /// §8.2.3: crumbs of one field.
    fn crumb(&mut self, value: &[u8]) {
        if let Some((_, joined)) = &mut self.cookies {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(value);
            return;
        }
        self.cookies = Some((self.fields.len(), value.to_vec()));
        let name = self.keep(b"cookie");
        self.fields.push((name, Slice::default()));
    }

    /// How it was compressed. `odd`: against a rule that decoders tolerate; `cut`: fields were
    /// omitted that it repeats beyond measure.
    pub const fn compressed(&mut self, odd: bool, cut: bool) {
        if odd {
            self.anomalies = self.anomalies.with(Anomalies::ODD_COMPRESSION);
        }
        self.cut |= cut;
    }

    /// This is odd about how it came.
    pub const fn mark(&mut self, anomaly: Anomalies) {
        self.anomalies = self.anomalies.with(anomaly);
    }

    /// What follows could not be read.
    pub const fn breaks_off(&mut self) {
        self.nameless.unread = true;
    }

    /// Fields were omitted. What is there is of use.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    fn invalid(&mut self) {
        self.anomalies = self.anomalies.with(Anomalies::INVALID_FIELD);
    }

    /// Copies bytes; the bounds were looked at.
    fn keep(&mut self, bytes: &[u8]) -> Slice {
        let number = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let slice = Slice {
            start: number(self.buffer.len()),
            len: number(bytes.len()),
        };
        self.buffer.extend_from_slice(bytes);
        slice
    }

    /// Fields follow that were not kept.
    pub const fn exceeds(&mut self) {
        self.too_large = true;
    }

    /// What follows is missing.
    pub const fn misses(&mut self) {
        self.missing = true;
        self.breaks_off();
    }

    /// Its end is missing.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.missing
    }

    /// It says what is requested.
    #[must_use]
    pub fn says_request(&self) -> bool {
        let pseudo = &self.pseudo;
        let is_tunnel = self.is_connect() == Some(true) && pseudo.authority.is_some();
        pseudo.method.is_some() && (pseudo.path.is_some() || is_tunnel)
    }

    /// More than the bounds allow.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// Nothing in it says that it begins a message: it is a trailer section, or all that would say
    /// so is unknown.
    #[must_use]
    pub const fn is_trailers(&self) -> bool {
        !self.pseudo.is_of_request() && self.pseudo.status.is_none()
    }

    /// It is a trailer section, or malformed: what would say that it begins a message is not among
    /// what is unknown, for that goes before all other fields (§8.3).
    #[must_use]
    pub const fn is_only_trailers(&self) -> bool {
        self.is_trailers() && self.nameless.pseudo() == 0
    }

    /// Some of its fields are unknown.
    #[must_use]
    pub const fn has_unknown(&self) -> bool {
        !self.nameless.is_empty()
    }

    /// `:protocol` (RFC 8441 §4).
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        Some(self.pseudo.protocol?.of(&self.buffer))
    }

    /// The method is CONNECT, as far as it is known.
    fn is_connect(&self) -> Option<bool> {
        Some(self.pseudo.method?.of(&self.buffer) == b"CONNECT")
    }

    fn has_host(&self) -> bool {
        let mut names = self.fields.iter().map(|(name, _)| name.of(&self.buffer));
        names.any(|name| name == b"host")
    }

    /// As the head of a request.
    #[must_use]
    pub fn request(mut self) -> (RequestHead, Anomalies) {
        let unknown = self.unknown_of_request();
        let lacks = |part: Option<Slice>, name| part.is_none() && !unknown.contains(name);
        let connect = self.is_connect();
        // §8.5: CONNECT has neither scheme nor path, but for the extended one.
        let path = self.pseudo.path;
        if lacks(self.pseudo.method, Unknown::METHOD)
            || connect == Some(false) && lacks(path, Unknown::PATH)
            || path.is_some_and(|path| path.len == 0)
            || self.pseudo.status.is_some()
        {
            self.invalid();
        }
        let target = match self.pseudo.path {
            None if connect == Some(true) => self.pseudo.authority.unwrap_or_default(),
            path => path.unwrap_or_default(),
        };
        let anomalies = self.anomalies;
        let Pseudo {
            method,
            scheme,
            authority,
            ..
        } = self.pseudo;
        let head = RequestHead {
            method: method.unwrap_or_default(),
            target,
            authority,
            scheme,
            version: Version::Http2,
            unknown,
            fields: self.fields(),
        };
        (head, anomalies)
    }

    /// The status; 0: it is unknown, or no number.
    #[must_use]
    pub fn status(&self) -> u16 {
        let text = self.pseudo.status.map(|status| status.of(&self.buffer));
        match text {
            Some([a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
                u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
            }
            _ => 0,
        }
    }

    /// As the head of a response. A status that is unknown or no number is 0.
    #[must_use]
    pub fn response(mut self) -> (ResponseHead, Anomalies) {
        let unknown = self.unknown_of_response();
        let status = self.status();
        if status == 0 && !unknown.contains(Unknown::STATUS) || self.pseudo.is_of_request() {
            self.invalid();
        }
        let anomalies = self.anomalies;
        let head = ResponseHead {
            status,
            version: Version::Http2,
            reason: Reason::None,
            unknown,
            fields: self.fields(),
        };
        (head, anomalies)
    }

    /// As a trailer section, which has no pseudo-fields (§8.1).
    #[must_use]
    pub fn trailers(mut self) -> (Fields, Anomalies) {
        if !self.is_trailers() {
            self.invalid();
        }
        let anomalies = self.anomalies;
        (self.fields(), anomalies)
    }

    /// All fields, cookies joined.
    fn fields(mut self) -> Fields {
        if let Some((at, joined)) = self.cookies.take() {
            let value = self.keep(&joined);
            if let Some(cookie) = self.fields.get_mut(at) {
                cookie.1 = value;
            }
        }
        let Self {
            mut buffer, fields, ..
        } = self;
        // As long as the head is kept, so is what its buffer has room for.
        buffer.shrink_to_fit();
        FieldsBuilder::from_parts(Bytes::from(buffer), fields).build()
    }
}

/// Not zero: the byte is in no field's name (§8.2.1).
const OUTSIDE_NAMES: [u8; 256] = {
    let mut outside = [0; 256];
    let mut byte = 0;
    while byte < outside.len() {
        let is_outside = matches!(byte, 0..=0x20 | 0x41..=0x5a | 0x3a | 0x7f..);
        outside[byte] = is_outside as u8;
        byte += 1;
    }
    outside
};

/// A field may be in a message: its name (§8.2.1), its value, and that it is none of the connection
/// (§8.2.2).
fn is_valid(name: &[u8], value: &[u8]) -> bool {
    let others = |others, byte: &u8| others | OUTSIDE_NAMES[usize::from(*byte)];
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let of_connection = match name {
        b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
            true
        }
        b"te" => !value.eq_ignore_ascii_case(b"trailers"),
        _ => false,
    };
    !name.is_empty()
        && name.iter().fold(0, others) == 0
        && memchr::memchr3(0, b'\r', b'\n', value).is_none()
        && !is_space(value.first())
        && !is_space(value.last())
        && !of_connection
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields as `name: value`; `?` is unknown.
    fn build(fields: &[&str]) -> HeadBuilder {
        let mut builder = HeadBuilder::new(200);
        for field in fields {
            let (name, value) = field.rsplit_once(": ").unwrap();
            let known = |text: &'static str| (text != "?").then_some(text.as_bytes());
            let (name, value) = (name.to_owned().leak(), value.to_owned().leak());
            builder.push(Field {
                name: known(name),
                value: known(value),
                never_indexed: false,
            });
        }
        builder
    }

    fn text(fields: &Fields) -> String {
        let lines = fields.iter().map(|(name, value)| {
            format!(
                "{}={}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        });
        lines.collect::<Vec<_>>().join(" ")
    }

    /// Method, target, host, scheme, fields; then what is unknown, and anomalies.
    fn check(fields: &[&str], expected: &str, unknown: &[&str], anomalies: Anomalies) {
        let (head, found) = build(fields).request();
        let part =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
        let line = format!(
            "{} {} {} {} {}",
            part(Some(head.method())),
            part(Some(head.target())),
            part(head.host()),
            part(head.scheme()),
            text(&head.fields)
        );
        assert_eq!(line.trim_end(), expected);
        assert_eq!(head.unknown.names().collect::<Vec<_>>(), unknown);
        assert_eq!(found, anomalies);
    }

    const NONE: Anomalies = Anomalies(0);

    #[test]
    fn requests() {
        check(
            &[
                ":method: GET",
                ":scheme: https",
                ":path: /a",
                ":authority: shop",
                "x: y",
            ],
            "GET /a shop https x=y",
            &[],
            NONE,
        );
        check(
            &[":method: CONNECT", ":authority: shop:443"],
            "CONNECT shop:443 shop:443 -",
            &[],
            NONE,
        );
        check(
            &[":method: GET", ":scheme: http", ":path: /", "host: shop"],
            "GET / shop http host=shop",
            &[],
            NONE,
        );
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        check(
            &[
                ":method: GET",
                ":path: /",
                "a: 1",
                "cookie: b=2",
                "c: 3",
                "cookie: d=4",
            ],
            "GET / - - a=1 cookie=b=2; d=4 c=3",
            &[],
            NONE,
        );
    }

    #[test]
    fn what_is_unknown_is_named() {
        check(
            &[":method: GET", "?: ?", ":path: /a", "?: ?", "x: y"],
            "GET /a - - x=y",
            &["scheme", "authority", "fields"],
            NONE,
        );
        check(
            &["?: ?", "?: ?", "?: ?", "?: ?", "?: v", "x: y"],
            "  - - x=y",
            &["method", "path", "scheme", "authority", "fields"],
            NONE,
        );
        // No more than there is room for: a request has a scheme, and may have an authority.
        check(
            &[":method: GET", ":path: /a", "?: ?", "x: y"],
            "GET /a - - x=y",
            &["scheme"],
            NONE,
        );
        check(
            &[":method: GET", ":scheme: http", ":path: /a", "?: ?"],
            "GET /a - http",
            &["authority", "fields"],
            NONE,
        );
        // Pseudo-fields go before all others; a host is an authority.
        let known = [":method: GET", ":scheme: http", ":path: /a"];
        check(
            &[&known[..], &["x: y", "?: ?"]].concat(),
            "GET /a - http x=y",
            &["fields"],
            NONE,
        );
        check(
            &[&known[..], &["?: ?", "host: h"]].concat(),
            "GET /a h http host=h",
            &["fields"],
            NONE,
        );
        check(
            &[":authority: h", "x: y", "?: ?"],
            "  h - x=y",
            &["fields"],
            Anomalies::INVALID_FIELD,
        );
        // A tunnel has neither scheme nor path.
        check(
            &[":method: CONNECT", "?: ?", "?: ?"],
            "CONNECT  - -",
            &["authority", "fields"],
            NONE,
        );
        // It may be a trailer section.
        let all = ["method", "path", "scheme", "authority", "fields"];
        check(&["?: ?", "?: ?"], "  - -", &all, NONE);
        check(
            &[":method: CONNECT", ":scheme: http", "?: ?", "?: ?"],
            "CONNECT  - http",
            &["path", "authority", "fields"],
            NONE,
        );
        let (head, _) = build(&["?: ?", "x: y"]).response();
        assert_eq!(head.status, 0);
        assert_eq!(head.unknown.names().collect::<Vec<_>>(), ["status"]);
    }

    /// What follows could not be read.
    #[test]
    fn heads_that_break_off() {
        let all = ["path", "scheme", "authority", "fields"];
        for (fields, expected) in [
            (&[":method: GET"][..], &all[..]),
            (&[":method: GET", ":path: /", "x: y"], &["fields"]),
            (&[":method: CONNECT"], &["authority", "fields"]),
            (&[], &["method", "path", "scheme", "authority", "fields"]),
        ] {
            let mut builder = build(fields);
            builder.breaks_off();
            assert!(builder.has_unknown());
            let (head, anomalies) = builder.request();
            assert_eq!(head.unknown.names().collect::<Vec<_>>(), expected);
            assert_eq!(anomalies, NONE);
        }
        for (fields, expected) in [
            (&[][..], &["status", "fields"][..]),
            (&[":status: 200"], &["fields"]),
        ] {
            let mut builder = build(fields);
            builder.breaks_off();
            let (head, _) = builder.response();
            assert_eq!(head.unknown.names().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn malformed_heads_are_marked() {
        for fields in [
            &[":method: GET", "x: y", ":path: /a"][..],
            &[":method: GET", ":path: /a", ":path: /b", "x: y"],
            &[":method: GET", ":path: /a", ":other: 1", "x: y"],
        ] {
            check(fields, "GET /a - - x=y", &[], Anomalies::INVALID_FIELD);
        }
        check(&[":method: GET"], "GET  - -", &[], Anomalies::INVALID_FIELD);
        for (field, is_valid) in [
            ("x: a b", true),
            ("x: ", true),
            ("x: \u{e4}", true),
            ("te: trailers", true),
            ("te: gzip", false),
            ("connection: close", false),
            ("proxy-connection: x", false),
            ("keep-alive: 5", false),
            ("upgrade: h2c", false),
            ("transfer-encoding: chunked", false),
            ("x: a\0b", false),
            ("x: a\r\nb: c", false),
            ("x: a\nb", false),
            ("x:  a", false),
            ("x: a\t", false),
            ("bad name: x", false),
            ("b:ad: x", false),
            ("Bad: x", false),
            ("b\u{e4}d: x", false),
            (": x", false),
            (":status: 200", false),
            (":authority: a\0", false),
            ("cookie: a\nb", false),
        ] {
            let mut fields = vec![":method: GET", ":path: /a", field];
            fields.rotate_right(usize::from(field.starts_with(":a")));
            let (_, anomalies) = build(&fields).request();
            let expected = if is_valid {
                NONE
            } else {
                Anomalies::INVALID_FIELD
            };
            assert_eq!(anomalies, expected, "{field:?}");
        }
        let fields = [":method: GET", ":scheme: http", ":path: "];
        check(&fields, "GET  - http", &[], Anomalies::INVALID_FIELD);
        let (_, anomalies) = build(&[":status: 200", ":path: /"]).response();
        assert_eq!(anomalies, Anomalies::INVALID_FIELD);
        // Twice, whether it is the same or not.
        for length in ["content-length: 5", "content-length: 6"] {
            let fields = [":status: 200", "content-length: 5", length];
            let (_, anomalies) = build(&fields).response();
            assert_eq!(anomalies, Anomalies::REPEATED_LENGTH);
        }
        let (head, anomalies) = build(&[":status: 20"]).response();
        assert_eq!((head.status, anomalies), (0, Anomalies::INVALID_FIELD));
    }

    #[test]
    fn heads_are_bounded() {
        let long = format!("x: {}", "y".repeat(200));
        assert!(build(&[":method: GET", &long]).is_too_large());
        assert!(build(&[": "; 60]).is_too_large());
        assert!(!build(&["a: b"; 30]).is_too_large());
        let mut builder = HeadBuilder::new(usize::MAX);
        let value = [b'v'; 4000];
        for _ in 0..100 {
            builder.push(Field {
                name: Some(b"cookie"),
                value: Some(&value),
                never_indexed: false,
            });
        }
        assert!(builder.is_too_large());
        let (fields, _) = builder.trailers();
        let cookies = fields.get("cookie").expect("as many as fit");
        assert_eq!(cookies.len(), 16 * 4002 - 2);
    }

    #[test]
    fn trailers() {
        let builder = build(&["grpc-status: 0", "grpc-message: fine"]);
        assert!(builder.is_trailers() && !builder.has_unknown());
        let (fields, anomalies) = builder.trailers();
        assert_eq!(text(&fields), "grpc-status=0 grpc-message=fine");
        assert_eq!(anomalies, NONE);
        let (_, anomalies) = build(&[":status: 200"]).trailers();
        assert_eq!(anomalies, Anomalies::INVALID_FIELD);
        assert!(!build(&[":status: 200"]).is_trailers());
        for (fields, only) in [
            (&["grpc-status: 0"][..], true),
            (&["grpc-status: 0", "?: ?"], true),
            (&["?: ?", "grpc-status: 0"], false),
            (&["?: ?"], false),
            (&[":status: 200", "?: ?"], false),
        ] {
            assert_eq!(build(fields).is_only_trailers(), only, "{fields:?}");
        }
    }
}
