//! An access log: one line for each exchange, in Envoy's format or in JSON. Made of a
//! [`Sanitized`]: what redaction hides is hidden here.

mod config;
mod format;
mod operator;
mod record;

pub use config::AccessLogSection;
pub use format::Format;
pub use record::{Body, Record, Severity, Value};

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
        if self.is_wanted(sanitized) {
            self.rules.format.write(out, &mut self.value, sanitized);
        }
    }

    /// The record of an exchange, if the filter lets it through.
    pub fn record(&mut self, sanitized: &Sanitized) -> Option<Record> {
        self.is_wanted(sanitized).then(|| {
            let body = self.rules.format.body(&mut self.value, sanitized);
            Record::new(sanitized, body)
        })
    }

    fn is_wanted(&mut self, sanitized: &Sanitized) -> bool {
        let condition = self.rules.condition.iter();
        let evaluator = &mut self.evaluator;
        self.rules.condition.is_none() || evaluator.first(condition, sanitized.exchange()).is_some()
    }
}
