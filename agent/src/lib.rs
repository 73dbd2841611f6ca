//! meshtap: a per-node HTTP capture agent.
//!
//! Data runs one way: `capture` → `engine` { `transport` → `session` { `http` → `exchange` } } →
//! `policy` → `redact` → `signal` → `export`. The middle is pure: no tokio, no clock, no aya; time
//! is an argument.
//!
//! Without the feature `agent`, which is on by default, the library is the engine and what reads
//! files for it; with `redact`, policy and redaction besides.

#![cfg_attr(
    not(feature = "agent"),
    allow(dead_code, reason = "what only the program uses")
)]

#[cfg(feature = "agent")]
pub mod app;
pub mod capture;
#[cfg(feature = "agent")]
pub mod cli;
#[cfg(feature = "redact")]
pub mod clock;
#[cfg(feature = "agent")]
pub mod config;
pub mod engine;
pub mod exchange;
#[cfg(feature = "agent")]
pub mod export;
#[cfg(feature = "agent")]
pub mod files;
pub mod flow;
#[cfg(any(feature = "redact", feature = "tls"))]
mod glob;
#[cfg(feature = "agent")]
pub mod handover;
#[cfg(feature = "agent")]
pub mod har;
pub mod hash;
pub mod http;
pub mod ledger;
pub mod plural;
#[cfg(feature = "redact")]
pub mod policy;
#[cfg(feature = "agent")]
pub mod process;
#[cfg(feature = "redact")]
pub mod redact;
pub mod session;
#[cfg(feature = "agent")]
pub mod signal;
#[cfg(feature = "agent")]
pub mod tap;
#[cfg(feature = "agent")]
pub mod telemetry;
pub mod transport;
#[cfg(feature = "agent")]
pub mod units;
#[cfg(feature = "agent")]
pub mod views;
mod visible;
#[cfg(feature = "agent")]
pub mod workload;
