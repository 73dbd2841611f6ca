//! The end of a run: a signal, a limit reached, a reader gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a process ended by SIGINT, as shells tell it.
pub(super) const INTERRUPTED: i32 = 130;

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

    /// Asks on SIGINT, SIGTERM and SIGHUP. A second one ends the process at once.
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
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                            _ = hangup.recv() => {}
                        }
                        if stop.asked() {
                            std::process::exit(INTERRUPTED);
                        }
                        stop.ask();
                    }
                });
            })?;
        Ok(())
    }
}
