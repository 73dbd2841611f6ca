//! What a sanitized exchange becomes: spans now; metrics and an access log have their places beside
//! them. Pure: an exporter reads a signal and writes its own format.

pub mod span;
