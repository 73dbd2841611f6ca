//! What HTTP/2 adds to the page.

use std::fmt;

use super::families::{Families, by};
use crate::http::h2::{Violation, hpack};

pub(super) fn page(
    page: &mut Families<'_>,
    [connections, resynced, lost, broken]: [&u64; 4],
    errors: &[u64; Violation::ALL.len()],
    hpack_errors: &[u64; hpack::Error::ALL.len()],
) -> fmt::Result {
    for (name, help, value) in [
        (
            "http2_connections",
            "Connections that speak HTTP/2.",
            connections,
        ),
        (
            "http2_resyncs",
            "Directions of HTTP/2 connections whose frames were found again after missing bytes.",
            resynced,
        ),
        (
            "http2_dropped_connections",
            "HTTP/2 connections dropped because frames were not found again after missing bytes.",
            lost,
        ),
        (
            "http2_broken_connections",
            "HTTP/2 connections with a frame that breaks the protocol.",
            broken,
        ),
    ] {
        page.counter(&format!("meshtap_{name}"), help, *value)?;
    }
    page.counters(
        "meshtap_http2_errors",
        "Frames of HTTP/2 that break the protocol.",
        by("kind", &Violation::ALL, Violation::label, errors),
    )?;
    page.counters(
        "meshtap_hpack_errors",
        "Header blocks of HTTP/2 that cannot be decoded.",
        by(
            "reason",
            &hpack::Error::ALL,
            hpack::Error::label,
            hpack_errors,
        ),
    )
}
