//! The processes of exchanges: from the running machine or from a recording.

use std::sync::Arc;
use std::time::Instant;

use crate::capture::record::{Owners, ProcessRecorder};
use crate::exchange::Exchange;
use crate::process::{Process, Processes};

/// Where the process of a socket is known from.
pub(super) enum Lookup {
    /// Nowhere: a packet capture.
    None,
    /// The running machine, and the recording that is made of it.
    Live(Processes, Option<ProcessRecorder>),
    /// A recording.
    Recorded(Owners),
}

impl Lookup {
    pub(super) const fn records(&self) -> bool {
        matches!(self, Self::Live(_, Some(_)))
    }

    /// Names the other sockets in a recording, too: those whose exchanges the end that was looked
    /// up has, and those without exchanges so far.
    pub(super) fn name_others(&mut self, deadline: Instant) {
        if let Self::Live(processes, Some(recorder)) = self {
            for (socket, process) in processes.known(deadline) {
                recorder.name_new(socket, &process);
            }
            recorder.flush();
        }
    }

    /// The process at the other end of a server's socket, where that is a socket of this machine.
    pub(super) fn caller_of(&self, exchange: &Exchange, deadline: Instant) -> Option<Arc<Process>> {
        match self {
            Self::Live(processes, _) => processes.caller_of(&exchange.peers, deadline),
            Self::None | Self::Recorded(_) => None,
        }
    }

    pub(super) fn of(
        &mut self,
        index: u64,
        exchange: &Exchange,
        deadline: Instant,
    ) -> Option<Arc<Process>> {
        let peers = &exchange.peers;
        match self {
            Self::None => None,
            Self::Recorded(owners) => owners.get(index, peers.socket).cloned(),
            Self::Live(processes, recorder) => {
                let process = processes.of(peers, deadline)?;
                if let Some(recorder) = recorder {
                    recorder.name(index, peers.socket, &process);
                }
                Some(process)
            }
        }
    }
}
