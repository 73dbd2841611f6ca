//! Properties of redaction over generated documents: nothing of a secret is reported, wherever the
//! document is cut; everything else is reported byte for byte; a second pass changes nothing.
//!
//! Secrets are made of `Q`, `Z` and the digit 7, which occur nowhere else, so one leaked byte is
//! seen.

use bytes::Bytes;
use proptest::prelude::*;

use super::fixture::{mask, sanitize};
use super::{Config, Mode, Sanitized, Secret};
use crate::policy::fixture as exchanges;

/// Characters of plain text; no secret's name can be written with them.
const PLAIN: [&str; 14] = [
    "e", "i", "o", "u", " ", ":", ",", "{", "}", "[", "]", "\\q", "\\s", "é",
];
/// Characters of secrets.
const SECRET: [&str; 14] = [
    "Q", "Z", "QZ", " ", ":", ",", "{", "]", "&", "=", "\\q", "\\s", "\\u", "'",
];
const PLAIN_KEYS: [&str; 6] = ["e", "io", "user_id", "max_tokens", "Uuo-e", "\\q"];
const SECRET_KEYS: [&str; 9] = [
    "password",
    "user_password",
    "api-key",
    "apiKey",
    "accessToken",
    "PIN",
    "p\\ussword",
    "Authorization",
    "client_secret",
];

#[derive(Clone, Debug)]
enum Json {
    Text(Vec<&'static str>),
    Number,
    Literal(&'static str),
    List(Vec<Json>),
    Fields(Vec<(&'static str, bool, Json)>),
    /// JSON in a string.
    Inner(Box<Json>),
}

fn text(chunks: &'static [&'static str]) -> impl Strategy<Value = Json> {
    prop::collection::vec(prop::sample::select(chunks), 0..6).prop_map(Json::Text)
}

/// A value whose every scalar is secret.
fn secret() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        4 => text(&SECRET),
        1 => Just(Json::Number),
        1 => prop::sample::select(vec!["true", "false", "null"]).prop_map(Json::Literal),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::List),
            prop::collection::vec(
                (prop::sample::select(&PLAIN_KEYS[..]), Just(false), inner),
                0..3
            )
            .prop_map(Json::Fields),
        ]
    })
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        text(&PLAIN),
        Just(Json::Number),
        prop::sample::select(vec!["true", "false", "null"]).prop_map(Json::Literal),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        let field = prop_oneof![
            (
                prop::sample::select(&PLAIN_KEYS[..]),
                Just(false),
                inner.clone()
            ),
            (prop::sample::select(&SECRET_KEYS[..]), Just(true), secret()),
        ];
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Json::List),
            3 => prop::collection::vec(field, 0..4).prop_map(Json::Fields),
            1 => inner.prop_map(|inner| Json::Inner(Box::new(inner))),
        ]
    });
    prop::collection::vec(
        (prop::sample::select(&SECRET_KEYS[..]), Just(true), secret()),
        0..2,
    )
    .prop_flat_map(move |extra| value.clone().prop_map(move |value| (extra.clone(), value)))
    .prop_map(|(mut fields, value)| {
        fields.push(("e", false, value));
        Json::Fields(fields)
    })
}

/// A document: what is written, and which of it is hidden.
#[derive(Clone, Debug, Default)]
struct Document {
    chunks: Vec<Chunk>,
    /// What stands between tokens.
    space: &'static str,
}

#[derive(Clone, Debug)]
struct Chunk {
    text: String,
    /// Hidden, and put in quotes of this depth when it has none of its own.
    hidden: Option<Option<usize>>,
    /// Hidden when the document is cut before here: a string that is not known to be a key.
    unless: Option<usize>,
}

impl Document {
    fn plain(&mut self, text: &str) {
        self.chunks.push(Chunk {
            text: text.to_owned(),
            hidden: None,
            unless: None,
        });
    }

    fn quote(&mut self, depth: usize) {
        let slashes = "\\".repeat((1 << depth) - 1);
        self.plain(&format!("{slashes}\""));
    }

    fn space(&mut self) {
        self.plain(self.space);
    }

