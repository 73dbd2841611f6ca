//! meshtap: a per-node HTTP capture agent.
//!
//! Data runs one way: `capture` → `connection` { `stream` → `http` → `exchange` } → `policy` → `redact` → `span` → `export`. The middle is
//! pure: no tokio, no clock, no aya; time is an argument.
//!
//! Without the feature `agent`, which is on by default, the library is the engine and what reads files for it; with `redact`, policy and redaction besides.

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
pub mod connection;
pub mod exchange;
#[cfg(feature = "agent")]
pub mod export;
#[cfg(feature = "agent")]
pub mod files;
pub mod flow;
#[cfg(feature = "agent")]
pub mod har;
pub mod http;
pub mod ledger;
#[cfg(feature = "redact")]
pub mod policy;
#[cfg(feature = "agent")]
pub mod process;
#[cfg(feature = "redact")]
pub mod redact;
#[cfg(feature = "agent")]
pub mod span;
pub mod stream;
#[cfg(feature = "agent")]
pub mod tap;
#[cfg(feature = "agent")]
pub mod telemetry;
#[cfg(feature = "agent")]
pub mod units;
#[cfg(feature = "agent")]
pub mod workload;
