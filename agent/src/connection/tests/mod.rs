//! The engine as a whole: conversations in, exchanges out.

mod conversations;
mod wire;
