//! Every default name, in many spellings and in every place where it may stand, between other
//! fields: its value never leaves.

use super::defaults::NAMES;
use super::{Config, Redactor};

/// Messages of one run. More were compared with what earlier scanners found, when these replaced
/// them.
const MESSAGES: usize = 3000;

/// Fields that stand around a secret and say nothing.
const OTHERS: [&str; 5] = [
    "\"a\":1",
    "\"title\":\"On keys\"",
    "\"t\":\"12:30\"",
    "\"u\":\"https://h/?a=b\"",
    "\"k\":\"the \\\"x\\\" y\"",
];

/// A name as clients write it.
fn spelt(rng: &mut fastrand::Rng, pattern: &str) -> String {
    let bare = pattern.trim_matches(['*', '=']);
    let styles = if pattern.starts_with('=') { 3 } else { 8 };
    match rng.u8(0..styles) {
        0 => bare.to_owned(),
        1 => bare.to_uppercase(),
        2 => format!("{bare}2"),
        3 => format!("my_{bare}"),
        4 => format!("x-{bare}"),
        5 => format!("outer.{bare}"),
        6 => format!("user[{bare}]"),
        _ => format!("{bare}[0]"),
    }
}

/// A message: its media type and its text.
fn message(rng: &mut fastrand::Rng, name: &str, secret: &str) -> (&'static str, String) {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    let [a, b] = [0, 1].map(|_| rng.choice(OTHERS).unwrap());
    let word = name.replace(['[', ']', '.'], "_");
    let s = secret;
    match rng.u8(0..17) {
        0 => (JSON, format!("{{{a},\"{name}\":\"{s}\",{b}}}")),
        1 => (
            JSON,
            format!("{{{a},\"x\":[{{\"{name}\" : \"{s}\"}}],{b}}}"),
        ),
        2 => (
            JSON,
            format!("{{{a},\"{name}\":{{\"c\":[\"{s}\",1]}},{b}}}"),
        ),
        3 => (
            JSON,
            format!("{{{a},\"name\":\"{name}\",\"value\":\"{s}\",{b}}}"),
        ),
        4 => (
            JSON,
            format!("{{\"value\":\"{s}\",{a},\"key\":\"{name}\",{b}}}"),
        ),
        5 => (
            JSON,
            format!("{{{a},\"x\":\"{{\\\"{name}\\\":\\\"{s}\\\"}}\",{b}}}"),
        ),
        6 => (JSON, format!("{{{a},\"{name}\":\"{s}")),
        7 => (
            JSON,
            format!("{{{a},\"u\":\"https://h/p?x=1&{name}={s}\",{b}}}"),
        ),
        8 => ("", format!("data: {{\"{name}\":\"{s}\"}}\n\n")),
        9 => (FORM, format!("user=ann&{name}={s}&x=1")),
        10 => (FORM, format!("n=https%3A%2F%2Fh%2F%3F{name}%3D{s}&x=1")),
        11 => (FORM, format!("p=%7B%22{name}%22%3A%22{s}%22%7D&x=1")),
        12 => (
            "text/xml",
            format!("<a><b>c</b><ns:{word}>{s}</ns:{word}></a>"),
        ),
        13 => (
            "text/xml",
            format!("<a><add key=\"{name}\" value=\"{s}\"/></a>"),
        ),
        14 => (
            "multipart/form-data; boundary=b",
            format!(
                "--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{s}\r\n--b--\r\n"
            ),
        ),
        15 => ("text/plain", format!("a = 1\n{word} = {s}\nb = 2\n")),
        _ => (
            "application/graphql",
            format!("mutation {{ a({word}: \"{s}\") }}"),
        ),
    }
}

