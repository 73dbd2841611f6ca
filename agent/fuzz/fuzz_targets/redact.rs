//! A text as a body. The first byte chooses its media type, and whether a secret stands before it;
//! the rest is the text. Nothing panics, a secret before it never leaves, and what leaves is no
//! longer than replacements make it.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use meshtap::redact::{Config, Omitted, Redactor, Secret};

const MEDIA_TYPES: [&str; 8] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "text/xml",
    "text/html",
    "multipart/form-data; boundary=b",
    "application/yaml",
    "text/csv",
    "",
];

/// Stands nowhere else: the fuzzer's own text is not likely to have it.
const SECRET: &str = "s3cr37-7f3a91d0c2b84e65";

/// Where a secret stands, by its first byte; the text goes on after it.
const BEFORE: [&str; 16] = [
    "{\"password\":\"@\",\"x\":",
    "password=@&x=",
    "<a><password>@</password>",
    "password: @\n",
    "[[\"token\",\"@\"],",
    "Authorization: Bearer @\n",
    "{\"value\":[\"@\"],\"a\":{\"b\":[]},\"name\":\"password\",\"x\":",
    "{'password': b'@', 'x': ",
    "{\"password\"/*a*/:/*b*/\"@\",",
    "{\"a\":\"b: 1\\npassword: |\\n  @\\nc: 2\",",
    "a: 1\npassword: >-\n  a\n  @\nb: 2\n",
    "- value: @\n  name: password\n- b: 2\n",
    "password=a\\\n  @\nb=2\n",
    "<p><value>@</value><name>password</name></p><p>",
    "Config { password: Some(\"@\") }\n",
    "http:\\\\ann:@#h/ ",
];

thread_local! {
    static REDACTOR: RefCell<Redactor> = {
        let config = Config {
            key: Some(Secret::new("a key for no more than fuzzing".to_owned())),
            ..Config::everything()
        };
        RefCell::new(Redactor::new(&config).expect("the default configuration"))
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let media_type = MEDIA_TYPES[usize::from(choice & 7)];
    let before = BEFORE
        .get(usize::from(choice >> 3))
        .copied()
        .unwrap_or_default();
    let mut whole = before.replace('@', SECRET).replace('#', "@").into_bytes();
    whole.extend_from_slice(text);
    let knows = |text: &[u8]| {
        text.windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes())
    };
    if knows(text) {
        return;
    }
    REDACTOR.with_borrow_mut(|redactor| {
        match redactor.redact_text(media_type.as_bytes(), &whole) {
            Ok(out) => {
                assert!(!knows(&out), "{}", String::from_utf8_lossy(&out));
                // A replacement stands for one byte at least.
                assert!(out.len() <= whole.len() * 32);
            }
            Err(reason) => assert_eq!(reason, Omitted::Effort),
        }
    });
});
