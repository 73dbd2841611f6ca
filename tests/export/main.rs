//! Export against a scripted collector: whatever the collector does, every span is accounted for under one reason.

#[allow(dead_code, reason = "what one test binary does not need another does")]
mod fake;
mod faults;
mod misbehaving;
mod official;
mod payloads;
mod raw;
mod source;
