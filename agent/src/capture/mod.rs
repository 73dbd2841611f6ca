//! Where events come from: the kernel, a recording, a packet capture.

mod command;
pub mod decode;
mod event;
mod interface;
#[cfg(feature = "agent")]
pub mod kernel;
pub mod outline;
pub mod pcap;
pub mod record;
#[cfg(feature = "tls")]
pub mod tls;

use std::io;
use std::time::Duration;

pub use command::Command;
pub use event::{Event, Plaintext, Segment};
pub use interface::{Excluded, Exclusions, Witness};
pub use meshtap_common::IgnoreReason;

use crate::flow::Nanos;

/// What a source has to say after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Events may follow.
    More,
    /// Events are there already: the source gave the caller's other work a turn.
    Pending,
    /// The source has ended (a file was read to its end).
    End,
}

/// A source of events.
pub trait Source {
    /// Waits at most `timeout` for events, then hands over all that are there, in order.
    ///
    /// # Errors
    /// When the source cannot be read any further.
    fn poll(&mut self, timeout: Duration, handle: &mut dyn FnMut(&Event<'_>))
    -> io::Result<Polled>;

    /// Takes what the engine asks of the hook. Sources that cannot act on it ignore it.
    fn command(&mut self, commands: &[Command]) {
        let _ = commands;
    }

    /// The source's own time after the last poll, where it has one (a recording's); `None`: that of
    /// the events, or the machine's.
    fn time(&self) -> Option<Nanos> {
        None
    }

    /// Learns that the engine was made to let time pass up to `now`, so that a recording can repeat
    /// it.
    fn expired(&mut self, now: Nanos) {
        let _ = now;
    }
}
