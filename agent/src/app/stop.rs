//! The end of a run: a signal, a limit reached, a reader gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::privileges::{Use, drop_capabilities};
use super::say;

/// Exit code of a process ended by SIGINT, as shells report it.
pub(super) const INTERRUPTED: i32 = 130;

/// Exit code of a process that could not end in good order in time.
pub(super) const OVERDUE: i32 = 1;
/// How long a command may take to end after the first signal: delivery of spans, and a while.
const DEADLINE: Duration = Duration::from_secs(20);

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Asks the data thread to end in good order.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks on SIGINT, SIGTERM and SIGHUP. A second one ends the process at once, and so does the
    /// deadline.
    pub(super) fn on_signals(&self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        // Registered before this returns: no signal is missed.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        drop(entered);
        let stop = self.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                // Started before the capture, with all that this takes. It needs nothing of it, and
                // is well without.
                let _ = drop_capabilities(Use::Capture);
                runtime.block_on(async {
                    let mut deadline = None;
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                            _ = hangup.recv() => {}
                            () = until(deadline) => {
                                say("meshtap: the end takes too long: what is left is dropped\n");
                                std::process::exit(OVERDUE);
                            }
                        }
                        if stop.asked() {
                            std::process::exit(INTERRUPTED);
                        }
                        stop.ask();
                        deadline = Some(Instant::now() + DEADLINE);
                    }
                });
            })?;
        Ok(())
    }
}
