//! How the agent tells of itself: metrics, health, and the guard that keeps it within its budget.

pub mod guard;
mod prometheus;
mod render;
mod server;
mod state;
mod usage;
mod workload;

pub use server::Server;
pub use state::{CaptureView, EngineView, Hook, HookState, Shared};
pub use usage::{Usage, Usages};
