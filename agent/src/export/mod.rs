//! Spans to collectors and files.
