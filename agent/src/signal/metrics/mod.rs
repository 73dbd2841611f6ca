//! Istio's standard metrics, made of every exchange in scope: after `policy` has admitted it, and
//! before sampling. Pure.
//!
//! ```text
//! Exchange + labels of both ends ─► series (bounded, found without an allocation) ─► page
//! ```
//!
//! `docs/istio-metrics.md` has every label with its source.

mod adjusted;
mod config;
mod families;
mod histogram;
mod host;
mod labels;
mod page;
mod record;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use adjusted::Adjusted;
pub use config::MetricsSection;
pub use families::{Count, Distribution, Families, Family, Snapshot, pairs};
pub use histogram::{BUCKETS, Exemplar, bounds};
pub use labels::{End, EndLabels, LATEST, Security, Service, ServiceLabels, UNKNOWN};
pub use page::{Format, Page};
pub use record::{Connection, Metrics, Subject, Totals};
