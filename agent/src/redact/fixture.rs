//! For tests: exchanges made fit to leave, and what they show with every hash as one sign.

use super::{Config, Gate, Sanitized};
use crate::clock::WallClock;
use crate::exchange::Exchange;
use crate::policy::{self, PolicyContext};

/// As a policy that keeps everything and this redaction let it pass, with a clock that starts at `offset`.
pub(crate) fn sanitize_at(config: &Config, exchange: Exchange, offset: i64) -> Sanitized {
    let mut gate = Gate::new(&policy::Config::everything(), config).expect("a configuration");
    pass(&mut gate, exchange, offset)
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
