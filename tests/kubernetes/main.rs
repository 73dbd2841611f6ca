//! At a real Kubernetes API server.

mod agent;
mod ambient;
mod apiserver;
mod chart;
mod explain;
mod fixed_api;
mod identity;
mod metrics;
mod rules;
mod telemetry;
