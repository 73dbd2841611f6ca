//! A worker's view of workloads: waits for what is not known yet, and keeps the resource of each workload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::waiting::Waiting;
use crate::exchange::Exchange;
use crate::policy::{ClientOrigin, PolicyContext, ServerPod};
use crate::span::{Resource, SpanBuilder};
use crate::workload::{Identity, Outcomes, Question, Resolution, Workloads};

/// Resources kept: every container of a full node, and those that it had before. Made again when there are more.
const MAX_RESOURCES: usize = 2048;

/// See the module.
#[derive(Debug)]
pub(super) struct Enrichment {
    workloads: Arc<Workloads>,
    waiting: Waiting,
    /// What was known when those that wait were looked at last.
    generation: u64,
    resources: HashMap<u64, Arc<Resource>, foldhash::fast::RandomState>,
}

impl Enrichment {
    pub(super) fn new(workloads: Arc<Workloads>, wait: Duration) -> Self {
        Self {
            generation: workloads.generation(),
            workloads,
            waiting: Waiting::new(wait),
            resources: HashMap::default(),
        }
    }

    pub(super) const fn workloads(&self) -> &Arc<Workloads> {
        &self.workloads
    }

    pub(super) const fn outcomes(&self) -> &Outcomes {
        self.waiting.outcomes()
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
    ) -> Option<(Exchange, Question, Resolution)> {
        let question = Question::of(&exchange);
        let found = self.workloads.resolve(&question);
        self.waiting.admit(exchange, question, found, now)
    }

    /// Those that need not wait any more.
    pub(super) fn release(
        &mut self,
        now: Instant,
        is_end: bool,
    ) -> Vec<(Exchange, Question, Resolution)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let generation = self.workloads.generation();
        let is_news = generation != self.generation;
        self.generation = generation;
        if !is_news && !is_end && !self.waiting.is_due(now) {
            return Vec::new();
        }
        let workloads = &self.workloads;
        let ready = self
            .waiting
            .release(now, is_news, is_end, |question| workloads.resolve(question));
        for (_, _, found) in &ready {
            workloads.give_up(found);
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

/// What the policy may know of an exchange.
pub(super) fn policy_context(found: &Resolution) -> PolicyContext<'_> {
    let pod = found.own().and_then(|own| own.pod());
    PolicyContext {
        out_of_scope: found.left_out().is_some(),
        client: if found.client_is_pod() {
            ClientOrigin::Pod
        } else {
            ClientOrigin::Unknown
        },
        server: pod.map(|_| ServerPod { probes: &[] }),
    }
}
