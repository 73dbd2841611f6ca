//! The engine as a whole: conversations in, exchanges out.

mod conversations;
mod losses;
mod properties;
mod talk;
mod wire;
