//! The three steps in a row, for those who look at nothing in between: admit → sample → redact.

use thiserror::Error;

use super::{Redactor, Sanitized};
use crate::clock::WallClock;
use crate::exchange::Exchange;
use crate::policy::{Policy, PolicyContext, PolicyError, Skip};

/// A policy and a redactor.
#[derive(Debug)]
pub struct Gate {
    /// Decides which exchanges are kept.
    pub policy: Policy,
    /// Makes them fit to leave.
    pub redactor: Redactor,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum GateError {
    /// Of which exchanges are kept.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Of what is hidden.
    #[error(transparent)]
    Redact(#[from] super::RedactError),
}

impl Gate {
    /// Both, by their configurations.
    ///
    /// # Errors
    /// When a setting cannot be understood, or the kernel gives no random numbers.
    pub fn new(
        policy: &crate::policy::Config,
        redaction: &super::Config,
    ) -> Result<Self, GateError> {
        Ok(Self {
            policy: Policy::new(policy)?,
            redactor: Redactor::new(redaction)?,
        })
    }

    /// Decides on an exchange, and makes it fit to leave.
    ///
    /// # Errors
    /// The reason why it is not kept, which is counted.
    pub fn pass(
        &mut self,
        exchange: Exchange,
        context: &PolicyContext,
        clock: &WallClock,
    ) -> Result<Sanitized, Skip> {
        let admitted = self.policy.admit(exchange, context)?;
        let sampled = self.policy.sample(admitted)?;
        Ok(self.redactor.redact(sampled, clock))
    }
}
