//! At a real Kubernetes API server.

mod agent;
mod ambient;
mod apiserver;
mod identity;
