//! What the agent reports about itself: metrics, health, log lines, and the guard that keeps it
//! within its budget.

mod config;
mod exporters;
mod families;
pub mod guard;
mod health;
mod http2;
mod limit;
mod log;
mod metrics;
mod server;
mod state;
mod stats;
mod usage;
mod workload;

pub use config::{BudgetSection, LogFormat, TelemetrySection};
pub use health::{ExporterWatch, Heart, Part, PartState, STALLED};
pub use log::to_stderr;
pub use server::{Listener, Server};
pub use state::{CaptureView, EngineView, Hook, HookState, Shared};
pub use usage::{Usage, Usages};
