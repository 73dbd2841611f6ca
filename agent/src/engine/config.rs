//! Section `limits` of the configuration: bounds of what is kept while exchanges are put together.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Limits;
use crate::units::{ByteSize, Interval};

/// Largest body that is kept: the engine holds this much for every message that is being received.
const MAX_BODY: ByteSize = ByteSize::mib(16);
/// Least head: a request line and the fields that say where its body ends.
const MIN_HEAD: ByteSize = ByteSize::kib(1);
/// Longest head: positions in it are 16 bits wide.
const MAX_HEAD: ByteSize = ByteSize::kib(64);
/// Least memory: a handful of messages with bodies of the default limit.
const MIN_MEMORY: ByteSize = ByteSize::mib(1);

/// Bounds of what is kept while exchanges are put together.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Bytes kept of one body, 1 to 16MiB.
    pub body: ByteSize,
    /// Longest head that is read whole, 1KiB to 64KiB. Of a longer one, what is within is shown,
    /// marked `head_too_large`.
    pub head: ByteSize,
    /// Connections followed at a time.
    pub connections: usize,
    /// Bytes that all connections hold: heads, bodies, reordering, and what keeps track of them.
    pub memory: ByteSize,
    /// An exchange older than this is emitted as it stands.
    pub exchange_age: Interval,
    /// A connection silent for this long is forgotten.
    pub idle: Interval,
}

impl Default for LimitsSection {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            body: ByteSize(limits.body as u64),
            head: ByteSize(limits.head as u64),
            connections: limits.connections,
            memory: ByteSize(limits.memory as u64),
            exchange_age: Interval(Duration::from_nanos(limits.exchange_age)),
            idle: Interval(Duration::from_nanos(limits.idle)),
        }
    }
}

impl LimitsSection {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !is_body_size(self.body) {
            return Err("limits.body: must be from 1 byte to 16MiB".to_owned());
        }
        if !(MIN_HEAD..=MAX_HEAD).contains(&self.head) {
            return Err("limits.head: must be from 1KiB to 64KiB".to_owned());
        }
        if self.connections == 0 {
            return Err("limits.connections: must not be 0".to_owned());
        }
        if self.memory < MIN_MEMORY {
            return Err("limits.memory: must be 1MiB or more".to_owned());
        }
        let ages = [("exchange_age", self.exchange_age), ("idle", self.idle)];
        if let Some((key, _)) = ages.iter().find(|(_, age)| age.0.is_zero()) {
            return Err(format!("limits.{key}: must not be 0"));
        }
        Ok(())
    }
}

/// What may be kept of a body.
#[must_use]
pub fn is_body_size(size: ByteSize) -> bool {
    (ByteSize(1)..=MAX_BODY).contains(&size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused() {
        let check = |change: fn(&mut LimitsSection), expected: Option<&str>| {
            let mut section = LimitsSection::default();
            change(&mut section);
            let found = section.check().err();
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        };
        check(|_| (), None);
        check(|s| s.body = ByteSize::mib(16), None);
        check(|s| s.body = ByteSize(0), Some("limits.body"));
        check(|s| s.body = ByteSize((16 << 20) + 1), Some("limits.body"));
        check(|s| s.head = ByteSize::kib(1), None);
        check(|s| s.head = ByteSize(1023), Some("limits.head"));
        check(|s| s.head = ByteSize((64 << 10) + 1), Some("limits.head"));
        check(|s| s.connections = 0, Some("limits.connections"));
        check(|s| s.memory = ByteSize::kib(1), Some("limits.memory"));
        check(
            |s| s.exchange_age = Interval::secs(0),
            Some("limits.exchange_age: must not be 0"),
        );
        check(|s| s.exchange_age = Interval::millis(1), None);
        check(|s| s.idle = Interval::secs(0), Some("limits.idle"));
    }
}
