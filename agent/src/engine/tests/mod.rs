//! The engine as a whole: conversations in, exchanges out.

mod captures;
mod closed;
mod conversations;
mod cut;
mod files;
mod folding;
mod forged;
mod http2;
mod http2_heads;
mod http2_settings;
mod http2_violations;
mod joins;
mod late;
mod losses;
mod plaintext;
mod properties;
mod talk;
pub(crate) mod wire;
