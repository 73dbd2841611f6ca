//! Whether the agent moves: every thread that does its work gives a sign of life, and every
//! exporter with something to deliver gets on with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::state::{Hook, HookState, Reading};
use super::workload;
use crate::clock::{monotonic, nanos};
use crate::export::{Report, Stopped};
use crate::flow::Nanos;

/// Threads beat at least every 100 ms; one that has not for this long is stuck.
pub const STALLED: Duration = Duration::from_secs(30);

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const PANICKED: u8 = 2;

/// The sign of life of a thread, as others see it.
#[derive(Debug)]
pub(super) struct Pulse {
    name: String,
    limit: Nanos,
    last: AtomicU64,
    state: AtomicU8,
}

impl Pulse {
    pub(super) fn part(&self, now: Nanos) -> Option<Part> {
        let silent = now.saturating_sub(self.last.load(Ordering::Relaxed));
        let state = match self.state.load(Ordering::Relaxed) {
            ENDED => return None,
            PANICKED => PartState::Panicked,
            _ if silent >= self.limit => PartState::Silent(Duration::from_nanos(silent)),
            _ => PartState::Moving,
        };
        Some(Part {
            name: self.name.clone(),
            state,
        })
    }
}

/// A thread's own end of it. When this is dropped the thread has ended, well or not.
#[derive(Debug)]
pub struct Heart(Arc<Pulse>);

impl Heart {
    pub(super) fn new(name: &str, limit: Duration) -> (Self, Arc<Pulse>) {
        let pulse = Arc::new(Pulse {
            name: name.to_owned(),
            limit: nanos(limit),
            last: AtomicU64::new(monotonic()),
            state: AtomicU8::new(RUNNING),
        });
        (Self(Arc::clone(&pulse)), pulse)
    }

    /// The thread moves.
    pub fn beat(&self) {
        self.0.last.store(monotonic(), Ordering::Relaxed);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        let state = match std::thread::panicking() {
            true => PANICKED,
            false => ENDED,
        };
        self.0.state.store(state, Ordering::Relaxed);
    }
}

/// How a part of the agent does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Whether it moves.
    pub state: PartState,
}

/// Whether a part of the agent moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// It does.
    Moving,
    /// It has not for so long.
    Silent(Duration),
    /// Its thread has ended with a panic.
    Panicked,
}

impl Part {
    /// It has work to do and does not move.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.state != PartState::Moving
    }

    fn sentence(&self) -> String {
        match self.state {
            PartState::Moving => format!("{} moves", self.name),
            PartState::Silent(time) => {
                format!("{} has not moved for {} s", self.name, time.as_secs())
            }
            PartState::Panicked => format!("{} has ended with a panic", self.name),
        }
    }
}

/// Watches exporters: one that holds items and has neither tried, delivered nor dropped any for
/// long is stuck. One whose collector is away tries.
#[derive(Debug, Default)]
pub struct ExporterWatch(Vec<(String, [u64; 4], Nanos)>);

impl ExporterWatch {
    /// Takes a reading; how each exporter does. `limit`: the longest that one may rest between two
    /// attempts, and a while.
    pub fn observe(&mut self, reports: &[Report], limit: Duration, now: Nanos) -> Vec<Part> {
        reports
            .iter()
            .map(|report| {
                let totals = &report.totals;
                let counts = [
                    totals.exported,
                    totals.rejected,
                    totals.attempts,
                    totals.dropped_total(),
                ];
                let silent = self.silent(&report.name, counts, totals.queued() > 0, now);
                let state = match silent >= nanos(limit) {
                    true => PartState::Silent(Duration::from_nanos(silent)),
                    false => PartState::Moving,
                };
                Part {
                    name: format!("exporter {}", report.name),
                    state,
                }
            })
            .collect()
    }

    fn silent(&mut self, name: &str, counts: [u64; 4], has_work: bool, now: Nanos) -> Nanos {
        let known = self.0.iter_mut().find(|(other, ..)| other == name);
        let Some((_, last, since)) = known else {
            self.0.push((name.to_owned(), counts, now));
            return 0;
        };
        if !has_work || *last != counts {
            (*last, *since) = (counts, now);
        }
        now.saturating_sub(*since)
    }
}

/// For `/healthz`: what is stuck, a line each; nothing when all moves.
pub(super) fn complaints(reading: &Reading) -> Option<String> {
    if reading.parts.is_empty() {
        return Some("the data thread has not started\n".to_owned());
    }
    let stalled = reading.parts.iter().filter(|part| part.is_stalled());
    let lines: String = stalled.map(|part| part.sentence() + "\n").collect();
    (!lines.is_empty()).then_some(lines)
}

