//! What is looked at while it comes: exchanges on a screen (`tap -i`, `replay -i`), totals by
//! service and route (`top`), and what a page needs of both.
//!
//! ```text
//! output thread ─► Store { ring of exchanges, Stats } ◄─ screen, page: snapshots
//! ```
//!
//! The store is bounded in bytes and holds only what redaction has seen. A reader takes snapshots
//! under a lock that is held for some microseconds; what formats, searches or draws holds no lock.

pub mod curl;
pub mod filter;
pub mod report;
mod services;
pub mod shown;
pub mod stats;
pub mod store;
pub mod terminal;
pub mod web;

pub use filter::Query;
pub use shown::{Row, Shown};
pub use stats::{By, Line, Stats};
pub use store::{Held, Store};
