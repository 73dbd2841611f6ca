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
//!
//! One that is asked to end before it has handed over goes on for a moment ([`ARRIVAL`]), since the
//! next one may be about to start; and where that one has started, until it captures.

mod config;
mod cut;
mod link;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use config::HandoverSection;
pub use link::{Caller, Listener, Predecessor, Starting, Successor, Taken, examine};

use crate::flow::Nanos;
use cut::Cut;

/// How long an agent goes on with the exchanges that are its own after another took over.
pub const DRAIN: Duration = Duration::from_secs(5);
/// How long an agent captures before it takes over: connections of another agent's time come to the
/// end of a message.
pub const SETTLE: Duration = Duration::from_millis(300);
/// How long an agent that is asked to end goes on where no other has started yet: whoever restarts
/// it starts the next one about now.
const ARRIVAL: Duration = Duration::from_secs(1);
/// How long it goes on for one that has started and does not capture yet. That takes a second; some
/// machines are slow.
const ATTACH: Duration = Duration::from_secs(15);
/// How often it looks whether that one lives.
const LOOK: Duration = Duration::from_millis(50);

/// When an agent ends that is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Now.
    Now,
    /// When another captures, or none is awaited any more ([`Handover::await_next`]).
    Awaits,
    /// By itself, soon: another has taken over.
    ByItself,
}

/// What ends the wait of an agent that stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Somebody asked it to end.
    End,
    /// The agent that took over has ended.
    Other,
}

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
    /// Others can take over.
    is_open: bool,
    /// One that has started, and does not capture yet.
    starting: Option<Starting>,
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
                is_open: false,
                starting: None,
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

    /// From now on another agent can take over.
    pub fn open(&self) {
        self.state().is_open = true;
    }

    /// Another agent has started, and will take over when it captures.
    pub fn starts(&self, other: Starting) {
        self.state().starting = Some(other);
        self.changed.notify_all();
    }

    /// Somebody asked the agent to end: when does it? One who asks again does not wait.
    pub fn request_end(&self) -> Ending {
        let mut state = self.state();
        let is_first = !std::mem::replace(&mut state.is_end_requested, true);
        self.changed.notify_all();
        match state.phase {
            Phase::Draining | Phase::StandingBy => Ending::ByItself,
            Phase::Active if is_first && state.is_open => Ending::Awaits,
            Phase::Active | Phase::Joining => Ending::Now,
        }
    }

    /// Goes on until another agent has taken over, for as long as one may. True when it has.
    #[must_use]
    pub fn await_next(&self) -> bool {
        self.await_next_for(ARRIVAL, ATTACH)
    }

    fn await_next_for(&self, arrival: Duration, attach: Duration) -> bool {
        let began = Instant::now();
        let mut state = self.state();
        while state.phase == Phase::Active {
            state.starting = state.starting.take().filter(|other| !other.is_gone());
            let longest = match state.starting {
                Some(_) => attach,
                None => arrival,
            };
            let left = longest.saturating_sub(began.elapsed());
            // A moment that is looked for is found, or not, within a second.
            if left.is_zero() && state.cut.is_none() {
                return false;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Waits until somebody asks for the end, or `is_alone` says that the other agent is gone;
    /// looks every `interval`. Which it was.
    pub fn stand_by(&self, interval: Duration, mut is_alone: impl FnMut() -> bool) -> Awaited {
        self.enter(Phase::StandingBy);
        let mut state = self.state();
        while !state.is_end_requested {
            (state, _) = self
                .changed
                .wait_timeout(state, interval)
                .unwrap_or_else(PoisonError::into_inner);
            if is_alone() && !state.is_end_requested {
                return Awaited::Other;
            }
        }
        Awaited::End
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
        assert_eq!(handover.request_end(), Ending::Now);
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
        assert_eq!(old.request_end(), Ending::Now);
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
        let check = |phase, expected| {
            assert_eq!(Handover::new(phase).request_end(), expected);
        };
        check(Phase::Draining, Ending::ByItself);
        check(Phase::StandingBy, Ending::ByItself);
        check(Phase::Joining, Ending::Now);
    }

    #[test]
    fn one_that_another_can_take_over_from_awaits_it_once() {
        let handover = Handover::new(Phase::Active);
        handover.open();
        assert_eq!(handover.request_end(), Ending::Awaits);
        // Nobody comes.
        assert!(!handover.await_next_for(Duration::ZERO, FAR));
        assert_eq!(handover.request_end(), Ending::Now);
    }

    #[test]
    fn one_that_has_started_is_awaited_while_it_lives() {
        let handover = Handover::new(Phase::Active);
        handover.open();
        let (starting, other) = Starting::pair();
        handover.starts(starting);
        thread::scope(|scope| {
            let ends = scope.spawn(|| handover.await_next_for(Duration::ZERO, FAR));
            handover.enter(Phase::Draining);
            assert!(ends.join().unwrap());
        });
        handover.enter(Phase::Active);
        drop(other);
        assert!(!handover.await_next_for(Duration::ZERO, FAR));
        let (starting, _other) = Starting::pair();
        handover.starts(starting);
        assert!(!handover.await_next_for(Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn standing_by_ends() {
        let handover = Handover::new(Phase::Draining);
        assert_eq!(handover.stand_by(Duration::ZERO, || true), Awaited::Other);
        assert_eq!(handover.phase(), Phase::StandingBy);
        assert_eq!(handover.request_end(), Ending::ByItself);
        assert_eq!(handover.stand_by(FAR, || false), Awaited::End);
        assert_eq!(handover.stand_by(FAR, || true), Awaited::End);
    }
}
