//! Hand-over from one agent of a node to the next, so that an update misses nothing and emits
//! nothing twice.
//!
//! ```text
//!  old  ── captures ──────────────────┬─ emits what started before T ─┐ stands by
//!  new        starts, captures, asks ─┴─ emits what started at T or later ──────────►
//!                                     T
//! ```
//!
//! Both capture for a while. They agree on a moment `T` of the monotonic clock, which is the
//! machine's: an exchange is the old agent's when its request started before `T`, else the new
//! one's. Both see each packet at slightly different times, for one program runs after the other;
//! so `T` lies where no packet was near ([`Cut`]). The old agent goes on for [`DRAIN`] with what is
//! its own, then detaches. What is the other's is counted (`handed_over`) and not emitted.
//!
//! The agents meet at a socket in a folder of the node that only root can enter ([`link`]). An
//! agent that finds nobody there begins at once. One that is not understood, or gets no response in
//! time, goes on as if it had found nobody: an exchange may then be emitted twice, but none is
//! missed.

mod config;
mod cut;
mod link;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use config::HandoverSection;
pub use link::{Listener, Predecessor, Successor, Taken};

use crate::flow::Nanos;
use cut::Cut;

/// How long an agent goes on with the exchanges that are its own after another took over.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How long an agent captures before it takes over: connections of another agent's time come to the
/// end of a message.
pub const SETTLE: Duration = Duration::from_millis(300);

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It captures, and what is its own is not agreed on yet.
    Joining,
    /// It emits.
    Active,
    /// Another has taken over: it emits what is its own still.
    Draining,
    /// It does not capture any more, and is ready to end.
    StandingBy,
}

/// Which exchanges are this agent's. Shared by its threads.
#[derive(Debug)]
pub struct Handover {
    /// From this on; of the monotonic clock.
    from: AtomicU64,
    /// Before this.
    until: AtomicU64,
    /// Whether the data thread is to look for a moment. Read for every batch of packets.
    is_cutting: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    cut: Option<Cut>,
    /// Somebody asked the agent to end meanwhile.
    is_end_requested: bool,
}

impl Handover {
    /// Of an agent that begins in this phase.
    #[must_use]
    pub fn new(phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            from: AtomicU64::new(0),
            until: AtomicU64::new(Nanos::MAX),
            is_cutting: AtomicBool::new(false),
            state: Mutex::new(State {
                phase,
                cut: None,
                is_end_requested: false,
            }),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the agent stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    fn enter(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }

    /// The agent emits what starts at `from` or later.
    pub fn begin(&self, from: Nanos) {
        self.from.store(from, Ordering::Release);
        self.enter(Phase::Active);
    }

    /// The agent that asked to take over is gone: this one goes on.
    pub fn go_on(&self) {
        self.until.store(Nanos::MAX, Ordering::Release);
        self.enter(Phase::Active);
    }

    /// Waits until it is agreed what is this agent's, and `timeout` at most. True when it is.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.state(), timeout, |state| state.phase == Phase::Joining)
            .unwrap_or_else(PoisonError::into_inner);
        state.phase != Phase::Joining
    }

    /// Is an exchange whose request started at `at` this agent's?
    #[must_use]
    pub fn is_own(&self, at: Nanos) -> bool {
        let from = self.from.load(Ordering::Acquire);
        (from..self.until.load(Ordering::Acquire)).contains(&at)
    }

