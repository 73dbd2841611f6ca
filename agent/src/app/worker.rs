//! A worker of the service: exchanges → workloads → policy → metrics, spans → exporters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::enrich::Enrichment;
use super::queue::{Popped, Queue};
use crate::clock::{Clocks, WallClock};
use crate::config::Config;
use crate::exchange::Exchange;
use crate::export::{Handles, OwnSockets};
use crate::flow::{Peers, Process};
use crate::policy::{Admitted, ClientOrigin};
use crate::redact::{Bodies, Gate, GateError, Sanitized};
use crate::signal::expression::Evaluator;
use crate::signal::metrics::Exemplar;
use crate::signal::route::Router;
use crate::signal::span::{Origin, SpanBuilder};
use crate::signal::telemetry_api::SideRules;
use crate::telemetry::guard::Level;
use crate::telemetry::{Heart, STALLED, Shared};
use crate::workload::Attribution;

/// How often a worker looks at the age of its batches while it fills some.
const TICK: Duration = Duration::from_millis(50);
/// How often one wakes up that has nothing to do. A new configuration and level are taken up before
/// the next exchange in any case.
const IDLE: Duration = Duration::from_secs(1);
/// How often it looks whether something became known that exchanges wait for.
const LOOK: Duration = Duration::from_millis(10);
/// How often the offset between the clocks is read again: they drift apart when NTP slews one of
/// them.
const CLOCK: Duration = Duration::from_secs(10);

/// What can change while the agent runs.
#[derive(Clone, Debug)]
pub(super) struct RuntimeConfig {
    pub(super) policy: crate::policy::Config,
    pub(super) redaction: crate::redact::Config,
    pub(super) span: crate::signal::span::Settings,
    /// Part of the traces that is kept at the last level of service.
    pub(super) reduced_ratio: f64,
}

impl RuntimeConfig {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            policy: config.policy.clone(),
            redaction: config.redaction.clone(),
            span: config.span.clone(),
            reduced_ratio: config.budget.sampling_ratio,
        }
    }
}

/// The runtime configuration of all workers. A worker takes a new one up between two batches, so no
/// exchange sees half of it.
#[derive(Debug)]
pub(super) struct RuntimeConfigs {
    generation: AtomicU64,
    current: Mutex<Arc<RuntimeConfig>>,
}

impl RuntimeConfigs {
    pub(super) fn new(config: RuntimeConfig) -> Self {
        Self {
            generation: AtomicU64::new(1),
            current: Mutex::new(Arc::new(config)),
        }
    }

    /// Puts another one in force.
    pub(super) fn replace(&self, config: RuntimeConfig) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The one in force.
    pub(super) fn current(&self) -> Arc<RuntimeConfig> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A worker.
pub(super) struct Worker {
    index: usize,
    gate: Gate,
    builder: SpanBuilder,
    handles: Handles,
    clocks: Clocks,
    clock_read: Instant,
    configs: Arc<RuntimeConfigs>,
    generation: u64,
    level: Level,
    shared: Arc<Shared>,
    enrichment: Enrichment,
    own: Arc<dyn OwnSockets>,
    router: Option<Router>,
    evaluator: Evaluator,
    heart: Heart,
}

impl Worker {
    /// # Errors
    /// When its policy cannot be used.
    pub(super) fn new(
        index: usize,
        configs: Arc<RuntimeConfigs>,
        gate: Gate,
        handles: Handles,
        shared: Arc<Shared>,
        enrichment: Enrichment,
        own: Arc<dyn OwnSockets>,
    ) -> Self {
        let config = configs.current();
        Self {
            index,
            gate,
            builder: SpanBuilder::new(config.span.clone()),
            handles,
            clocks: Clocks::now(),
            clock_read: Instant::now(),
            generation: configs.generation.load(Ordering::Acquire),
            configs,
            level: Level::Full,
            heart: shared.heart(&format!("worker-{index}"), STALLED),
            shared,
            enrichment,
            own,
            router: None,
            evaluator: Evaluator::of_any(),
        }
    }

    /// With what names routes.
    pub(super) fn routing(mut self, router: Option<Router>) -> Self {
        self.router = router;
        self
    }

    /// Runs until the queue is closed and empty, then closes its batches.
    pub(super) fn run(mut self, queue: &Queue) {
        // What is this agent's is not agreed on yet: exchanges wait in the queue, for a second or
        // so.
        while !self.enrichment.handover().wait(TICK) {
            self.heart.beat();
        }
        loop {
            let tick = match (self.enrichment.is_idle(), self.handles.are_filling()) {
                (true, false) => IDLE,
                (true, true) => TICK,
                (false, _) => LOOK,
            };
            let popped = queue.pop(tick);
            self.heart.beat();
            let now = Instant::now();
            if now.saturating_duration_since(self.clock_read) >= CLOCK {
                self.clocks.refresh();
                self.clock_read = now;
            }
            self.follow();
            let is_end = matches!(popped, Popped::Closed);
            let released = self.enrichment.release(now, is_end);
            let is_update = !released.is_empty();
            for (exchange, _, found) in released {
                self.emit(exchange, &found, now);
            }
            match popped {
                Popped::Batch(batch) => {
                    for exchange in batch.exchanges {
                        if let Some((exchange, _, found)) = self.enrichment.admit(exchange, now) {
                            self.emit(exchange, &found, now);
                        }
                    }
                    self.publish();
                }
                Popped::Nothing if is_update => self.publish(),
                Popped::Nothing => {}
                Popped::Closed => break,
            }
            self.handles.expire(now);
        }
        self.publish();
        self.handles.flush();
    }

