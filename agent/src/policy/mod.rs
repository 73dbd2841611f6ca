//! Which exchanges are kept: scope, then sampling. Pure.
//!
//! ```text
//! Exchange ─► admit (workload, probe, own, path, method, host, status) ─► Admitted ─► sample (trace id) ─► Sampled ─► redact
//!                └────────────────────────── Skip, counted ──────────────────────────────┘
//! ```
//!
//! The steps have typed results: what counts requests sees every [`Admitted`] exchange, sampled or
//! not; only a [`Sampled`] one can be made fit to leave ([`crate::redact`]).
//!
//! What a peer claims (a header, a user agent, a forwarded address) never hides an exchange by
//! itself: see [`PolicyContext`].

mod admit;
mod choice;
mod config;
mod context;
mod counts;
mod path;
pub(crate) mod random;
mod sample;
mod trace;

#[cfg(test)]
pub(crate) mod fixture;

use thiserror::Error;

pub(crate) use choice::{Choice, any};
pub use config::{Config, Select};
pub use context::{ClientOrigin, PolicyContext};
pub use counts::{Counts, Skip};
pub use trace::{Caller, SpanId, TraceContext, TraceId};

use crate::exchange::Exchange;
use admit::Admission;
use sample::Threshold;

/// Why a configuration cannot be used.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PolicyError {
    /// Outside 0 to 1.
    #[error("policy.sampling_ratio: {0} is not between 0 and 1")]
    Ratio(f64),
    /// Not a regular expression.
    #[error("policy.paths: {0}")]
    Path(String),
    /// A pattern that no host can match.
    #[error("policy.hosts: {0}")]
    Host(String),
    /// A pattern that no method can match.
    #[error("policy.methods: {0}")]
    Method(String),
    /// Not a status or a range of them.
    #[error("policy.statuses: `{0}` is no status; write for example 404, 5xx or 500-503")]
    Status(String),
    /// See [`random`].
    #[error("the kernel gives no random numbers for trace ids")]
    Random,
}

impl From<random::NoRandom> for PolicyError {
    fn from(_: random::NoRandom) -> Self {
        Self::Random
    }
}

/// An exchange that is in scope.
#[derive(Clone, Debug)]
pub struct Admitted {
    exchange: Exchange,
    trace: TraceContext,
}

impl Admitted {
    /// The exchange, as it was captured: nothing of it may leave the node yet.
    #[must_use]
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// The trace that it belongs to.
    #[must_use]
    pub const fn trace(&self) -> &TraceContext {
        &self.trace
    }
}

/// An exchange that is in scope and whose trace is sampled.
#[derive(Clone, Debug)]
pub struct Sampled(Admitted);

impl Sampled {
    /// The exchange as it was captured, and its trace.
    pub(crate) fn into_parts(self) -> (Exchange, TraceContext) {
        (self.0.exchange, self.0.trace)
    }
}

/// The policy of one worker.
#[derive(Debug)]
pub struct Policy {
    admission: Admission,
    threshold: Threshold,
    /// While the agent is over its budget, on top of `threshold`.
    reduced: Threshold,
    counts: Counts,
    random: fastrand::Rng,
}

impl Policy {
    /// A policy.
    ///
    /// # Errors
    /// When a setting cannot be understood, or the kernel gives no random numbers.
    pub fn new(config: &Config) -> Result<Self, PolicyError> {
        let (admission, threshold) = compile(config)?;
        let seed = u64::from_le_bytes(random::bytes()?);
        Ok(Self {
            admission,
            threshold,
            reduced: Threshold::ALL,
            counts: Counts::default(),
            random: fastrand::Rng::with_seed(seed),
        })
    }

    /// Takes another configuration; counts go on.
    ///
    /// # Errors
    /// When a setting cannot be understood. The policy then stays as it was.
    pub fn reload(&mut self, config: &Config) -> Result<(), PolicyError> {
        (self.admission, self.threshold) = compile(config)?;
        Ok(())
    }

    /// Keeps a part of the traces only while the agent is over its budget (on top of the
    /// configuration's ratio).
    pub fn reduce(&mut self, sampling_ratio: f64) {
        self.reduced = Threshold::of(sampling_ratio);
    }

    /// Totals since the policy started.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether an exchange is in scope.
    ///
    /// # Errors
    /// The reason why it is not, which is counted.
    pub fn admit(&mut self, exchange: Exchange, context: &PolicyContext) -> Result<Admitted, Skip> {
        if let Some(reason) = self.admission.skip(&exchange, context) {
            return Err(self.skip(reason));
        }
        self.counts.admitted += 1;
        let trace = self.trace(&exchange);
        Ok(Admitted { exchange, trace })
    }

    /// Whether [`Self::sample`] will keep it. Counts nothing.
    /// `ratio`: of the workload, instead of the configuration's.
    #[must_use]
    pub fn keeps(&self, admitted: &Admitted, ratio: Option<f64>) -> bool {
        let trace = admitted.trace.trace;
        self.threshold(ratio).keeps(trace) && self.reduced.keeps(trace)
    }

    fn threshold(&self, ratio: Option<f64>) -> Threshold {
        ratio.map_or(self.threshold, Threshold::of)
    }

    /// Whether its trace is sampled.
    ///
    /// # Errors
    /// The reason why it is not, which is counted.
    pub fn sample(&mut self, admitted: Admitted) -> Result<Sampled, Skip> {
        self.sample_at(admitted, None)
    }

    /// The same, at the ratio of a workload instead of the configuration's.
    ///
    /// # Errors
    /// The reason why it is not, which is counted.
    pub fn sample_at(&mut self, admitted: Admitted, ratio: Option<f64>) -> Result<Sampled, Skip> {
        let trace = admitted.trace.trace;
        if !self.threshold(ratio).keeps(trace) {
            return Err(self.skip(Skip::Sampling));
        }
        if !self.reduced.keeps(trace) {
            return Err(self.skip(Skip::Overload));
        }
        self.counts.kept += 1;
        Ok(Sampled(admitted))
    }

    fn skip(&mut self, reason: Skip) -> Skip {
        self.counts.skip(reason);
        reason
    }

    /// The caller's trace, else a new one.
    fn trace(&mut self, exchange: &Exchange) -> TraceContext {
        let span = SpanId(self.random.u64(1..).to_be_bytes());
        match trace::caller(&exchange.request.head.fields) {
            Some(caller) => TraceContext {
                trace: caller.trace,
                span,
                parent: Some(caller.span),
                flags: caller.flags,
            },
            None => TraceContext {
                trace: TraceId(self.random.u128(1..).to_be_bytes()),
                span,
                parent: None,
                flags: trace::SAMPLED,
            },
        }
    }
}

fn compile(config: &Config) -> Result<(Admission, Threshold), PolicyError> {
    let ratio = config.sampling_ratio;
    if !(0.0..=1.0).contains(&ratio) {
        return Err(PolicyError::Ratio(ratio));
    }
    Ok((Admission::new(config)?, Threshold::of(ratio)))
}

#[cfg(test)]
mod tests;
