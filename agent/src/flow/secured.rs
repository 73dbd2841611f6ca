//! What the handshake of a TLS session proves of its ends.

use std::sync::Arc;

use super::CgroupId;

/// What protects a connection, as the handshake of its TLS session shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// Both ends have shown a certificate (mTLS).
    pub mtls: bool,
    /// The SPIFFE id in the certificate of the other end, where it has one.
    pub peer: Option<Arc<str>>,
    /// The program in which it was seen, by its cgroup: it rests on that one's word.
    pub by: CgroupId,
}