#[test]
fn no_value_of_a_default_name_leaves() {
    let mut redactor = Redactor::new(&Config::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for i in 0..MESSAGES {
        let pattern = rng.choice(NAMES).unwrap();
        let name = spelt(&mut rng, pattern);
        let secret = format!("qZ7{i:06}xK9vB2nM");
        let (media_type, text) = message(&mut rng, &name, &secret);
        let out = redactor
            .redact_text(media_type.as_bytes(), text.as_bytes())
            .unwrap();
        assert!(
            !String::from_utf8_lossy(&out).contains(&secret),
            "{media_type}: {text}"
        );
    }
}

/// How a text stands in a message.
#[derive(Clone, Copy, Debug)]
enum Wrap {
    Plain,
    /// In a string of JSON.
    Text,
    /// In a string of JSON in a string of JSON.
    TextInText,
    /// The value of a form's field.
    Percent,
    /// A part of a multipart body.
    Part,
    /// The query of a URL in a text.
    Query,
}

use Wrap::{Part, Percent, Plain, Query, Text, TextInText};

const DATA: &[Wrap] = &[Plain, Text, TextInText, Percent, Part];
const LINES: &[Wrap] = &[Plain, Text, Percent, Part];
const CODE: &[Wrap] = &[Plain, Text, Part];
const MARKUP: &[Wrap] = &[Plain, Part];
const PAIRS: &[Wrap] = &[Plain, Query, Part];

/// A media type, a text with `@N` for a name and `@S` for its value, and where the text may stand.
#[rustfmt::skip]
const PLACES: [(&str, &str, &[Wrap]); 64] = [
    ("application/json", r#"{"a":1,"@N":"@S"}"#, DATA),
    ("application/json", r#"{"value":"@S","meta":{"a":[1,"}"]},"name":"@N"}"#, DATA),
    ("application/json", r#"[{"v":["@S"],"k":"@N"}]"#, DATA),
    ("application/json", r#"{"key":"@N","x":[{}],"value":{"stringValue":"@S"}}"#, DATA),
    ("application/json", r#"{"@N" /* a " */ : /* b */ "@S",}"#, MARKUP),
    ("application/json", "{\"@N\": // it's\n \"@S\",\n}", MARKUP),
    ("application/json", r#"{"@N":["x",{"y":"@S"}]}"#, DATA),
    ("application/json", r#"{"paramName":"@N","paramValue":"@S"}"#, DATA),
    ("text/plain", "{'a': 1, '@N': '@S'}", CODE),
    ("text/plain", "{'@N': b'@S', 'a': None}", CODE),
    ("text/plain", "{'@N': {'a': ['@S', 2]}}", CODE),
    ("text/plain", "{'value': '@S', 'name': '@N'}", CODE),
    ("text/plain", "array('a' => 1, '@N' => '@S');", CODE),
    ("text/plain", "Config { a: 1, @W: Some(\"@S\") }", CODE),
    ("text/plain", "let x = A { @W: String::from(\"@S\") };", CODE),
    ("text/plain", "@W: Some(\"@S\"), a: 1", CODE),
    ("text/plain", "@W: x \"@S\" y", CODE),
    ("text/plain", "x.header(\"@N\", \"@S\")", CODE),
    ("text/plain", "[('a', 'b'), ('@N', '@S')]", CODE),
    ("text/plain", "s:4:\"@N\";s:9:\"@S\";", MARKUP),
    ("text/plain", "const @W: &str = \"@S\";", CODE),
    ("text/plain", "@W = [\n  \"a\",\n  \"@S\"\n]\n", CODE),
    ("text/plain", "@W = \"\"\"a\n@S\"\"\"\n", CODE),
    ("text/plain", "@W = \"a\" + \"@S\"\n", CODE),
    ("application/yaml", "a: 1\n@W: @S\nb: 2\n", LINES),
    ("application/yaml", "a:\n  @W: x\n    @S\n  b: 2\n", LINES),
    ("application/yaml", "a:\n  @W: \"x\n    @S\"\n  b: 2\n", LINES),
    ("application/yaml", "@W: |\n  x\n\n  @S\nb: 2\n", LINES),
    ("application/yaml", "a: 1\n@W: >-\n  @S\nb: 2\n", LINES),
    ("application/yaml", "- @W: |2 # x\n    @S\n  b: 2\n", LINES),
    ("application/yaml", "@W:\n  - x\n  - a: @S\n", LINES),
    ("application/yaml", "@W: # x\n  @S\n", LINES),
    ("application/yaml", "@W: &a\n  @S\n", LINES),
    ("application/yaml", "@W: [a,\n  @S]\n", LINES),
    ("application/yaml", "\"@W\": x @S\n", MARKUP),
    ("application/yaml", "a: 1\n'@W': @S\n", LINES),
    ("application/yaml", "value: @S\nname: @W\n", LINES),
    ("application/yaml", "- value: \"@S\"\n  type: x\n  name: \"@W\"\n", LINES),
    ("application/yaml", "- name: @W\n  # x\n  type: y\n  value: @S\n- name: b\n", LINES),
    ("application/yaml", "- value: |\n    @S\n  name: @W\n", LINES),
    ("application/yaml", "- {value: @S, name: @W}\n", MARKUP),
    ("text/plain", "@W=a\\\n  @S\nb=1\n", LINES),
    ("text/plain", "@W = x\n  @S\nb = 1\n", LINES),
    ("text/plain", "export @W=\"x\n@S\"\n", LINES),
    ("text/plain", "a=1\n@W='@S'\n", LINES),
    ("text/plain", "Server=x;@W={a;@S};Port=1", MARKUP),
    ("text/plain", "x @W=@S y", CODE),
    ("text/plain", "--@W @S", MARKUP),
    ("text/xml", "<a><value>@S</value><name>@N</name></a>", MARKUP),
    ("text/xml", "<a><value><![CDATA[@S]]></value><type>b</type><Name>@N</Name></a>", MARKUP),
    ("text/xml", "<a><name>@N</name><type>b</type><value>@S</value></a>", MARKUP),
    ("text/xml", "<a><add value=\"@S\" type='x' key='@N'/></a>", MARKUP),
    ("text/xml", "<dict><key>a</key><string>b</string><key>@N</key><string>@S</string></dict>", MARKUP),
    ("text/xml", "<a><@W><b>@S</b></@W></a>", MARKUP),
    ("application/x-www-form-urlencoded", "a=1&@N=@S&b=2", PAIRS),
    ("application/x-www-form-urlencoded", "name=@N&x=1&value=@S", PAIRS),
    ("application/x-www-form-urlencoded", "value=@S&name=@N", PAIRS),
    ("application/x-www-form-urlencoded", "p[0][name]=a&p[0][value]=b&p[1][name]=@N&p[1][value]=@S", PAIRS),
    ("application/x-www-form-urlencoded", "p%5B0%5D%5Bvalue%5D=@S&p%5B0%5D%5Bname%5D=@N", PAIRS),
    ("application/x-www-form-urlencoded", "u=http:\\\\a:@S@h", MARKUP),
    ("multipart/form-data; boundary=c", "--c\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\n@N\r\n--c\r\ncontent-disposition: form-data; name=\"value\"\r\n\r\n@S\r\n--c--\r\n", &[Plain]),
    ("multipart/form-data; boundary=c", "--c\r\ncontent-disposition: form-data; name=\"value\"\r\n\r\n@S\r\n--c\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\n@N\r\n--c--\r\n", &[Plain]),
    ("text/csv", "a;@W;b\n1;x;2\n3;\"@S\";4\n", MARKUP),
    ("application/graphql", "mutation { a(x: {@W: {b: \"@S\"}}) }", MARKUP),
];

/// Names that have part of a secret's and are none.
const HARMLESS: [&str; 18] = [
    "author",
    "passenger",
    "max_tokens",
    "token_count",
    "secretary",
    "keyboard",
    "password_policy",
    "next_page_token",
    "sessions_count",
    "design",
    "compass",
    "authority",
    "pinned",
    "tokenizer",
    "passport_office",
    "password_expires_at",
    "public_key",
    "cookie_consent",
];

fn json_string(text: &str) -> String {
    serde_json::json!({ "a": 1, "b": text }).to_string()
}

/// The text as it stands there, and under which media type.
fn wrapped(wrap: Wrap, media_type: &'static str, text: &str) -> (&'static str, String) {
    const JSON: &str = "application/json";
    match wrap {
        Plain => (media_type, text.to_owned()),
        Text => (JSON, json_string(text)),
        TextInText => (JSON, json_string(&json_string(text))),
        Percent => {
            let encoded: String = text
                .bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
                    b' ' => "+".to_owned(),
                    _ => format!("%{byte:02X}"),
                })
                .collect();
            (
                "application/x-www-form-urlencoded",
                format!("x=1&text={encoded}&y=2"),
            )
        }
        Part => (
            "multipart/form-data; boundary=-b7",
            format!(
                "---b7\r\ncontent-disposition: form-data; name=\"a\"\r\ncontent-type: {media_type}\r\n\r\n{text}\r\n---b7--\r\n"
            ),
        ),
        Query => ("text/plain", format!("see https://h/p?{text} x")),
    }
}

/// Calls `look` with a message for every place and way to stand there.
fn each_place(rng: &mut fastrand::Rng, name: &str, secret: &str, mut look: impl FnMut(&str, &str)) {
    let (media_type, text, wraps) = rng.choice(PLACES).unwrap();
    let word = name.replace(['[', ']', '.'], "_");
    let text = text
        .replace("@N", name)
        .replace("@W", &word)
        .replace("@S", secret);
    for &wrap in wraps {
        let (media_type, text) = wrapped(wrap, media_type, &text);
        look(media_type, &text);
    }
}

#[test]
fn secrets_are_found_wherever_their_names_stand() {
    let mut redactor = Redactor::new(&Config::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(2);
    let mut shown = Vec::new();
    for i in 0..MESSAGES {
        let pattern = rng.choice(NAMES).unwrap();
        let name = spelt(&mut rng, pattern);
        let secret = format!("qZ7{i:06}xK9vB2nM");
        each_place(&mut rng, &name, &secret, |media_type, text| {
            let out = redactor
                .redact_text(media_type.as_bytes(), text.as_bytes())
                .unwrap();
            if String::from_utf8_lossy(&out).contains(&secret) {
                shown.push(format!("{media_type}: {text}"));
            }
        });
    }
    assert!(
        shown.is_empty(),
        "{} in clear: {:#?}",
        shown.len(),
        shown.get(..20.min(shown.len()))
    );
}

#[test]
fn harmless_values_stay_as_they_are() {
    let mut redactor = Redactor::new(&Config::default()).unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut changed = Vec::new();
    for i in 0..MESSAGES / 4 {
        let name = rng.choice(HARMLESS).unwrap();
        let value = format!("qZ7{i:06}xK9vB2nM");
        each_place(&mut rng, name, &value, |media_type, text| {
            // The password of a URL is one under every name.
            let is_url = text.contains('@');
            let out = redactor
                .redact_text(media_type.as_bytes(), text.as_bytes())
                .unwrap();
            if !is_url && out != text.as_bytes() {
                changed.push(format!("{media_type}: {text}"));
            }
        });
    }
    assert!(
        changed.is_empty(),
        "{} changed: {:#?}",
        changed.len(),
        changed.get(..20.min(changed.len()))
    );
}
