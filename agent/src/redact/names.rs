//! Names of secrets: which names mean that a value must not be seen.
//!
//! A name is a sequence of words: `X-Api-Key`, `api_key`, `apiKey`, `user[api.key]`, `api%5Fkey`
//! and `api\u005fkey` all have the words `api` and `key`. Terms are looked for in the letters and
//! digits of all words in a row, so `apikey` is found in each of them, and where a term has to
//! begin or end with a word, `monkey` and `keyboard` are not `key`.
//!
//! What follows a term may say that the value is none: `password_policy`, `token_count`,
//! `secretName`. So may what stands before `token`: `next_page_token`, `max_tokens`.

mod across;
mod decoding;
mod frequent;
mod labels;
mod name;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::dfa::DFA;

use super::RedactError;
use super::defaults::NAMES;
use super::edit::Coding;
use super::words::{
    EXCEPTIONS, FLAGS, HARMLESS_AFTER, HARMLESS_BEFORE, HARMLESS_PASSES, VALUE_WORDS,
};
use across::Across;
pub(super) use decoding::{decode, short};
use frequent::Frequent;
pub(super) use labels::{is_label, is_member, is_value};
use name::{LONGEST, Name};

/// What a name says of its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sensitivity {
    /// Nothing.
    #[default]
    Plain,
    /// A text is a secret; a number counts something (`tokens`).
    SecretText,
    /// It is a secret.
    Secret,
}

/// Where a term may begin or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// With the name.
    Name,
    /// With a word.
    Word,
    /// Anywhere.
    Open,
}

/// What else is looked at where a term stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Words around it may say that it is harmless.
    Default,
    /// A user's own: it means what it says.
    Configured,
}

#[derive(Clone, Debug)]
struct Term {
    text: Box<str>,
    left: Edge,
    right: Edge,
    origin: Origin,
}

/// The names of secrets, and how documents say a name and its value apart.
#[derive(Clone, Debug)]
pub(super) struct Names {
    search: DFA,
    start: StateID,
    terms: Vec<Term>,
    across: Across,
    frequent: Frequent,
}

impl Names {
    /// From patterns: `name` stands for these words in a row, `*` at either end for anything before
    /// or after, `=` before all for the whole name. A pattern of fewer than two letters is
    /// refused.
    pub(super) fn new(patterns: &[String]) -> Result<Self, RedactError> {
        let mut terms = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let text: Vec<u8> = pattern.bytes().filter_map(folded).collect();
            let text = String::from_utf8(text).unwrap_or_default();
            if text.len() < 2 {
                return Err(RedactError::Name(pattern.clone()));
            }
            let edge = |open| if open { Edge::Open } else { Edge::Word };
            let (left, right) = match pattern.strip_prefix('=') {
                Some(_) => (Edge::Name, Edge::Name),
                None => (edge(pattern.starts_with('*')), edge(pattern.ends_with('*'))),
            };
            let origin = match NAMES.contains(&pattern.as_str()) {
                true => Origin::Default,
                false => Origin::Configured,
            };
            terms.push(Term {
                text: text.into(),
                left,
                right,
                origin,
            });
        }
        // Patterns are a configuration's: what does not fit into an automaton's 2^31 states is a
        // mistake.
        let names = |error: &dyn std::fmt::Display| RedactError::Names(error.to_string());
        let search = DFA::new(terms.iter().map(|term| &*term.text)).map_err(|e| names(&e))?;
        let mut all = Self {
            start: search
                .start_state(Anchored::No)
                .map_err(|error| names(&error))?,
            search,
            across: Across::new(terms.iter().map(|term| term.text.as_bytes())),
            terms,
            frequent: Frequent::default(),
        };
        let texts = all.terms.iter().map(|term| &*term.text);
        all.frequent = Frequent::new(texts, |name| all.judged(name));
        Ok(all)
    }

    /// Every pattern is a default one.
    pub(super) fn are_default(&self) -> bool {
        self.terms.iter().all(|term| term.origin == Origin::Default)
    }

    /// The name, encoded as `coding` says, is that of a secret.
    pub(super) fn matches(&self, raw: &[u8], coding: Coding) -> bool {
        self.of(raw, coding) > Sensitivity::Plain
    }

    /// What the name, encoded as `coding` says, means.
    pub(super) fn of(&self, raw: &[u8], coding: Coding) -> Sensitivity {
        match self.frequent.of(raw) {
            Some(known) => known,
            None => self.judged(&decode(raw, coding)),
        }
    }

    /// What a name without escapes means.
    fn judged(&self, name: &[u8]) -> Sensitivity {
        // Most names have no term in them, and nothing else of them matters.
        let mut state = self.start;
        let has_term = name.iter().any(|&byte| {
            folded(byte).is_some_and(|letter| {
                state = self.search.next_state(Anchored::No, state, letter);
                self.search.is_match(state)
            })
        });
        match has_term {
            true => windows(name)
                .map(|part| self.judge(&Name::new(part)))
                .max()
                .unwrap_or_default(),
            false => Sensitivity::Plain,
        }
    }

    /// A term may go on from what ends with `before` to what begins with `after`.
    pub(super) fn may_span(&self, before: &[u8], after: &[u8]) -> bool {
        self.across.has(before, after)
    }

    fn judge(&self, name: &Name) -> Sensitivity {
        let mut most = Sensitivity::Plain;
        let mut state = self.start;
        for (at, &letter) in name.text().iter().enumerate() {
            state = self.search.next_state(Anchored::No, state, letter);
            if !self.search.is_match(state) {
                continue;
            }
            for index in 0..self.search.match_len(state) {
                let term = self.search.match_pattern(state, index).as_usize();
                if let Some(term) = self.terms.get(term) {
                    let start = at + 1 - term.text.len();
                    most = most.max(term.judge(name, start, at + 1));
                }
            }
            if most == Sensitivity::Secret {
                break;
            }
        }
        most
    }
}

