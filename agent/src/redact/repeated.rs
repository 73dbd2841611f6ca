//! Fields that come again are treated as when they came first, whatever came in between.

use super::corpus::shown;
use super::fixture::{mask, pass, sanitize};
use super::{Config, Gate, Mode};
use crate::policy::{self, fixture};

/// Heads of one run. Before this cache was made, a million were compared with what redaction
/// without it made of them.
const HEADS: usize = 1500;

const NAMES: [&str; 16] = [
    "accept",
    "Accept",
    "authorization",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "referer",
    "server",
    "user-agent",
    "www-authenticate",
    "x-api-key",
    "x-custom",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-request-id",
];

const VALUES: [&str; 24] = [
    "",
    "*/*",
    "5",
    "203.0.113.7",
    "4111111111111111",
    "a@example.org",
    "application/json",
    "a=b; theme=dark",
    "Basic dXNlcjpwYXNz",
    "Bearer abc.def",
    "eyJ.a",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "host=u:secret@h",
    "https://h/?token=abcdef&a=b",
    "https://u:secret@h/",
    "NTLM TlRMTVNTUAACAAAADAAMADgAAAA",
    "p%61ssword=x",
    "password: hunter2",
    "<name>p&#97;ssword</name><value>hunter2</value>",
    "see \\u0070assword: x",
    "u:secret@h:80",
    "{\"password\":\"x\"}",
    "xoxb-012345678901-abcdefghij",
];

fn head(rng: &mut fastrand::Rng) -> String {
    let mut line = || {
        let name = rng.choice(NAMES).unwrap();
        let value = rng.choice(VALUES).unwrap();
        // Some are about as long as lines that are kept.
        let more = "x ".repeat(rng.choice([0, 0, 0, 20, 120]).unwrap());
        let value = format!("{more}{value}");
        format!("{name}: {}\r\n", value.trim())
    };
    (0..6).map(|_| line()).collect()
}

#[track_caller]
fn check(config: &Config, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut warm = Gate::new(&policy::Config::everything(), config).unwrap();
    let first = warm.redactor.clone();
    let mut cold = Gate::new(&policy::Config::everything(), config).unwrap();
    for _ in 0..HEADS {
        let (request, response) = (head(&mut rng), head(&mut rng));
        let exchange = || {
            fixture::exchange(
                format!("GET /?a=b HTTP/1.1\r\n{request}\r\n"),
                format!("HTTP/1.1 200 OK\r\n{response}\r\n"),
            )
        };
        cold.redactor = first.clone();
        let expected = pass(&mut cold, exchange(), 0);
        let found = pass(&mut warm, exchange(), 0);
        assert_eq!(
            String::from_utf8_lossy(&shown(&found)),
            String::from_utf8_lossy(&shown(&expected)),
        );
        for known in [
            super::Known::ContentType,
            super::Known::UserAgent,
            super::Known::ExternalAddress,
        ] {
            assert_eq!(
                found.request.known.get(known),
                expected.request.known.get(known)
            );
            assert_eq!(
                found.response.known.get(known),
                expected.response.known.get(known)
            );
        }
    }
}

#[test]
fn a_field_that_comes_again_is_treated_alike() {
    let all = Config::everything();
    check(&all, 1);
    let mut patterns = all.patterns.clone();
    patterns.push(super::Pattern::Email);
    check(
        &Config {
            patterns,
            ..all.clone()
        },
        2,
    );
    let some = Config {
        allowed_headers: Config::default().allowed_headers,
        ..all.clone()
    };
    check(&some, 3);
    let counted = Config {
        mode: Mode::DryRun,
        ..all
    };
    check(&counted, 4);
}

#[test]
fn other_rules_forget_what_was_seen() {
    let mut gate = Gate::new(&policy::Config::everything(), &Config::everything()).unwrap();
    let exchange =
        || fixture::exchange("GET / HTTP/1.1\r\nx-a: b\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n");
    for _ in 0..3 {
        assert!(shown(&pass(&mut gate, exchange(), 0)).ends_with(b"x-ab"));
    }
    let hidden = Config {
        headers: vec!["x-a".to_owned()],
        ..Config::everything()
    };
    gate.redactor.reload(&hidden).unwrap();
    assert!(!shown(&pass(&mut gate, exchange(), 0)).ends_with(b"x-ab"));
}

#[test]
fn a_secret_of_two_names_is_hidden_once() {
    let request = "GET / HTTP/1.1\r\nreferer: https://h/?b=%20pass%77ord=hunter2\r\n\r\n";
    let exchange = fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n");
    let text = shown(&sanitize(&Config::default(), exchange));
    let text = mask(&String::from_utf8_lossy(&text));
    assert_eq!(text, "/refererhttps://h/?b=%20pass%77ord=#");
}
