//! The page (`tap --web`, `replay --web`): exchanges in a browser, from this one program.
//!
//! ```text
//! Store ◄─ feed (server-sent events) ─┐
//!       ◄─ api (match, detail, HAR)  ─┼─ router ─ guard (Host, token) ─ serve ─ browser
//! importer ◄─ import                 ─┘
//! ```
//!
//! What is captured is secret, and a browser runs whatever any site hands it. So the page is served
//! on loopback unless asked otherwise; every address has a random token in it; a request whose Host
//! is a name of somebody else's is refused (DNS rebinding); a policy forbids every script that is
//! not one of ours; and the page makes text of what was captured, never markup.
//!
//! A browser takes what it can: it has a place in the store, not a queue. What falls out of the
//! store before it came is counted and shown.

mod api;
mod assets;
mod export;
mod feed;
mod guard;
mod import;
mod query;
mod router;
mod row;
mod serve;
mod token;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use crate::export::OwnSockets;

pub use serve::{Listener, Page};

/// Largest file that is imported. It is read from the disk, so this bounds the disk.
pub const MAX_IMPORT: u64 = 256 * 1024 * 1024;
/// Bytes of a HAR document that may come: it is in memory whole, twice.
pub const MAX_HAR: u64 = 64 * 1024 * 1024;

/// Reads a file that was dropped on the page into the store.
pub type Importer = dyn Fn(File) -> Result<Imported, String> + Send + Sync;

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Exchanges that went into the store.
    pub exchanges: u64,
    /// What the file did not give, for a person.
    pub remark: Option<String>,
}

/// What a page is made of.
#[derive(Clone)]
pub struct Settings {
    /// What is looked at, for the title: `tap`, or the name of a file.
    pub source: String,
    /// What it shows.
    pub store: Arc<Store>,
    /// Room of the store in bytes.
    pub max_bytes: usize,
    /// Takes dropped files.
    pub importer: Arc<Importer>,
    /// Learns of the page's sockets.
    pub own: Arc<dyn OwnSockets>,
    /// So long without a browser, and the page ends.
    pub idle: Duration,
    /// Called when it ends so.
    pub on_idle: Arc<dyn Fn() + Send + Sync>,
}

#[cfg(test)]
mod tests;
