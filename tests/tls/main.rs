//! Plaintext where programs decrypt and encrypt it: what a TLS library reads and writes.

mod bench;
mod cycles;
mod envoy;
mod explain;
mod guard;
mod hbone;
mod late;
mod libssl;
mod overload;
mod ztunnel;
