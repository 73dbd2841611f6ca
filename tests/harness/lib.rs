//! Shared by the test benches.
