//! Export against a scripted collector: whatever the collector does, every span is counted under
//! one reason.

mod delivery;
#[allow(dead_code, reason = "what one test binary does not need another does")]
mod fake;
mod misbehaving;
mod official;
mod payloads;
mod raw;
mod source;