impl Term {
    /// What the term says that stands at `start..end` of a name.
    fn judge(&self, name: &Name, start: usize, end: usize) -> Sensitivity {
        let begins = match self.left {
            Edge::Name => start == 0,
            Edge::Word => name.is_start(start),
            Edge::Open => true,
        };
        if !begins {
            return Sensitivity::Plain;
        }
        let word_end = name.end_of_word(end);
        let rest = without_number(name.part(end, word_end));
        let ends = match self.right {
            Edge::Name => {
                rest.is_empty() && name.words(word_end).all(|w| without_number(w).is_empty())
            }
            Edge::Word => rest.is_empty() || VALUE_WORDS.contains(rest),
            Edge::Open => self.origin == Origin::Configured || !is_harmless_rest(rest),
        };
        let is_harmless = || {
            let word_start = name.start_of_word(start);
            // No exception is a term.
            let is_term = (word_start, word_end) == (start, end);
            !is_term && EXCEPTIONS.contains(name.part(word_start, word_end))
                || self.is_harmless_before(name, word_start, start)
        };
        if !ends || self.origin == Origin::Default && is_harmless() {
            return Sensitivity::Plain;
        }
        if !self.allows_after(name, word_end) {
            return Sensitivity::Plain;
        }
        match self.origin == Origin::Default && self.text.ends_with("tokens") {
            true => Sensitivity::SecretText,
            false => Sensitivity::Secret,
        }
    }

    /// What stands before it says that it is something else: the words of paging, of language
    /// models, of parsers, of switches (`show_password`).
    fn is_harmless_before(&self, name: &Name, word_start: usize, start: usize) -> bool {
        const KNOWN: [&str; 7] = [
            "token", "tokens", "pass", "password", "passcode", "pwd", "secret",
        ];
        if !KNOWN.contains(&&*self.text) {
            return false;
        }
        let before = match word_start < start {
            true => name.part(word_start, start),
            false if word_start > 0 => name.part(name.start_of_word(word_start - 1), word_start),
            false => return false,
        };
        match &*self.text {
            "pass" => HARMLESS_PASSES.contains(before),
            "password" | "passcode" | "pwd" => FLAGS.contains(before),
            "secret" => before == "top" || FLAGS.contains(before),
            _ => HARMLESS_BEFORE.contains(before),
        }
    }

    /// The words after it leave it a secret.
    fn allows_after(&self, name: &Name, from: usize) -> bool {
        let mut words = name.words(from).map(without_number);
        match (self.right, self.origin) {
            (Edge::Name, _) | (Edge::Open, Origin::Configured) => true,
            (Edge::Open, Origin::Default) => {
                let last = words.filter(|word| !word.is_empty()).last();
                last.is_none_or(|word| {
                    !(HARMLESS_AFTER.contains(word) || word == "id" && self.text.ends_with("key"))
                })
            }
            (Edge::Word, _) => words.all(|word| {
                word.is_empty()
                    || VALUE_WORDS.contains(word)
                    || word == "id" && self.has_secret_id()
            }),
        }
    }

