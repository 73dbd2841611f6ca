//! At a real Kubernetes API server.

mod agent;
mod apiserver;
mod identity;
