//! A worker's view of workloads: waits for what is not known yet, and keeps the resource of each
//! workload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::waiting::Waiting;
use crate::exchange::Exchange;
use crate::flow::{Peers, Process, Side};
use crate::handover::Handover;
use crate::policy::{ClientOrigin, PolicyContext};
use crate::process::Processes;
use crate::signal::span::{Resource, SpanBuilder};
use crate::workload::{Attribution, Caller, Identity, Lookup, Outcomes, Reason, Workloads};

/// Resources kept: every container of a full node, and those that it had before. Made again when
/// there are more.
const MAX_RESOURCES: usize = 2048;

/// See the module.
#[derive(Debug)]
pub(super) struct Enrichment {
    workloads: Arc<Workloads>,
    /// Where spans have a place for the process of a socket.
    processes: Option<Arc<Processes>>,
    waiting: Waiting,
    handover: Arc<Handover>,
    /// The end of connections that is asked for; `None`: both.
    side: Option<Side>,
    /// What was known when those that wait were looked at last.
    generation: u64,
    resources: HashMap<u64, Arc<Resource>, crate::hash::Keyed>,
    /// Exchanges that are not emitted; index by `Reason as usize`.
    excluded: [u64; Reason::ALL.len()],
}

impl Enrichment {
    pub(super) fn new(
        workloads: Arc<Workloads>,
        processes: Option<Arc<Processes>>,
        wait: Duration,
        handover: Arc<Handover>,
        side: Option<Side>,
    ) -> Self {
        Self {
            generation: workloads.generation(),
            workloads,
            processes,
            waiting: Waiting::new(wait),
            handover,
            side,
            resources: HashMap::default(),
            excluded: [0; Reason::ALL.len()],
        }
    }

    /// The process that has the socket, where it is known by now: nobody waits for a name.
    pub(super) fn process(&self, peers: &Peers, now: Instant) -> Option<Arc<Process>> {
        self.processes.as_ref()?.of(peers, now)
    }

    pub(super) const fn workloads(&self) -> &Arc<Workloads> {
        &self.workloads
    }

    pub(super) const fn outcomes(&self) -> Outcomes {
        Outcomes {
            excluded: self.excluded,
            ..*self.waiting.outcomes()
        }
    }

    /// Which exchanges are this agent's.
    pub(super) fn handover(&self) -> &Handover {
        &self.handover
    }

    /// What the policy may know of an exchange. One that is not to be emitted is counted by its
    /// reason.
    pub(super) fn context(&mut self, found: &Attribution, exchange: &Exchange) -> PolicyContext {
        let is_handed_over = !self.handover.is_own(exchange.request.began);
        let is_other_side = self.side.is_some_and(|side| side != exchange.peers.side);
        let reason = (found.excluded(exchange)).or(is_other_side.then_some(Reason::Side));
        if !is_handed_over
            && let Some(count) = reason.and_then(|reason| self.excluded.get_mut(reason as usize))
        {
            *count += 1;
        }
        PolicyContext {
            is_handed_over,
            out_of_scope: reason.is_some(),
            client: match found.caller() {
                // The kubelet probes pods, and nothing else of the node.
                Caller::Node if found.is_of_pod() => ClientOrigin::Node,
                Caller::Pod | Caller::SamePod => ClientOrigin::Pod,
                Caller::Agent => ClientOrigin::Agent,
                Caller::Node | Caller::Unknown => ClientOrigin::Unknown,
            },
            is_declared_probe: found.is_declared_probe(exchange),
        }
    }

    /// Nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an exchange, and gives it back when it need not wait.
    pub(super) fn admit(
        &mut self,
        exchange: Exchange,
        now: Instant,
    ) -> Option<(Exchange, Lookup, Attribution)> {
        let lookup = self.workloads.lookup(&exchange);
        let found = self.workloads.attribute(&lookup);
        self.waiting.admit(exchange, lookup, found, now)
    }

    /// Those that need not wait any more.
    pub(super) fn release(
        &mut self,
        now: Instant,
        is_end: bool,
    ) -> Vec<(Exchange, Lookup, Attribution)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let generation = self.workloads.generation();
        let is_changed = generation != self.generation;
        self.generation = generation;
        if !is_changed && !is_end && !self.waiting.is_due(now) {
            return Vec::new();
        }
        let workloads = &self.workloads;
        let ready = self.waiting.release(now, is_changed, is_end, |lookup| {
            workloads.attribute(lookup)
        });
        for (_, _, found) in &ready {
            workloads.stop_waiting(found);
        }
        ready
    }

    /// The resource of a workload in a profile.
    pub(super) fn resource(&mut self, own: &Identity, builder: &SpanBuilder) -> Arc<Resource> {
        if let Some(resource) = self.resources.get(&own.serial()) {
            return resource.clone();
        }
        if self.resources.len() >= MAX_RESOURCES {
            self.resources.clear();
        }
        let resource = builder.resource(own.resource());
        self.resources.insert(own.serial(), resource.clone());
        resource
    }

    /// Resources are to be made anew.
    pub(super) fn forget_resources(&mut self) {
        self.resources.clear();
    }
}