    /// Ids of tokens are as good as tokens, ids of keys are public; AWS calls its user name one.
    fn has_secret_id(&self) -> bool {
        ["token", "tok", "jwt", "accesskey"]
            .iter()
            .any(|text| self.text.ends_with(text))
    }
}

/// What follows a term in one word: `passwords`, `passwordless`, `passwordpolicy`.
fn is_harmless_rest(rest: &str) -> bool {
    if rest.is_empty() {
        return false;
    }
    rest == "less"
        || HARMLESS_AFTER.contains(rest.strip_prefix('s').unwrap_or(rest))
        || HARMLESS_AFTER.contains(rest)
}

/// Without the digits at its end: `password1`, `cvv2`, `tokens[0]`.
fn without_number(word: &str) -> &str {
    word.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The parts of a long name that are judged by themselves: each begins in the middle of the one
/// before it, and the last ends with the name.
fn windows(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = name.len().saturating_sub(LONGEST);
    let starts = (0..last).step_by(LONGEST / 2 + 1).chain([last]);
    starts.filter_map(|start| name.get(start..name.len().min(start + LONGEST)))
}

fn folded(byte: u8) -> Option<u8> {
    byte.is_ascii_alphanumeric()
        .then_some(byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::defaults;
    use crate::redact::fixture::names;

    fn coding(name: &str) -> Coding {
        if name.contains('%') {
            Coding::Percent
        } else {
            Coding::Json
        }
    }

    fn check(name: &str, secret: bool) {
        let found = names().matches(name.as_bytes(), coding(name));
        assert_eq!(found, secret, "{name}");
    }

    #[test]
    fn long_names_are_looked_at_from_end_to_end() {
        for (before, after) in [(0, 100), (100, 0), (60, 60), (150, 150)] {
            let (before, after) = ("a_".repeat(before), "_value".repeat(after));
            check(&format!("{before}password{after}"), true);
            check(&format!("{before}keyboard{after}"), false);
        }
    }

    #[test]
    fn every_default_name_is_found_in_its_own_forms() {
        for pattern in defaults::NAMES {
            let name = pattern.trim_matches(['*', '=']);
            check(name, true);
            check(&name.to_uppercase(), true);
            check(&format!("{name}_2"), true);
            check(&format!("{name}[0]"), true);
            if pattern.starts_with('*') {
                check(&format!("my{name}"), true);
            }
            if !pattern.starts_with('=') {
                check(&format!("my_{name}"), true);
                check(&format!("outer[inner][{name}]"), true);
                check(&format!("{}.{name}", "parent".repeat(20)), true);
            }
        }
    }

    #[test]
    fn components_however_they_are_joined() {
        for name in [
            "user[pass]",
            "login.pass",
            "card[cvc]",
            "card_cvc",
            "cvvCode",
            "userPin",
            "smtp_pass",
            "dbPass",
            "DB_PASS",
            "tls.key",
            "privateKeyPem",
            "private-key-pem",
            "apiKeyValue",
            "APIKey",
            "X-API-Key",
            "api key",
            "MyAPIKeyProd",
            "API_KEY_STRIPE",
            "token_value",
            "tokenValue",
            "token_id",
            "tokens",
            "tok",
            "creds",
            "dbCreds",
            "ssn",
            "user_ssn",
            "oauth_verifier",
            "oauth2Token",
            "AWSAccessKeyId",
            "AccessKeyId",
            "aws_secret_access_key",
            ".dockerconfigjson",
            "password_confirmation",
            "passwordHash",
            "new_password2",
            "passWord",
            "pass_word",
            "passwords",
            "dbpassword",
            "accesstoken",
            "next_access_token",
            "backend_token",
            "secretKeyBase",
            "clientSecret",
            "client-secret-value",
            "X-Pass",
            "X-Cookie",
            "X-Token-Value",
            "SESSION_COOKIE",
            "set_cookie",
            "x-hub-signature-256",
            "x-goog-iap-jwt-assertion",
            "mnemonicPhrase",
            "recovery_phrase",
            "sshpass",
            "mysql_pwd",
            "user_pw",
            "Passwort",
            "contraseña",
            "one_time_password",
            "verificationCode",
            "ASPSESSIONIDQACBBCDT",
        ] {
            check(name, true);
        }
    }

    #[test]
    fn a_term_may_span_words_wherever_it_is_cut() {
        for pattern in defaults::NAMES {
            let term: Vec<u8> = pattern.bytes().filter_map(folded).collect();
            for cut in 1..term.len() {
                let (before, after) = term.split_at(cut);
                assert!(names().may_span(before, after), "{pattern} at {cut}");
                let after = [after, b"x"].concat();
                assert!(names().may_span(before, &after), "{pattern} at {cut}");
            }
        }
        assert!(!names().may_span(b"the", b"zebra"));
        assert!(names().may_span(b"the", b"%7aebra"));
    }

    #[test]
    fn encoded_names_are_decoded_first() {
        check("pass%77ord", true);
        check("pass%2577ord", true);
        check("%70%61%73%73%77%6f%72%64", true);
        check("user%5Bpass%5D", true);
        check(r"pass\u0077ord", true);
        check(r"pass\\\u0077ord", true);
        check(r"api\u005fkey", true);
        check(r"\uff50\uff41\uff53\uff53", true);
        check("ｐａｓｓｗｏｒｄ", true);
        check("%EF%BC%B0ass", true);
        check("ｕｓｅｒ", false);
        check("access%5Ftoken", true);
        check("per%63ent", false);
        check(r"\u0075ser", false);
    }

    #[test]
    fn codes_and_numbers_of_cards() {
        for name in [
            "securityanswer",
            "securityanswers[1]",
            "one_time_code",
            "unlockCode",
            "ccnum",
            "cc_number",
        ] {
            check(name, true);
        }
        for name in ["security", "one_time", "unlocked", "code", "cc"] {
            check(name, false);
        }
    }

    #[test]
    fn common_names_are_not_secret() {
        for name in [
            "user",
            "id",
            "name",
            "created_at",
            "max_tokens",
            "completion_tokens",
            "token_type",
            "page",
            "keyword",
            "spinner",
            "passenger",
            "compass",
            "author",
            "design",
            "signatures",
            "monkey",
            "key",
            "code",
            "state",
            "zip_code",
            "oauth2",
            "md5",
            "laptop",
            "sha256",
            "certificate",
            "email",
            "opinion",
            "secretary",
            "secretariat",
            "password_policy",
            "show_password",
            "showPassword",
            "forgot_password",
            "has-password",
            "top_secret_level",
            "top_secret",
            "secret_santa",
            "passwordPolicy",
            "passwords_enabled",
            "passwordsEnabled",
            "next_page_token",
            "nextPageToken",
            "NextToken",
            "nextpagetoken",
            "page_token",
            "sync_token",
            "syncToken",
            "stop_token",
            "secret_name",
            "secretName",
            "password_expires_at",
            "max_token",
            "maxTokens",
            "tokenizer",
            "token_limit",
            "passport_office",
            "passport_country",
            "keyboard",
            "authority",
            "session_count",
            "token_count",
            "tokenCount",
            "prompt_tokens",
            "total_tokens",
            "token_endpoint",
            "password_length",
            "passwordless",
            "pass_rate",
            "bypass",
            "boarding_pass",
            "cookie_policy",
            "cookie_consent",
            "signature_algorithm",
            "auth_method",
            "author_id",
            "public_key",
            "publicKeyPem",
            "key_id",
            "api_key_id",
            "kid",
            "pinned",
            "pin_count",
            "pinterest",
            "secrets_count",
            "AccountSid",
            "idempotency-key",
            "www-authenticate",
            "tokenization",
            "card_type",
            "keys",
            "hotkey",
            "",
            "p",
            "-",
            "%",
            "\\",
            "\\u00",
            "%7",
        ] {
            check(name, false);
        }
    }

    #[test]
    fn numbers_of_tokens_are_counts() {
        let of = |name: &str| names().of(name.as_bytes(), Coding::Plain);
        assert_eq!(of("tokens"), Sensitivity::SecretText);
        assert_eq!(of("token"), Sensitivity::Secret);
    }

    #[test]
    fn configured_names_mean_what_they_say() {
        let configured = |pattern: &str| Names::new(&[pattern.to_owned()]).unwrap();
        let check = |pattern: &str, name: &str, secret| {
            let found = configured(pattern).matches(name.as_bytes(), Coding::Plain);
            assert_eq!(found, secret, "{pattern} {name}");
        };
        check("color", "co-lor", true);
        check("color", "shirtColor", true);
        check("color", "shirtcolor", false);
        check("color", "colors", false);
        check("*color", "shirtcolor", true);
        check("color*", "colorful", true);
        check("*salary*", "salary_type", true);
        check("=color", "color", true);
        check("=color", "shirt_color", false);
        for bad in ["", "*", "**", "a", "*-_*", "="] {
            let error = Names::new(&[bad.to_owned()]).unwrap_err();
            assert_eq!(error, RedactError::Name(bad.to_owned()));
        }
    }
}
