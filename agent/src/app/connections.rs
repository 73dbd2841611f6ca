//! TCP connections, for Istio's metrics of them: what the connection hook says → workloads →
//! metrics. On a thread of its own, which wakes up some times a second.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::capture::kernel::{Connections, Tally};
use crate::clock::{monotonic, nanos};
use crate::export::OwnSockets;
use crate::flow::{Nanos, Side};
use crate::handover::Handover;
use crate::signal::metrics::Connection;
use crate::telemetry::{STALLED, Shared};
use crate::workload::{ConnectionEnds, Workloads};

/// How often the ring buffer is emptied: it has room for 14 000 events.
const TICK: Duration = Duration::from_millis(100);
/// The same, where none came and none waits: the first of a burst come at 28 000 a second at most.
const IDLE: Duration = Duration::from_millis(500);
/// Events that wait until their pods are known. One that finds no room is counted with what is
/// known.
const WAITING: usize = 4096;

/// Counts connections until it is dropped.
pub(super) struct Counter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Counting {
    connections: Connections,
    waiting: VecDeque<Tally>,
    /// How long an event may wait.
    wait: Nanos,
    workloads: Arc<Workloads>,
    own: Arc<dyn OwnSockets>,
    side: Option<Side>,
    handover: Arc<Handover>,
    shared: Arc<Shared>,
}

/// Starts to count.
///
/// # Errors
/// When no thread can be started.
pub(super) fn start(
    connections: Connections,
    (wait, side): (Duration, Option<Side>),
    workloads: &Arc<Workloads>,
    own: &Arc<dyn OwnSockets>,
    handover: &Arc<Handover>,
    shared: &Arc<Shared>,
) -> io::Result<Counter> {
    let (stop, stopped) = channel();
    let counting = Counting {
        connections,
        waiting: VecDeque::new(),
        wait: nanos(wait),
        workloads: workloads.clone(),
        own: own.clone(),
        side,
        handover: handover.clone(),
        shared: shared.clone(),
    };
    let thread = thread::Builder::new()
        .name("connections".into())
        .spawn(move || counting.run(&stopped))?;
    Ok(Counter {
        stop: Some(stop),
        thread: Some(thread),
    })
}

impl Counting {
    fn run(mut self, stopped: &Receiver<()>) {
        let heart = self.shared.heart("connections thread", STALLED);
        let mut tick = TICK;
        loop {
            let is_end = stopped.recv_timeout(tick) != Err(RecvTimeoutError::Timeout);
            heart.beat();
            // What is this agent's is not agreed on yet: events wait in the ring buffer.
            if self.handover.wait(Duration::ZERO) || is_end {
                let is_idle = self.count(monotonic(), is_end);
                tick = if is_idle { IDLE } else { TICK };
            }
            if let Ok(dropped) = self.connections.dropped() {
                self.shared.set_connections_dropped(dropped);
            }
            if is_end {
                return;
            }
        }
    }

    /// Counts those that waited, then those that are new. True: there were none.
    fn count(&mut self, now: Nanos, is_end: bool) -> bool {
        let Self {
            connections,
            waiting,
            ..
        } = self;
        let mut events = std::mem::take(waiting);
        connections.take(|tally| events.push_back(tally));
        let is_idle = events.is_empty();
        let mut room = WAITING;
        for tally in events {
            let Some(ends) = self.ends(&tally) else {
                continue;
            };
            let is_due = is_end || now.saturating_sub(tally.time) >= self.wait;
            if ends.is_awaited() && !is_due && room > 0 {
                room -= 1;
                self.waiting.push_back(tally);
            } else {
                self.add(&tally, &ends);
            }
        }
        is_idle
    }

    /// What is known of its ends; `None` for one that is not counted.
    fn ends(&self, tally: &Tally) -> Option<ConnectionEnds> {
        let (local, remote) = (tally.local.ip(), tally.remote.ip());
        let client = match tally.side {
            Side::Client => &tally.local,
            Side::Server => &tally.remote,
        };
        // Within a pod, and the agent's own: no mesh sees those.
        let is_inside = local.is_loopback() || remote.is_loopback() || local == remote;
        let is_other_side = self.side.is_some_and(|side| side != tally.side);
        let is_handed_over = !self.handover.is_own(tally.time);
        if is_inside || is_other_side || is_handed_over || self.own.is_own(client) {
            return None;
        }
        let ends = self.workloads.connection((local, remote), tally.time);
        ends.excluded().is_none().then_some(ends)
    }

    fn add(&self, tally: &Tally, ends: &ConnectionEnds) {
        let Some(metrics) = self.shared.metrics() else {
            return;
        };
        let connection = match (tally.closed, tally.side) {
            (None, _) => Connection {
                opened: true,
                ..Connection::default()
            },
            // Istio's names are the server's: sent with responses, received with requests.
            (Some((sent, received)), Side::Server) | (Some((received, sent)), Side::Client) => {
                Connection {
                    sent,
                    received,
                    closed: true,
                    ..Connection::default()
                }
            }
        };
        let subject = self.workloads.connection_subject(ends, tally.side);
        let rules = self.workloads.connection_rules(ends);
        let adjusted = rules.and_then(|rules| rules.side(tally.side).adjusted_connection());
        metrics.connection(&connection, &subject, adjusted.as_deref(), tally.time);
    }
}
