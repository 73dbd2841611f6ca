//! An access log: one line for each exchange, in Envoy's format or in JSON. Made of a
//! [`Sanitized`]: what redaction hides is hidden here.

mod config;
mod format;
mod operator;

pub use config::AccessLogSection;
pub use format::Format;

use std::sync::Arc;

use super::expression::{Condition, Evaluator};
use crate::redact::Sanitized;

/// Which lines there are, and what they say; shared by all workers.
#[derive(Debug)]
pub struct Rules {
    format: Format,
    condition: Option<Condition>,
}

impl Rules {
    /// By a configuration.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(section: &AccessLogSection) -> Result<Self, String> {
        Ok(Self {
            format: section.format()?,
            condition: section.condition()?,
        })
    }
}

/// Writes lines. Each worker has its own.
#[derive(Debug)]
pub struct Lines {
    rules: Arc<Rules>,
    evaluator: Evaluator,
    value: Vec<u8>,
}

impl Lines {
    /// By rules.
    #[must_use]
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            evaluator: Evaluator::new(rules.condition.iter()),
            rules,
            value: Vec::new(),
        }
    }

    /// Adds the line of an exchange, if the filter lets it through.
    pub fn write(&mut self, out: &mut Vec<u8>, sanitized: &Sanitized) {
        let condition = self.rules.condition.iter();
        let is_filtered = self.rules.condition.is_some()
            && self
                .evaluator
                .first(condition, sanitized.exchange())
                .is_none();
        if !is_filtered {
            self.rules.format.write(out, &mut self.value, sanitized);
        }
    }
}
