//! `meshtap tap` and `meshtap replay`: exchanges for a person or a script to read.
//!
//! Formats work from a [`View`] into a caller's buffer and know nothing of threads, files or
//! terminals' state.

pub(crate) mod body;
mod colour;
mod filter;
mod json;
pub(crate) mod line;
mod pattern;
pub(crate) mod pretty;
mod protobuf;
mod report;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod units;
mod verbose;

use std::sync::Arc;

use crate::clock::WallClock;
use crate::exchange::Exchange;
use crate::process::Process;
use crate::redact::Sanitized;

pub use colour::Palette;
pub use filter::{Filter, StatusSet};
pub use json::write as write_json;
pub use line::Line;
pub use pattern::{HostPattern, PathPattern};
pub use report::{Delivery, Dropped, Report};
pub use units::size_text;
pub use verbose::{Style, write as write_verbose};

/// Everything that is printed of an exchange.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// What the policy lets be seen. There is no way to print anything else.
    pub sanitized: &'a Sanitized,
    /// Whose socket it was, where known.
    pub process: Option<Arc<Process>>,
    /// The process at the client's end of a connection within this machine, where known.
    pub caller: Option<Arc<Process>>,
    /// From the capture's time to wall-clock time.
    pub clock: WallClock,
}

impl<'a> View<'a> {
    const fn exchange(&self) -> &'a Exchange {
        self.sanitized.exchange()
    }

    /// The process at the client's end, when it is another one than that of the socket.
    fn other(&self) -> Option<&Process> {
        let own = self.process.as_ref().map(|process| process.pid);
        let caller = self.caller.as_deref();
        caller.filter(|caller| own != Some(caller.pid))
    }
}

/// How much of an exchange is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// One line.
    #[default]
    Line,
    /// And the header fields.
    Headers,
    /// And the bodies.
    Bodies,
}

impl Detail {
    /// From the number of `-v`.
    #[must_use]
    pub const fn from_count(count: u8) -> Self {
        match count {
            0 => Self::Line,
            1 => Self::Headers,
            _ => Self::Bodies,
        }
    }
}
