//! The capture of the service: measured, and turned down and up with the level of service.

use std::sync::Arc;
use std::time::Duration;

use meshtap_common::{Classification, DropReason};
use tracing::warn;

use crate::capture::kernel::Capture;
use crate::capture::{Command, Event, Polled, Source};
use crate::clock::monotonic;
use crate::config::Config;
use crate::engine::Engine;
use crate::flow::Nanos;
use crate::handover::Handover;
use crate::telemetry::guard::Level;
use crate::telemetry::{CaptureView, EngineView, Shared};

/// Payload that the BPF programs copy per direction and message while bodies are omitted: room for
/// the heads that servers take (8 KiB with most), while a longer body stays where it is.
const HEADS_ONLY: u32 = 16 * 1024;

/// How often the kernel's counters are read while nothing comes: that takes a system call for each.
const COUNTERS: Nanos = 1_000_000_000;

/// The capture, with a look at how much it hands over at a time.
pub(super) struct Metered {
    capture: Capture,
    ring_bytes: u64,
    /// Most bytes taken from the ring buffer in one poll since the start.
    peak: u64,
    /// Something came since the kernel's counters were read.
    moved: bool,
    /// When they were.
    read: Nanos,
    level: Level,
    /// What the BPF programs copy per direction and message, and the engine keeps per body, at the
    /// full level of service.
    budget: u32,
    body: usize,
    handover: Arc<Handover>,
}

impl Metered {
    pub(super) fn new(capture: Capture, config: &Config, handover: Arc<Handover>) -> Self {
        Self {
            handover,
            budget: capture.budget(),
            capture,
            ring_bytes: config.capture.ring.0,
            peak: 0,
            moved: true,
            read: 0,
            level: Level::Full,
            body: config.limits.body.bytes(),
        }
    }

    /// Takes up another level of service: bodies that are omitted are neither copied nor kept.
    pub(super) fn follow(&mut self, level: Level, engine: &mut Engine) {
        if level == self.level {
            return;
        }
        self.level = level;
        let (budget, body) = match level {
            Level::Full => (self.budget, self.body),
            Level::Headers | Level::Sampled => (HEADS_ONLY.min(self.budget), 0),
        };
        engine.limit_bodies(body);
        if let Err(error) = self.capture.set_budget(budget) {
            warn!(%error, "the BPF programs copy as much as before");
        }
    }
}

impl Source for Metered {
    fn poll(
        &mut self,
        timeout: Duration,
        handle: &mut dyn FnMut(&Event<'_>),
    ) -> std::io::Result<Polled> {
        let mut taken = 0;
        let polled = self.capture.poll(timeout, &mut |event| {
            taken += (meshtap_common::HEADER_LEN + event.bytes().len()) as u64;
            self.handover.packet(event.time());
            handle(event);
        });
        if taken == 0 {
            self.handover.caught_up(monotonic());
        }
        self.peak = self.peak.max(taken);
        self.moved |= taken > 0;
        polled
    }

    fn command(&mut self, commands: &[Command]) {
        self.capture.command(commands);
    }

    fn time(&self) -> Option<Nanos> {
        self.capture.time()
    }

    fn expired(&mut self, now: Nanos) {
        self.capture.expired(now);
    }
}

/// Publishes the totals of engine and capture.
pub(super) fn publish(shared: &Shared, source: &mut Metered, engine: &Engine, overflow: u64) {
    shared.set_overflow(overflow);
    shared.publish_engine(EngineView {
        ledger: engine.ledger().clone(),
        stats: engine.stats().clone(),
        memory: engine.memory(),
        connections: engine.connections(),
        evictions: engine.evictions().collect(),
    });
    let now = monotonic();
    if !source.moved && now.saturating_sub(source.read) < COUNTERS {
        return;
    }
    (source.moved, source.read) = (false, now);
    let Ok(drops) = source.capture.drops() else {
        return;
    };
    shared.publish_capture(CaptureView {
        drops: DropReason::ALL.map(|reason| (drops.segments(reason), drops.bytes(reason))),
        sockets: (source.capture.classified()).map_or_else(
            |_| Default::default(),
            |classified| Classification::ALL.map(|kind| classified.sockets(kind)),
        ),
        malformed: drops.malformed,
        ring_size: source.ring_bytes,
        ring_peak: source.peak,
        refused: match drops.segments(DropReason::RingShare) {
            0 => Vec::new(),
            _ => source.capture.refused(),
        },
    });
}
