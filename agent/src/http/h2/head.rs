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

/// Gathers the fields of one header block.
#[derive(Debug)]
pub struct HeadBuilder {
    limit: usize,
    buffer: Vec<u8>,
    fields: Vec<(Slice, Slice)>,
    pseudo: Pseudo,
    /// Values of `cookie`, which come one by one, and where the joined one goes.
    cookies: Vec<Slice>,
    cookies_at: usize,
    nameless: Nameless,
    anomalies: Anomalies,
    too_large: bool,
    cut: bool,
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
            buffer: Vec::new(),
            fields: Vec::new(),
            pseudo: Pseudo::default(),
            cookies: Vec::new(),
            cookies_at: 0,
            nameless: Nameless::default(),
            anomalies: Anomalies::default(),
            too_large: false,
            cut: false,
        }
    }

    /// Adds a field.
    pub fn push(&mut self, field: Field<'_>) {
        let (Some(name), Some(value)) = (field.name, field.value) else {
            self.nameless.add();
            return;
        };
        self.nameless.fields |= name.first() != Some(&b':');
        let fields = self.fields.len() + self.cookies.len();
        let size = self.buffer.len() + fields * OVERHEAD;
        if size + name.len() + value.len() > self.limit {
            self.too_large = true;
            return;
        }
        if name.first() == Some(&b':') {
            let value = self.keep(value);
            // After other fields, twice, or of no meaning: malformed (§8.3), and still of use.
            let late = !self.fields.is_empty() || !self.cookies.is_empty();
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
        if name.iter().any(u8::is_ascii_uppercase) || name.is_empty() {
            self.invalid();
        }
        if name == b"cookie" {
            // §8.2.3: crumbs of one field.
            let value = self.keep(value);
            if self.cookies.is_empty() {
                self.cookies_at = self.fields.len();
            }
            self.cookies.push(value);
            return;
        }
        let field = (self.keep(name), self.keep(value));
        self.fields.push(field);
    }

    /// How it was compressed. `odd`: against a rule that decoders tolerate; `cut`: fields were
    /// omitted that it repeats beyond measure.
    pub const fn compressed(&mut self, odd: bool, cut: bool) {
        if odd {
            self.anomalies = self.anomalies.with(Anomalies::ODD_COMPRESSION);
        }
        self.cut |= cut;
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

    /// More than the bounds allow.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// Nothing in it says that it begins a message: it is a trailer section, or all that would say
    /// so is unknown.
    #[must_use]
    pub const fn is_trailers(&self) -> bool {
        let pseudo = &self.pseudo;
        pseudo.method.is_none()
            && pseudo.path.is_none()
            && pseudo.scheme.is_none()
            && pseudo.authority.is_none()
            && pseudo.status.is_none()
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

    /// Errors that were tolerated.
    #[must_use]
    pub const fn anomalies(&self) -> Anomalies {
        self.anomalies
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
        if lacks(self.pseudo.method, Unknown::METHOD)
            || connect == Some(false) && lacks(self.pseudo.path, Unknown::PATH)
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
        if status == 0 && !unknown.contains(Unknown::STATUS) {
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

    /// As a trailer section.
    #[must_use]
    pub fn trailers(self) -> Fields {
        self.fields()
    }

    /// All fields, cookies joined.
    fn fields(mut self) -> Fields {
        if !self.cookies.is_empty() {
            self.join_cookies();
        }
        let Self {
            mut buffer, fields, ..
        } = self;
        // As long as the head is kept, so is what its buffer has room for.
        buffer.shrink_to_fit();
        FieldsBuilder::from_parts(Bytes::from(buffer), fields).build()
    }

    fn join_cookies(&mut self) {
        let cookies = std::mem::take(&mut self.cookies);
        let crumbs: Vec<&[u8]> = cookies.iter().map(|slice| slice.of(&self.buffer)).collect();
        let value = crumbs.join(&b"; "[..]);
        // What was joined stays behind: the buffer may be full of it.
        if self.buffer.len() + value.len() + 6 > usize::from(u16::MAX) {
            self.too_large = true;
            return;
        }
        let field = (self.keep(b"cookie"), self.keep(&value));
        let at = self.cookies_at.min(self.fields.len());
        self.fields.insert(at, field);
    }
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
        assert!(builder.trailers().is_empty(), "they do not fit twice");
    }

    #[test]
    fn trailers() {
        let builder = build(&["grpc-status: 0", "grpc-message: fine"]);
        assert!(builder.is_trailers() && !builder.has_unknown());
        assert_eq!(text(&builder.trailers()), "grpc-status=0 grpc-message=fine");
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
