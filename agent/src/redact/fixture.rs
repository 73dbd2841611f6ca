//! For tests: exchanges made fit to leave, and what they show with every hash as one sign.

use std::cell::RefCell;
use std::sync::LazyLock;

use super::defaults::NAMES;
use super::digest::Digest;
use super::document::{Room, Search};
use super::edit::Edits;
use super::effort::Effort;
use super::names::Names;
use super::sieve::{Sieve, Traces};
use super::{Config, Gate, Sanitized};
use crate::clock::WallClock;
use crate::exchange::Exchange;
use crate::policy::{self, PolicyContext};

/// As a policy that keeps everything and this redaction let it pass, with a clock that starts at
/// `offset`.
pub(crate) fn sanitize_at(config: &Config, exchange: Exchange, offset: i64) -> Sanitized {
    thread_local! {
        /// Made once for each configuration: tests are not optimised, and it takes them long.
        static GATES: RefCell<Vec<(Config, Gate)>> = const { RefCell::new(Vec::new()) };
    }
    GATES.with_borrow_mut(|gates| {
        if gates.iter().all(|(known, _)| known != config) {
            let gate = Gate::new(&policy::Config::everything(), config);
            gates.push((config.clone(), gate.expect("a configuration")));
        }
        let known = gates.iter_mut().find(|(known, _)| known == config);
        pass(&mut known.expect("made above").1, exchange, offset)
    })
}

/// See [`sanitize_at`].
pub(crate) fn sanitize(config: &Config, exchange: Exchange) -> Sanitized {
    sanitize_at(config, exchange, 0)
}

/// Through a gate that keeps it.
pub(crate) fn pass(gate: &mut Gate, exchange: Exchange, offset: i64) -> Sanitized {
    let context = PolicyContext::default();
    match gate.pass(exchange, &context, &WallClock { offset }) {
        Ok(sanitized) => sanitized,
        Err(reason) => panic!("{reason:?}"),
    }
}

/// A text with each replacement as `sign`.
pub(crate) fn mask_as(text: &str, sign: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[redacted:") {
        out += before;
        out += sign;
        rest = after.get(13..).unwrap_or_default();
    }
    out + rest
}

/// A text with each replacement as `#`.
pub(crate) fn mask(text: &str) -> String {
    mask_as(text, "#")
}

/// A text with what `scan` finds replaced.
pub(super) fn apply(text: &str, scan: impl FnOnce(&[u8], &mut Edits)) -> String {
    let digest = Digest::new(Some("test")).expect("a key");
    let (mut edits, mut out) = (Edits::default(), Vec::new());
    scan(text.as_bytes(), &mut edits);
    edits.settle();
    edits.apply(text.as_bytes(), &digest, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

/// What becomes of a text: `expected` has `sign` where a replacement stands. What has been through
/// stays as it is.
#[track_caller]
pub(super) fn check_scan(
    text: &str,
    expected: &str,
    sign: &str,
    scan: impl Fn(&[u8], &mut Effort, &mut Edits),
) {
    let run = |text: &str| {
        apply(text, |text, edits| {
            let mut effort = Effort::for_len(text.len());
            scan(text, &mut effort, edits);
            assert!(!effort.is_spent());
        })
    };
    let once = run(text);
    assert_eq!(mask_as(&once, sign), expected, "{text}");
    assert_eq!(run(&once), once, "a second pass changes {text}");
}

/// [`check_scan`] of what is given the traces of a text, with `#` for replacements.
#[track_caller]
pub(super) fn check_traced(
    text: &str,
    expected: &str,
    scan: impl Fn(&[u8], &Traces, &mut Effort, &mut Edits),
) {
    check_scan(text, expected, "#", |text, effort, edits| {
        let Search { names, sieve, .. } = search();
        let mut traces = Traces::default();
        sieve.look(text, names, effort, &mut traces);
        scan(text, &traces, effort, edits);
    });
}

/// What becomes of a body: `expected` has `#` where a replacement stands.
#[track_caller]
pub(super) fn check_body(media_type: &str, text: &str, expected: &str) {
    check_scan(text, expected, "#", |text, effort, edits| {
        let room = &mut Room::default();
        search().body(media_type.as_bytes(), text, room, effort, edits);
    });
}

/// What the default configuration searches with. Made once: tests are not optimised, and it takes
/// them long.
pub(super) fn search() -> &'static Search {
    static SEARCH: LazyLock<Search> = LazyLock::new(|| {
        let names = Names::new(&NAMES.map(str::to_owned)).expect("default names");
        Search {
            sieve: Sieve::new(&names),
            names,
            patterns: Config::default().patterns,
        }
    });
    &SEARCH
}

/// What the default names are searched with.
pub(super) fn names() -> &'static Names {
    &search().names
}