/// For `/readyz`: whether the agent does its work, and what there is to say about it.
pub(super) fn readiness(reading: &Reading) -> (bool, Value) {
    let is_alive = complaints(reading).is_none();
    let attached = |hook: &Hook| hook.state == HookState::Attached;
    let is_writing = reading.exporters.iter().all(|r| r.stopped.is_none());
    // Kubernetes then ends the old agent of an update, which is to end.
    let captures = is_alive && !reading.stands_by;
    let ready = captures && is_writing && reading.hooks.iter().any(attached);
    let hooks: Map<_, _> = (reading.hooks.iter())
        .map(|hook| (hook.name.to_owned(), hook_detail(&hook.state)))
        .collect();
    let exporters: Map<_, _> = (reading.exporters.iter())
        .map(|report| (report.name.clone(), exporter_detail(report)))
        .collect();
    let stalled: Vec<_> = (reading.parts.iter())
        .filter(|part| part.is_stalled())
        .map(Part::sentence)
        .collect();
    let detail = json!({
        "ready": ready,
        "capturing": captures,
        "standing_by": reading.stands_by,
        "stalled": stalled,
        "hooks": hooks,
        "exporters": exporters,
        "workloads": workload::detail(reading),
        "service_level": reading.level.label(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    (ready, detail)
}

fn hook_detail(state: &HookState) -> Value {
    match state {
        HookState::Attached => json!({ "state": "attached" }),
        HookState::Refused(reason) => json!({ "state": "refused", "reason": reason }),
    }
}

fn exporter_detail(report: &Report) -> Value {
    let totals = &report.totals;
    let mut detail = json!({
        "exported": totals.exported,
        "rejected": totals.rejected,
        "dropped": totals.dropped_total(),
        "queued": totals.queued(),
        "queue_bytes": report.queue_bytes,
        "last_error": report.error,
    });
    let stopped = match &report.stopped {
        None => return detail,
        Some(Stopped::ReaderGone) => "its reader has gone",
        Some(Stopped::Failed(reason)) => reason,
    };
    detail["stopped"] = json!(stopped);
    detail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::delivery::Totals;

    fn part(name: &str, state: PartState) -> Part {
        Part {
            name: name.to_owned(),
            state,
        }
    }

    #[track_caller]
    fn check(hooks: &[HookState], parts: &[Part], stopped: Option<Stopped>, ready: bool) {
        let report = Report {
            name: "har".to_owned(),
            stopped,
            ..Report::default()
        };
        let hook = |state: &HookState| Hook {
            name: "socket",
            state: state.clone(),
        };
        let reading = Reading {
            hooks: hooks.iter().map(hook).collect(),
            parts: parts.to_vec(),
            exporters: vec![report],
            ..Reading::default()
        };
        let (is, detail) = readiness(&reading);
        assert_eq!(is, ready, "{detail}");
        assert_eq!(detail["ready"], ready);
    }

    #[test]
    fn ready_while_something_is_captured_and_everything_moves() {
        let refused = HookState::Refused("why".to_owned());
        let moving = [part("data", PartState::Moving)];
        let silent = part("worker-1", PartState::Silent(STALLED));
        check(&[], &moving, None, false);
        check(std::slice::from_ref(&refused), &moving, None, false);
        check(&[HookState::Attached], &moving, None, true);
        check(&[refused, HookState::Attached], &moving, None, true);
        check(&[HookState::Attached], &[], None, false);
        let parts = [moving[0].clone(), silent];
        check(&[HookState::Attached], &parts, None, false);
        let full = Stopped::Failed("No space left on device".to_owned());
        check(&[HookState::Attached], &moving, Some(full), false);
    }

    /// Not ready, for nobody here captures; alive, for nothing is stuck.
    #[test]
    fn one_that_stands_by_says_so() {
        let check = |stands_by| {
            let reading = Reading {
                hooks: vec![Hook {
                    name: "socket",
                    state: HookState::Attached,
                }],
                parts: vec![part("control", PartState::Moving)],
                stands_by,
                ..Reading::default()
            };
            let (ready, detail) = readiness(&reading);
            assert_eq!(complaints(&reading), None);
            assert_eq!((ready, &detail["capturing"]), (!stands_by, &json!(ready)));
            assert_eq!(detail["standing_by"], stands_by);
        };
        check(false);
        check(true);
    }

    #[test]
    fn who_does_not_move_is_named() {
        let (quick, quick_pulse) = Heart::new("worker-0", Duration::ZERO);
        let (slow, slow_pulse) = Heart::new("data", Duration::from_secs(3600));
        quick.beat();
        let parts = |now| [&quick_pulse, &slow_pulse].map(|pulse| pulse.part(now));
        let now = monotonic();
        let [late, moving] = parts(now + 31_000_000_000).map(Option::unwrap);
        assert!(late.sentence().starts_with("worker-0 has not moved for 3"));
        assert_eq!(moving.state, PartState::Moving);
        drop(slow);
        assert_eq!(parts(now)[1], None);
        let panicked = std::thread::spawn(move || {
            let _heart = quick;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        let state = parts(now)[0].as_ref().map(|part| part.state);
        assert_eq!(state, Some(PartState::Panicked));
    }

    #[test]
    fn an_exporter_that_rests_with_work_is_stuck() {
        const LIMIT: Duration = Duration::from_secs(60);
        let second = 1_000_000_000;
        let report = |accepted, attempts| Report {
            name: "otlp".to_owned(),
            totals: Totals {
                accepted,
                waiting: accepted,
                attempts,
                ..Totals::default()
            },
            ..Report::default()
        };
        let mut watch = ExporterWatch::default();
        let mut check = |accepted, attempts, at: u64, expected| {
            let parts = watch.observe(&[report(accepted, attempts)], LIMIT, at * second);
            assert_eq!(parts[0].is_stalled(), expected, "at {at} s");
        };
        check(0, 0, 0, false);
        // Nothing to do.
        check(0, 0, 1000, false);
        check(5, 0, 1059, false);
        check(5, 0, 1060, true);
        // A collector that is away is tried.
        check(5, 1, 1061, false);
        check(5, 2, 1120, false);
        check(9, 2, 1180, true);
    }
}
