//! At a real OpenTelemetry Collector: spans arrive over every protocol, with TLS and without, with
//! the right attributes; live traffic loses and mixes up nothing; a collector that hangs or is away
//! costs spans, counted, and the application nothing.

mod certificates;
mod commands;
mod delivery;
#[allow(dead_code, reason = "what one test binary does not need another does")]
#[path = "../export/fake.rs"]
mod fake;
mod live;
#[path = "../export/official.rs"]
mod official;
mod outages;
#[allow(dead_code, reason = "what one test binary does not need another does")]
mod real;
mod service;
mod signals;
#[allow(dead_code, reason = "what one test binary does not need another does")]
#[path = "../export/source.rs"]
mod source;