    fn write(&mut self, json: &Json, depth: usize, secret: bool) {
        match json {
            Json::Text(chunks) => {
                self.quote(depth);
                let text = chunks.iter().map(|chunk| escaped(chunk, depth)).collect();
                self.chunks.push(Chunk {
                    text,
                    hidden: secret.then_some(None),
                    unless: None,
                });
                self.quote(depth);
            }
            Json::Number => self.chunks.push(Chunk {
                text: if secret { "-7.7" } else { "-1.5" }.to_owned(),
                hidden: secret.then_some(Some(depth)),
                unless: None,
            }),
            Json::Literal(text) => self.plain(text),
            Json::List(items) => {
                self.plain("[");
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.plain(",");
                    }
                    self.space();
                    self.write(item, depth, secret);
                }
                self.plain("]");
            }
            Json::Fields(fields) => {
                self.plain("{");
                for (i, (key, names_secret, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        self.plain(",");
                    }
                    self.space();
                    self.quote(depth);
                    let place = self.chunks.len();
                    self.plain(&escaped(key, depth));
                    self.quote(depth);
                    self.plain(":");
                    if secret {
                        self.chunks[place].unless = Some(self.len());
                    }
                    self.space();
                    self.write(value, depth, secret || *names_secret);
                }
                self.plain("}");
            }
            // Three depths of strings are distinguished.
            Json::Inner(inner) if depth < 3 => {
                self.quote(depth);
                self.write(inner, depth + 1, secret);
                self.quote(depth);
            }
            Json::Inner(_) => self.plain("null"),
        }
    }

    /// The first `len` bytes, and what is to be reported of them (`#` for a replacement).
    fn cut(&self, len: usize) -> (String, String) {
        let (mut text, mut emitted) = (String::new(), String::new());
        let mut left = len;
        for chunk in &self.chunks {
            let mut end = left.min(chunk.text.len());
            while !chunk.text.is_char_boundary(end) {
                end -= 1;
            }
            // A cut inside a quote and its backslashes is reported in more than one way;
            // `check_safe` looks at those.
            if chunk.text.ends_with('"') && chunk.hidden.is_none() && end < chunk.text.len() {
                break;
            }
            let part = &chunk.text[..end];
            text += part;
            let no_key = chunk.unless.filter(|&colon| len < colon).map(|_| None);
            match chunk.hidden.or(no_key) {
                Some(quotes) if !part.is_empty() => {
                    let quote =
                        quotes.map_or(String::new(), |depth| "\\".repeat((1 << depth) - 1) + "\"");
                    emitted += &format!("{quote}#{quote}");
                }
                _ => emitted += part,
            }
            left -= end;
            if end < chunk.text.len() {
                break;
            }
        }
        (text, emitted)
    }

    /// The first `len` bytes, or one or two fewer where that would cut a character.
    fn text(&self, len: usize) -> String {
        let all: String = self
            .chunks
            .iter()
            .map(|chunk| chunk.text.as_str())
            .collect();
        let end = (0..=len).rev().find(|&end| all.is_char_boundary(end));
        all[..end.unwrap()].to_owned()
    }

    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.text.len()).sum()
    }
}

/// Parts that need an escape, at a depth of strings within strings.
fn escaped(chunk: &str, depth: usize) -> String {
    let slashes = |n: usize| "\\".repeat(n);
    let one = 1 << depth;
    chunk
        .replace("\\u", &format!("{}u0061", slashes(one)))
        .replace("\\q", &format!("{}\"", slashes(2 * one - 1)))
        .replace("\\s", &slashes(2 * one))
}

fn config(mode: Mode) -> Config {
    Config {
        mode,
        key: Some(Secret::new("a key for no more than tests".to_owned())),
        ..Config::everything()
    }
}

fn through(mode: Mode, media_type: &str, body: &str) -> String {
    let mut exchange = exchanges::exchange(
        "GET / HTTP/1.1\r\n\r\n",
        format!("HTTP/1.1 200 X\r\ncontent-type: {media_type}\r\n\r\n"),
    );
    exchange.response.as_mut().unwrap().body = exchanges::body(body.as_bytes());
    let sanitized = sanitize(&config(mode), exchange);
    let bytes = sanitized
        .exchange()
        .response
        .as_ref()
        .unwrap()
        .body
        .bytes
        .to_vec();
    String::from_utf8(bytes).unwrap()
}

fn check(text: &str, emitted: &str, media_type: &str) {
    let once = through(Mode::On, media_type, text);
    let masked = mask(&once);
    assert!(
        !masked.contains(['Q', 'Z', '7']),
        "emitted of {text}: {masked}"
    );
    assert_eq!(masked, emitted, "of {text}");
    assert_eq!(
        through(Mode::On, media_type, &once),
        once,
        "a second pass of {text}"
    );
    assert_eq!(through(Mode::DryRun, media_type, text), text, "a dry run");
    assert_eq!(through(Mode::Off, media_type, text), text, "turned off");
}

