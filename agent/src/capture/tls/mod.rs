//! Plaintext inside programs: which files hold a TLS library, where its functions are, and which
//! processes run them.

#[cfg(feature = "agent")]
pub mod discover;
pub mod locate;
