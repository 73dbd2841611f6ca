//! Destinations that are files: a thread that writes batches in order.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::delivery::DropReason;
use super::handle::Channel;
use super::queue::Popped;

/// How often a writer with nothing to do looks at the clock.
const IDLE: Duration = Duration::from_secs(1);

/// Writes batches until the channel is closed and empty, or until `deadline` says so. Flushes
/// whenever nothing waits.
pub(super) fn run(
    channel: &Arc<Channel>,
    mut out: impl Write,
    deadline: impl Fn() -> Option<Instant>,
) {
    let mut healthy = true;
    loop {
        if deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            let left = channel.queue.clear();
            channel.delivery.drop_waiting(left, DropReason::Shutdown);
            return;
        }
        let batch = match channel.queue.pop_blocking(IDLE) {
            Popped::Item(batch) => batch,
            Popped::Empty => continue,
            Popped::Closed => return,
        };
        channel.delivery.start(batch.items);
        let start = Instant::now();
        let result = batch
            .parts
            .iter()
            .try_for_each(|part| out.write_all(part))
            .and_then(|()| flush_when_idle(&mut out, channel.queue.items() == 0));
        channel.delivery.attempt(start.elapsed(), result.is_ok());
        // The first reason is the one that helps.
        if result.is_ok() || healthy {
            channel.wrote(&result);
        }
        match result {
            Ok(()) => {
                healthy = true;
                channel.delivery.export(batch.items, 0, batch.bytes as u64);
            }
            Err(error) => {
                channel
                    .delivery
                    .drop_in_flight(batch.items, DropReason::Permanent);
                let is_first = std::mem::replace(&mut healthy, false);
                if is_first {
                    channel.delivery.fail(&error.to_string());
                }
                if is_first && error.kind() != io::ErrorKind::BrokenPipe {
                    let item = channel.kind.noun();
                    warn!(exporter = channel.name, %error, "no {item} can be written");
                }
            }
        }
    }
}

fn flush_when_idle(out: &mut impl Write, idle: bool) -> io::Result<()> {
    if idle { out.flush() } else { Ok(()) }
}
