//! meshtap: a per-node HTTP capture agent.
//!
//! Data runs one way: `capture` → `connection` { `stream` → `http` → `exchange` } → `policy` → `span` → `export`. The middle is
//! pure: no tokio, no clock, no aya; time is an argument.

pub mod app;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod exchange;
pub mod export;
pub mod flow;
pub mod har;
pub mod http;
pub mod ledger;
pub mod policy;
pub mod process;
pub mod span;
pub mod stream;
pub mod tap;
pub mod telemetry;