    fn publish(&self) {
        let Gate { policy, redactor } = &self.gate;
        self.shared
            .publish_policy(self.index, policy.counts(), redactor.counts());
        self.shared
            .publish_outcomes(self.index, &self.enrichment.outcomes());
    }

    /// Counts an exchange that is in scope; makes a span of one that is sampled, and hands both on.
    fn emit(&mut self, mut exchange: Exchange, found: &Attribution, now: Instant) {
        if found.is_proxy_trusted() {
            Peers::trust_claim(&mut exchange.peers);
        }
        if let Some(secured) = exchange.peers.secured.as_deref()
            && secured.by != exchange.peers.cgroup
            && !self.enrichment.workloads().believes(secured.by)
        {
            Arc::make_mut(&mut exchange.peers).secured = None;
        }
        let side = exchange.peers.side;
        let process = self.enrichment.process(&exchange.peers, now);
        let clock = self.clocks.at(exchange.request.began);
        let mut context = self.enrichment.context(found, &exchange);
        if self.own.is_own(&exchange.peers.client) {
            context.client = ClientOrigin::Agent;
        }
        let Ok(admitted) = self.gate.policy.admit(exchange, &context) else {
            return;
        };
        let rules = self.enrichment.workloads().rules(found);
        let rules = rules.as_deref().map(|rules| rules.side(side));
        self.count(&admitted, found, rules, &clock);
        let ratio = rules.and_then(|rules| rules.ratio);
        let Ok(sampled) = self.gate.policy.sample_at(admitted, ratio) else {
            return;
        };
        if self.handles.is_empty() {
            return;
        }
        let sanitized = self.gate.redactor.redact(sampled, &clock);
        self.export(&sanitized, found, rules, process.as_deref(), now);
    }

    fn takes_spans(&self, rules: Option<&SideRules>) -> bool {
        self.handles.take_spans() && rules.is_none_or(|rules| !rules.is_span_off)
    }

    /// Counts it in the metrics.
    fn count(
        &mut self,
        admitted: &Admitted,
        found: &Attribution,
        rules: Option<&SideRules>,
        clock: &WallClock,
    ) {
        let Some(metrics) = self.shared.metrics() else {
            return;
        };
        let exchange = admitted.exchange();
        let subject = (self.enrichment.workloads()).subject(found, &exchange.peers);
        let ratio = rules.and_then(|rules| rules.ratio);
        let has_span = self.takes_spans(rules) && self.gate.policy.keeps(admitted, ratio);
        let exemplar = has_span.then(|| Exemplar {
            trace: admitted.trace().trace,
            span: admitted.trace().span,
            unix_nanos: clock.unix_nanos(exchange.ended),
        });
        let namespace = subject
            .destination
            .map_or("", |end| &*end.value().namespace);
        let route = self
            .router
            .as_mut()
            .map(|router| router.route(exchange, namespace));
        let adjusted = rules.and_then(|rules| rules.adjusted(exchange, &self.evaluator));
        let (route, adjusted) = (route.as_ref(), adjusted.as_deref());
        metrics.adjusted_exchange(exchange, &subject, route, exemplar, adjusted);
    }

    /// Hands it to the exporters.
    fn export(
        &mut self,
        sanitized: &Sanitized,
        found: &Attribution,
        rules: Option<&SideRules>,
        process: Option<&Process>,
        now: Instant,
    ) {
        let own = found.own().filter(|own| !own.attributes().is_empty());
        let resource = own.map(|own| self.enrichment.resource(own, &self.builder));
        let workloads = self.enrichment.workloads();
        if self.takes_spans(rules) {
            let tags = rules
                .map(|rules| rules.tags_of(sanitized))
                .unwrap_or_default();
            let origin = Origin {
                attributes: own.map_or(&[], |own| own.attributes()),
                resource: resource.as_ref(),
                ends: workloads.ends(found, sanitized.exchange().peers.side),
                tags: &tags,
                process,
            };
            let span = self.builder.build(sanitized, &origin);
            self.handles.span(&span, now);
        } else {
            self.handles.omit_span();
        }
        let is_logged = rules.is_none_or(|rules| rules.is_logged(sanitized, &self.evaluator));
        let made_by = resource.as_ref().unwrap_or(self.builder.base());
        self.handles.exchange(sanitized, made_by, is_logged, now);
    }

    /// Takes up a new runtime configuration and a new level of service.
    fn follow(&mut self) {
        let generation = self.configs.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            let config = self.configs.current();
            if let Err(error) = self.adopt(&config) {
                // It was checked before it was put in force.
                tracing::error!(%error, "the policy stays as it was");
            }
        }
        let level = self.shared.level();
        if level != self.level {
            self.level = level;
            let ratio = match level {
                Level::Full | Level::Headers => 1.0,
                Level::Sampled => self.configs.current().reduced_ratio,
            };
            self.gate.policy.reduce(ratio);
            self.gate.redactor.set_bodies(match level {
                Level::Full => Bodies::Kept,
                Level::Headers | Level::Sampled => Bodies::Omitted,
            });
        }
    }

    fn adopt(&mut self, config: &RuntimeConfig) -> Result<(), GateError> {
        // Both were checked before they were put in force.
        self.gate.policy.reload(&config.policy)?;
        self.gate.redactor.reload(&config.redaction)?;
        self.builder = SpanBuilder::new(config.span.clone());
        self.enrichment.forget_resources();
        Ok(())
    }
}