    /// Ends what is this agent's at a moment that the data thread finds, and gives it. `None` when
    /// no data thread runs.
    #[must_use]
    pub fn cut(&self, timeout: Duration) -> Option<Nanos> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        state.cut = Some(Cut::default());
        self.is_cutting.store(true, Ordering::Release);
        loop {
            let moment = state.cut.as_ref().and_then(Cut::moment);
            let left = deadline.saturating_duration_since(Instant::now());
            if moment.is_some() || left.is_zero() {
                self.is_cutting.store(false, Ordering::Release);
                state.cut = None;
                if moment.is_some() {
                    state.phase = Phase::Draining;
                }
                return moment;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The data thread is about to handle a packet of this time.
    pub fn packet(&self, time: Nanos) {
        if self.is_cutting.load(Ordering::Relaxed) {
            self.look(|cut| cut.packet(time));
        }
    }

    /// The data thread has handled all that there was at `now`.
    pub fn caught_up(&self, now: Nanos) {
        if self.is_cutting.load(Ordering::Relaxed) {
            self.look(|cut| cut.caught_up(now));
        }
    }

    fn look(&self, step: impl FnOnce(&mut Cut)) {
        let mut state = self.state();
        let Some(cut) = &mut state.cut else {
            return;
        };
        step(cut);
        if let Some(moment) = cut.moment() {
            // Before the next packet is handled: nothing of the other agent's is emitted.
            self.until.store(moment, Ordering::Release);
            self.is_cutting.store(false, Ordering::Release);
            self.changed.notify_all();
        }
    }

    /// Somebody asked the agent to end. True when it ends by itself, soon.
    pub fn request_end(&self) -> bool {
        let mut state = self.state();
        state.is_end_requested = true;
        self.changed.notify_all();
        matches!(state.phase, Phase::Draining | Phase::StandingBy)
    }

    /// Waits until somebody asks for the end, or `is_alone` says that the other agent is gone;
    /// looks every `interval`.
    pub fn stand_by(&self, interval: Duration, mut is_alone: impl FnMut() -> bool) {
        self.enter(Phase::StandingBy);
        let mut state = self.state();
        while !state.is_end_requested {
            (state, _) = self
                .changed
                .wait_timeout(state, interval)
                .unwrap_or_else(PoisonError::into_inner);
            if is_alone() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const FAR: Duration = Duration::from_secs(60);

    #[track_caller]
    fn check(handover: &Handover, own: &[(Nanos, bool)]) {
        for (at, expected) in own {
            assert_eq!(handover.is_own(*at), *expected, "{at}");
        }
    }

    #[test]
    fn one_that_is_alone_owns_everything() {
        let handover = Handover::new(Phase::Active);
        assert!(handover.wait(FAR));
        check(&handover, &[(0, true), (u64::MAX - 1, true)]);
        assert!(!handover.request_end());
    }

    #[test]
    fn one_that_joins_waits_for_the_moment() {
        let handover = Handover::new(Phase::Joining);
        assert!(!handover.wait(Duration::ZERO));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| handover.wait(FAR));
            handover.begin(500);
            assert!(waiter.join().unwrap());
        });
        check(&handover, &[(499, false), (500, true)]);
        assert_eq!(handover.phase(), Phase::Active);
    }

    #[test]
    fn the_data_thread_finds_the_moment_and_both_agree() {
        const MS: Nanos = 1_000_000;
        let (old, new) = (Handover::new(Phase::Active), Handover::new(Phase::Joining));
        let moment = thread::scope(|scope| {
            let asks = scope.spawn(|| old.cut(FAR));
            // Packets close to each other, then a pause.
            let mut time = 1000 * MS;
            while old.phase() == Phase::Active {
                time += if time < 1001 * MS { 10_000 } else { MS };
                old.packet(time);
            }
            asks.join().unwrap()
        });
        let moment = moment.expect("a moment");
        new.begin(moment);
        assert_eq!(old.phase(), Phase::Draining);
        for at in [0, moment - 1, moment, moment + 1, u64::MAX - 1] {
            assert!(old.is_own(at) != new.is_own(at), "{at}: one, and not both");
        }
        old.go_on();
        check(&old, &[(moment, true)]);
        assert!(!old.request_end());
    }

    #[test]
    fn without_a_data_thread_there_is_no_moment() {
        let handover = Handover::new(Phase::Active);
        assert_eq!(handover.cut(Duration::ZERO), None);
        assert_eq!(handover.phase(), Phase::Active);
        check(&handover, &[(u64::MAX - 1, true)]);
    }

    #[test]
    fn one_that_hands_over_ends_by_itself() {
        assert!(Handover::new(Phase::Draining).request_end());
        assert!(!Handover::new(Phase::Joining).request_end());
    }

    #[test]
    fn standing_by_ends() {
        let handover = Handover::new(Phase::Draining);
        handover.stand_by(Duration::ZERO, || true);
        assert_eq!(handover.phase(), Phase::StandingBy);
        assert!(handover.request_end());
        handover.stand_by(FAR, || false);
    }
}
