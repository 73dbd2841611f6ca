//! At a real Kubernetes API server.

mod apiserver;
