//! The thread that takes over from the agent that runs on the node, and hands over to the next one.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::{info, warn};

use super::Failure;
use super::stop::Stop;
use crate::handover::{
    Awaited, Caller, DRAIN, Handover, HandoverSection, Listener, Phase, Predecessor, SETTLE,
    Successor,
};
use crate::telemetry;

/// Longest search for the moment of a hand-over: it takes a tenth of a second, and the data thread
/// may be busy.
const CUT: Duration = Duration::from_secs(1);
/// How often an agent that stands by looks whether the other one lives.
const LOOK: Duration = Duration::from_secs(1);

/// What an agent finds when it starts.
pub(super) struct Takeover {
    folder: Option<PathBuf>,
    predecessor: Option<Predecessor>,
    pub(super) handover: Arc<Handover>,
}

impl Takeover {
    /// Looks for the agent that runs. Where that cannot be known, this one is alone.
    pub(super) fn new(section: &HandoverSection) -> Self {
        let mut folder = section.folder.clone();
        let found = folder.as_deref().map_or(Ok(None), Predecessor::find);
        let predecessor = found.unwrap_or_else(|error| {
            warn!(%error, "no hand-over: an update will miss requests, or emit some twice");
            folder = None;
            None
        });
        let phase = match predecessor {
            Some(_) => Phase::Joining,
            None => Phase::Active,
        };
        Self {
            folder,
            predecessor,
            handover: Handover::new(phase),
        }
    }

    /// Listens for those who ask for metrics and health. Where another agent runs, that listens
    /// there until it ends.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub(super) fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> Result<Option<telemetry::Listener>, Failure> {
        let Some(address) = address else {
            return Ok(None);
        };
        let bound = match self.predecessor {
            Some(_) => telemetry::Listener::bind_after_another(address),
            None => telemetry::Listener::bind(address),
        };
        let listener = bound.map_err(|error| {
            Failure::Setting(format!(
                "telemetry.listen: {address} cannot be listened on: {error}"
            ))
        })?;
        match listener.waits() {
            false => info!(address = %listener.address(), "serving metrics and health"),
            true => info!(%address, "another agent serves metrics and health until it ends"),
        }
        Ok(Some(listener))
    }

    /// Starts the thread. `ready` is called when the agent emits; `stop` is asked when it is to
    /// emit no more.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(
        self,
        stop: Stop,
        ready: impl FnOnce() + Send + 'static,
    ) -> io::Result<Standby> {
        let (sender, successor) = channel();
        let standby = Standby {
            handover: self.handover.clone(),
            successor,
        };
        match self.folder.clone() {
            None => ready(),
            Some(folder) => {
                thread::Builder::new()
                    .name("handover".into())
                    .spawn(move || self.run(&folder, &stop, ready, &sender))?;
            }
        }
        Ok(standby)
    }

    fn run(self, folder: &Path, stop: &Stop, ready: impl FnOnce(), sender: &Sender<Successor>) {
        // Its connection shows the other agent that this one lives.
        let _taken = self.predecessor.as_ref().and_then(|predecessor| {
            thread::sleep(SETTLE);
            let taken = predecessor.take_over();
            self.handover
                .begin(taken.as_ref().map_or(0, |taken| taken.from));
            match &taken {
                Ok(_) => info!("took over from the agent that ran"),
                Err(error) => warn!(
                    %error,
                    "the agent that ran did not hand over: requests may be emitted twice"
                ),
            }
            taken.ok()
        });
        ready();
        match Listener::bind(folder) {
            Ok(listener) => {
                self.handover.open();
                self.serve(&listener, stop, sender);
            }
            Err(error) => warn!(%error, "the next agent cannot take over from this one"),
        }
        loop {
            thread::park();
        }
    }

    /// Until another agent has taken over.
    fn serve(&self, listener: &Listener, stop: &Stop, sender: &Sender<Successor>) {
        loop {
            let successor = match listener.accept() {
                Ok(Caller::TakesOver(successor)) => successor,
                Ok(Caller::Starts(other)) => {
                    info!("another agent starts");
                    self.handover.starts(other);
                    continue;
                }
                Err(error) => {
                    warn!(%error, "the next agent is not waited for any more");
                    return;
                }
            };
            let Some(moment) = self.handover.cut(CUT) else {
                warn!("another agent asks to take over, and the data thread does not respond");
                continue;
            };
            if let Err(error) = successor.hand_over(moment) {
                warn!(%error, "the agent that asked to take over is gone");
                self.handover.go_on();
                continue;
            }
            info!("another agent takes over");
            // Nobody is left that cares when the main thread has ended.
            let _ = sender.send(successor);
            thread::sleep(DRAIN);
            stop.ask();
            return;
        }
    }
}

/// What an agent does at its end.
pub(super) struct Standby {
    handover: Arc<Handover>,
    successor: Receiver<Successor>,
}

impl Standby {
    /// Says to whoever asks for health that this agent does not capture any more, where another
    /// does.
    pub(super) fn report(&self, shared: &telemetry::Shared) {
        if self.handover.phase() == Phase::Draining {
            shared.stand_by();
        }
    }

    /// Waits to be ended, when another agent has taken over: whoever started this one would start
    /// it again.
    ///
    /// # Errors
    /// When the other agent has ended and nobody asked this one to: whoever keeps it running is to
    /// start it again, which a good end would not bring about (`Restart=on-failure`).
    pub(super) fn wait(&self) -> Result<(), Failure> {
        let Ok(successor) = self.successor.try_recv() else {
            return Ok(());
        };
        info!("standing by: another agent captures");
        match self.handover.stand_by(LOOK, || successor.is_gone()) {
            Awaited::End => Ok(()),
            Awaited::Other => Err(Failure::Alone),
        }
    }
}
