//! Real servers that tests talk to and that no package brings: built once from their Go modules,
//! each version pinned with the hashes of everything it is made of, and kept by version outside
//! `target/`, so that no clean and no second clone builds it again.

pub mod cache;
pub mod collector;
pub mod coredns;
pub mod envoy;
pub mod etcd;
mod go;
pub mod grpc;
pub mod h2;
pub mod helm;
pub mod kubernetes;
pub mod load;
pub mod page;
pub mod plain;
pub mod ztunnel;

pub use go::NO_TOOLCHAIN;
