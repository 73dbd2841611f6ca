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
