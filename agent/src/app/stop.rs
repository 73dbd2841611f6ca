//! The end of a run: a signal, a limit reached, a reader gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::privileges::{Use, drop_capabilities};
use super::signals::{Received, Signals, outlives_terminal};
use super::{say, screen};

/// Exit code of a process that could not end in good order in time.
pub(super) const OVERDUE: i32 = 1;
/// How long a command may take to end after the first signal without any progress: delivery of
/// spans, and a while. What is left then is bounded by the ring buffer and the queue, so an end
/// that goes on is near, also on a machine that is too slow.
const DEADLINE: Duration = Duration::from_secs(20);

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Asks the data thread to end in good order.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// There is something to end in good order.
    working: AtomicBool,
    asked: AtomicBool,
    /// By a signal.
    signalled: AtomicBool,
    /// Steps of the end.
    steps: AtomicU64,
}

impl Stop {
    pub(super) fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// From here on there is something to end in good order.
    pub(super) fn working(&self) {
        self.0.working.store(true, Ordering::Relaxed);
    }

    /// Whether this signal ends the process at once: nothing is captured yet, or the end in good
    /// order was asked for already. Not so a hangup: when a terminal goes away, the kernel says so,
    /// and the shell too, and nobody is in a hurry.
    pub(super) fn is_immediate(&self, received: Received) -> bool {
        // The first signal ends a screen, too, whose capture may have ended.
        let is_second = || self.asked() && (self.is_signalled() || !screen::is_taken());
        let is_working = self.0.working.load(Ordering::Relaxed);
        !is_working || (received != Received::Hangup && is_second())
    }

    pub(super) fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// A signal asked for it.
    pub(super) fn is_signalled(&self) -> bool {
        self.0.signalled.load(Ordering::Relaxed)
    }

    /// Something of what is left at the end was done: the deadline begins anew.
    pub(super) fn goes_on(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    /// Asks on SIGINT, SIGTERM and SIGHUP. Until work starts, a signal ends the process at once,
    /// and so does a second one, and the deadline when nothing goes on. SIGHUP does nothing where
    /// it was ignored already, as under `nohup`.
    pub(super) fn on_signals(&self) -> io::Result<()> {
        let stays = outlives_terminal();
        let (runtime, mut signals) = Signals::register()?;
        let stop = self.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                // Started before the capture, with all that this takes. It needs nothing of it, and
                // is well without.
                let _ = drop_capabilities(Use::Capture);
                runtime.block_on(async {
                    let mut deadline = None;
                    let mut steps = 0;
                    loop {
                        let received = tokio::select! {
                            received = signals.next() => received,
                            () = until(deadline) => {
                                let before = std::mem::replace(&mut steps, stop.steps());
                                if steps != before {
                                    deadline = Some(Instant::now() + DEADLINE);
                                    continue;
                                }
                                say("meshtap: shutdown takes too long: what is left is dropped\n");
                                screen::leave();
                                std::process::exit(OVERDUE);
                            }
                        };
                        if stays && received == Received::Hangup {
                            continue;
                        }
                        if stop.is_immediate(received) {
                            screen::leave();
                            std::process::exit(received.exit_code());
                        }
                        stop.0.signalled.store(true, Ordering::Relaxed);
                        stop.ask();
                        steps = stop.steps();
                        deadline = Some(Instant::now() + DEADLINE);
                    }
                });
            })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_is_ended_in_good_order() {
        let stop = Stop::default();
        assert!(stop.is_immediate(Received::Terminate) && stop.is_immediate(Received::Hangup));
        stop.working();
        assert!(!stop.is_immediate(Received::Terminate));
        stop.ask();
        assert!(stop.is_immediate(Received::Terminate) && stop.asked());
        // One that the kernel and the shell both send.
        assert!(!stop.is_immediate(Received::Hangup));
    }
}