fn check_safe(text: &str, media_type: &str) {
    let once = through(Mode::On, media_type, text);
    assert!(
        !mask(&once).contains(['Q', 'Z', '7']),
        "emitted of {text}: {once}"
    );
    assert_eq!(
        through(Mode::On, media_type, &once),
        once,
        "a second pass of {text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_wherever_it_is_cut(
        json in json(),
        space in prop::sample::select(vec!["", " "]),
        media_type in prop::sample::select(vec!["application/json", "text/plain", "application/x-www-form-urlencoded"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let mut document = Document { space, ..Document::default() };
        document.write(&json, 0, false);
        for len in cuts.iter().map(|cut| cut.index(document.len() + 1)).chain([document.len()]) {
            check_safe(&document.text(len), media_type);
            let (text, emitted) = document.cut(len);
            check(&text, &emitted, media_type);
        }
    }

    #[test]
    fn forms_wherever_they_are_cut(
        pairs in prop::collection::vec((0..PLAIN_NAMES.len() + SECRET_NAMES.len(), prop::collection::vec(0..VALUES.len(), 0..5)), 1..8),
        media_type in prop::sample::select(vec!["application/x-www-form-urlencoded", "", "application/octet-stream"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let mut document = Document::default();
        for (i, (name, value)) in pairs.iter().enumerate() {
            let secret = *name >= PLAIN_NAMES.len();
            let name = PLAIN_NAMES.iter().chain(&SECRET_NAMES).nth(*name).unwrap();
            document.plain(&format!("{}{name}=", if i > 0 { "&" } else { "" }));
            let text = value.iter().map(|&v| if secret { VALUES[v].0 } else { VALUES[v].1 }).collect();
            document.chunks.push(Chunk { text, hidden: secret.then_some(None), unless: None });
        }
        for len in cuts.iter().map(|cut| cut.index(document.len() + 1)).chain([document.len()]) {
            let (text, emitted) = document.cut(len);
            check(&text, &emitted, media_type);
        }
    }

    #[test]
    fn any_bytes_are_safe_and_settle(body in prop::collection::vec(noise(), 0..64), media_type in prop::sample::select(vec![
        "application/json", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "",
    ])) {
        let body = body.concat();
        let run = |bytes: &[u8]| {
            let mut exchange = exchanges::exchange(
                "GET / HTTP/1.1\r\n\r\n",
                format!("HTTP/1.1 200 X\r\ncontent-type: {media_type}\r\n\r\n"),
            );
            exchange.response.as_mut().unwrap().body.bytes = Bytes::copy_from_slice(bytes);
            let sanitized = sanitize(&config(Mode::On), exchange);
            sanitized.exchange().response.as_ref().unwrap().body.bytes.clone()
        };
        run(&run(&body));
    }

    #[test]
    fn any_head_is_safe(target in "[ -~&&[^ ]]{0,60}", value in "[ -~]{0,60}", name in prop::sample::select(vec![
        "authorization", "cookie", "set-cookie", "location", "referer", "x-api-key", "traceparent", "b3", "x-forwarded-for",
    ])) {
        let request = format!("GET /{target} HTTP/1.1\r\n{name}: {value}\r\n\r\n");
        let first = sanitize(&config(Mode::On), exchanges::exchange(request, "HTTP/1.1 200 X\r\n\r\n"));
        let second = sanitize(&config(Mode::On), first.exchange().clone());
        let fields = |s: &Sanitized| -> Vec<(Vec<u8>, Vec<u8>)> {
            s.exchange().request.head.fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
        };
        prop_assert_eq!(fields(&first), fields(&second));
        prop_assert_eq!(first.exchange().request.head.target(), second.exchange().request.head.target());
    }
}

const PLAIN_NAMES: [&str; 4] = ["e", "user", "max_tokens", "io%65"];
const SECRET_NAMES: [&str; 5] = [
    "password",
    "p%61ssword",
    "user%5Bpassword%5D",
    "api_key",
    "token",
];
/// In a secret, and in other values.
const VALUES: [(&str, &str); 8] = [
    ("Q", "e"),
    ("Z%51", "i"),
    ("=", "="),
    ("+", "+"),
    ("%26Q", "%65"),
    ("?Z", "o"),
    ("#Q", ":"),
    ("{\"Q\":7}", "u"),
];

/// What scanners look for, and other bytes.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let tokens: Vec<&[u8]> = vec![
        b"\"",
        b"\\",
        b"\\\"",
        b":",
        b"=",
        b"&",
        b"%",
        b"%3D",
        b"%22",
        b"%7B",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"token",
        b"\"token\":",
        b"--b",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"name=\"token\"",
        b"'",
        b"\\u00",
        b"//u:p@h",
        b"[redacted:",
        b"0123456789ab]",
        b"\0",
        b"\xff",
        b" ",
    ];
    prop_oneof![
        9 => prop::sample::select(tokens).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}
