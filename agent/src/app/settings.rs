//! What the configuration of the service says to the components that are not configured by a
//! section of their own.

use std::time::Duration;

use meshtap_common::{CaptureConfig, MIN_STREAM_BUDGET, SIDE_BOTH, SIDE_CLIENT, SIDE_SERVER};

use super::control;
use crate::capture::kernel::{CaptureOptions, TlsLibraries, Wanted, ZtunnelMode};
use crate::clock::nanos;
use crate::config::{Config, SideChoice};
use crate::engine::Limits;
use crate::flow::Side;
use crate::telemetry::STALLED;
use crate::workload::ZtunnelChoice;
/// Longest wait for a response of a collector where nothing is configured (OpenTelemetry's
/// default).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the agent may take besides delivery: the queue's rest, the ledger.
const GRACE: Duration = Duration::from_secs(5);

/// What the control thread waits for at most.
pub(super) fn control_limits(config: &Config) -> control::Limits {
    let rests = config.export.otlp.iter().map(|otlp| {
        let timeout = otlp.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0);
        timeout.saturating_add(otlp.retry.max.0)
    });
    control::Limits {
        exporter: STALLED + rests.max().unwrap_or_default(),
        shutdown: config.export.shutdown_timeout.0 + GRACE,
    }
}

/// The bits of a mark that count: those that Istio uses.
const MARK_MASK: u32 = 0xfff;

pub(super) fn options(config: &Config) -> CaptureOptions {
    let section = &config.capture;
    let defaults = CaptureConfig::default();
    let ring_bytes = u32::try_from(section.ring.0).unwrap_or(u32::MAX);
    let body = u32::try_from(config.limits.body.0).unwrap_or(u32::MAX);
    let mut kernel = CaptureConfig {
        ignored_mark: section.ignored_mark.unwrap_or(0),
        mark_mask: section.ignored_mark.map_or(0, |_| MARK_MASK),
        side: match section.side {
            SideChoice::Both => SIDE_BOTH,
            SideChoice::Server => SIDE_SERVER,
            SideChoice::Client => SIDE_CLIENT,
        },
        // A whole body of the limit besides a head, and never less than the default.
        budget: body.saturating_add(defaults.budget),
        stream_budget: body.max(MIN_STREAM_BUDGET),
        wakeup_bytes: ring_bytes / 8,
        overrun_bytes: ring_bytes / 2,
        ..defaults
    };
    for (slot, port) in kernel.ports.iter_mut().zip(&section.ports) {
        *slot = *port;
        kernel.port_count += 1;
    }
    CaptureOptions {
        cgroup: section.cgroup.clone(),
        config: kernel,
        ring_bytes,
        wanted: Wanted {
            connections: config.metrics.enabled,
        },
        tls: libraries(config),
    }
}

/// Which TLS libraries are attached to.
pub(super) fn libraries(config: &Config) -> TlsLibraries {
    let section = &config.capture.tls;
    TlsLibraries {
        ssl: section.enabled,
        rustls: section.ztunnel.is_on(),
        when_needed: false,
    }
}

/// What is read of ztunnel, and of whose exchanges.
pub(super) fn ztunnel(config: &Config) -> ZtunnelChoice {
    let section = &config.capture.tls;
    match section.ztunnel {
        ZtunnelMode::Off => ZtunnelChoice::default(),
        ZtunnelMode::Identity => ZtunnelChoice::identity(),
        ZtunnelMode::Flows => ZtunnelChoice::flows(&section.flow_runtime_classes),
    }
}

pub(super) fn limits(config: &Config) -> Limits {
    let section = &config.limits;
    Limits {
        body: section.body.bytes(),
        head: section.head.bytes(),
        connections: section.connections,
        memory: section.memory.bytes(),
        exchange_age: nanos(section.exchange_age.0),
        idle: nanos(section.idle.0),
        // Two workloads that talk to each other have an exchange each.
        fold_peers: false,
        joins: config.capture.tls.ztunnel.is_on(),
        flows: config.capture.tls.ztunnel == ZtunnelMode::Flows,
        ..Limits::default()
    }
}

/// The end of connections that is asked for; `None`: both.
pub(super) const fn side(config: &Config) -> Option<Side> {
    match config.capture.side {
        SideChoice::Both => None,
        SideChoice::Server => Some(Side::Server),
        SideChoice::Client => Some(Side::Client),
    }
}
