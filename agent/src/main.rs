//! The `meshtap` binary: arguments, then [`meshtap::app`].

fn main() {}
