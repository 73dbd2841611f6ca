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

/// The processes of an exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// That of the socket.
    pub(super) process: Option<Arc<Process>>,
    /// That of the other end of a server's socket, where that is a socket of this machine; a
    /// process may call itself.
    pub(super) caller: Option<Arc<Process>>,
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

    /// Looks both ends up, and names them in a recording.
    pub(super) fn named(&mut self, index: u64, exchange: &Exchange, deadline: Instant) -> Named {
        let peers = &exchange.peers;
        let (process, caller) = match self {
            Self::None => (None, None),
            Self::Recorded(owners) => (
                owners.get(index, peers.socket).cloned(),
                owners.caller(index, peers.socket).cloned(),
            ),
            Self::Live(processes, recorder) => {
                let process = processes.of(peers, deadline);
                let caller = processes.caller_of(peers, deadline);
                if let Some(recorder) = recorder {
                    if let Some(process) = &process {
                        recorder.name(index, peers.socket, process);
                    }
                    if let Some(caller) = &caller {
                        recorder.name_caller(index, peers.socket, caller);
                    }
                }
                (process, caller)
            }
        };
        Named { process, caller }
    }
}
