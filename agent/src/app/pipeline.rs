//! The data thread: source → engine → queue. It never waits for output, look-ups or disks.

use std::io;
use std::mem;
use std::time::Duration;

use super::queue::{Queue, Size, WhenFull};
use super::stop::Stop;
use crate::capture::{Polled, Source};
use crate::clock::monotonic;
use crate::engine::{Engine, Output};
use crate::exchange::Exchange;
use crate::flow::Nanos;
use crate::process::Announcer;

/// How long a poll may wait when nothing happens; the capture itself takes what is there every few
/// milliseconds while traffic flows. Short enough for an end to be noticed at once, long enough for
/// an idle machine to stay idle.
const POLL: Duration = Duration::from_millis(100);
/// How often the engine lets time pass.
const EXPIRE: Nanos = 100_000_000;
/// Bytes of exchanges that are handed over before a poll is over: a small part of the queue's
/// bound, and more than a poll makes of ordinary traffic.
const PART: usize = 1024 * 1024;

/// Where the time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// The machine's monotonic clock: live capture.
    Machine,
    /// The source: a file.
    Source,
}

/// Everything the data thread works with.
pub(super) struct Pipeline<'a, S> {
    pub(super) source: S,
    pub(super) engine: Engine,
    pub(super) queue: &'a Queue,
    pub(super) when_full: WhenFull,
    pub(super) time: Time,
    pub(super) stop: Stop,
    /// Monotonic time at which the run ends by itself.
    pub(super) deadline: Option<Nanos>,
    /// Emitted of every new socket.
    pub(super) announcer: Option<Announcer>,
    /// Shown the totals whenever time passes; may turn source and engine down and up.
    pub(super) observer: Option<Observer<'a, S>>,
}

/// Takes the source, the engine and the number of exchanges that found no room in the queue.
pub(super) type Observer<'a, S> = Box<dyn FnMut(&mut S, &mut Engine, u64) + 'a>;

/// What is left when the data thread has ended.
pub(super) struct Ended<S> {
    pub(super) source: S,
    pub(super) engine: Engine,
    /// Exchanges that found no room in the queue.
    pub(super) output_full: u64,
    /// The time at which the engine was finished.
    pub(super) at: Nanos,
    /// Why the source could not be read any further, if so.
    pub(super) error: io::Result<()>,
}

impl<S: Source> Pipeline<'_, S> {
    /// Runs until the source ends or fails, a stop is asked for, or the deadline; then emits what
    /// is still in flight, and closes the queue.
    pub(super) fn run(mut self) -> Ended<S> {
        let mut output = Output::default();
        let mut emitted = Emitted::default();
        let mut last_event = 0;
        let mut end = None;
        let mut expired = self.now(0);
        let (at, error) = loop {
            // When the end is near, what the source still has is taken without waiting for more.
            if end.is_none() && self.is_ending() {
                end = Some(monotonic());
            }
            let timeout = if end.is_some() { Duration::ZERO } else { POLL };
            let engine = &mut self.engine;
            let announcer = &mut self.announcer;
            let polled = self.source.poll(timeout, &mut |event| {
                if let Some(announcer) = announcer {
                    announcer.event(event);
                }
                last_event = event.time();
                engine.event(event, &mut output);
                if emitted.is_part(&output.exchanges) {
                    emitted.hand_over(&mut output.exchanges, self.queue, self.when_full);
                }
            });
            let at = self.now(last_event);
            if at.saturating_sub(expired) >= EXPIRE {
                expired = at;
                self.pass_time(at, &mut output, &mut emitted);
            }
            if let Some(announcer) = &mut self.announcer {
                announcer.flush();
            }
            self.hand_over(&mut output, &mut emitted);
            if end.is_some() {
                self.stop.goes_on();
            }
            match polled {
                Ok(Polled::More | Polled::Pending) if end.is_none() => {}
                // On a busy machine there is always more: only what came before the end is taken.
                Ok(Polled::Pending) if end.is_some_and(|end| last_event < end) => {}
                Ok(_) => break (at, Ok(())),
                Err(error) => break (at, Err(error)),
            }
        };
        while self.engine.finish_next(at, &mut output) {
            self.hand_over(&mut output, &mut emitted);
        }
        self.hand_over(&mut output, &mut emitted);
        self.observe(&emitted);
        self.queue.close();
        Ended {
            source: self.source,
            engine: self.engine,
            output_full: emitted.output_full,
            at,
            error,
        }
    }

    /// The time of the run: the machine's, or the source's; `last` where it has none.
    fn now(&self, last: Nanos) -> Nanos {
        match self.time {
            Time::Machine => monotonic(),
            Time::Source => self.source.time().unwrap_or(last),
        }
    }

    fn pass_time(&mut self, at: Nanos, output: &mut Output, emitted: &mut Emitted) {
        while self.engine.expire_next(at, output) {
            self.hand_over(output, emitted);
        }
        self.source.expired(at);
        self.observe(emitted);
    }

    fn observe(&mut self, emitted: &Emitted) {
        if let Some(observer) = &mut self.observer {
            observer(&mut self.source, &mut self.engine, emitted.output_full);
        }
    }

    fn is_ending(&self) -> bool {
        self.stop.asked() || self.deadline.is_some_and(|end| monotonic() >= end)
    }

    fn hand_over(&mut self, output: &mut Output, emitted: &mut Emitted) {
        if !output.commands.is_empty() {
            self.source.command(&output.commands);
            output.commands.clear();
        }
        emitted.hand_over(&mut output.exchanges, self.queue, self.when_full);
    }
}

#[derive(Default)]
struct Emitted {
    /// Exchanges emitted so far: the index of the next.
    count: u64,
    output_full: u64,
    /// Of the exchanges of the output, as far as they were measured.
    size: Size,
}

impl Emitted {
    /// So much waits that it is handed over at once: one poll may end thousands of connections, and
    /// the queue alone bounds what waits.
    fn is_part(&mut self, exchanges: &[Exchange]) -> bool {
        self.size.measure(exchanges);
        self.size.bytes() >= PART
    }

    fn hand_over(&mut self, exchanges: &mut Vec<Exchange>, queue: &Queue, when_full: WhenFull) {
        if exchanges.is_empty() {
            return;
        }
        // Room for as many again: it does not grow step by step, and move what is in it.
        let next = Vec::with_capacity(exchanges.len());
        let mut exchanges = mem::replace(exchanges, next);
        if exchanges.len() < exchanges.capacity() / 2 {
            // The queue counts no room that nothing is in.
            exchanges.shrink_to_fit();
        }
        let (size, count) = (mem::take(&mut self.size), exchanges.len() as u64);
        self.output_full += queue.push(self.count, exchanges, size, when_full);
        self.count += count;
    }
}

#[cfg(test)]
mod tests;
