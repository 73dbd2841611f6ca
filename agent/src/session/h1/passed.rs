//! Requests that were emitted to make room while more are pipelined than a connection may have in
//! flight. Their responses still come, each in its place, and belong to nobody: what is kept is how
//! each ends.

use std::collections::VecDeque;

use super::super::Context;
use super::H1;
use crate::exchange::{InFlight, Partial};
use crate::flow::Nanos;
use crate::http::Method;

/// Runs of requests that differ in how their responses end. A client that mixes methods more than
/// this, and waits for no response, is lost track of.
const RUNS: usize = 4096;

/// Requests right behind the first in flight, which has been emitted itself.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// How many of the same method.
    runs: VecDeque<(Method, u32)>,
}

impl Passed {
    /// Adds one. `false`: there is no room.
    fn push(&mut self, method: Method) -> bool {
        let is_full = self.runs.len() >= RUNS;
        match self.runs.back_mut() {
            Some((same, count)) if *same == method && *count < u32::MAX => *count += 1,
            _ if is_full => return false,
            _ => self.runs.push_back((method, 1)),
        }
        true
    }

    /// Takes the first.
    fn pop(&mut self) -> Option<Method> {
        let (method, count) = self.runs.front_mut()?;
        let method = *method;
        *count -= 1;
        if *count == 0 {
            self.runs.pop_front();
        }
        if self.runs.is_empty() {
            self.runs = VecDeque::new();
        }
        Some(method)
    }

    /// Forgets all, and says how many there were.
    pub(super) fn clear(&mut self) -> u32 {
        let runs = std::mem::take(&mut self.runs);
        runs.iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        self.runs.capacity() * size_of::<(Method, u32)>()
    }
}

impl H1 {
    /// Emits the oldest exchange in flight to make room for another; its response will belong to
    /// nobody. `false`: which response is whose could not be known any more.
    pub(super) fn make_room(&mut self, now: Nanos, cx: &mut Context<'_>) -> bool {
        if self
            .in_flight
            .front()
            .is_some_and(|first| !first.is_emitted())
        {
            // It keeps its place, and its response may be half read.
            let held = self.in_flight.front().map_or(0, InFlight::memory);
            self.held = self.held.saturating_sub(held);
            self.take_bodies(|_| true);
            if let Some(exchange) = self.in_flight.front_mut() {
                exchange.mark(Partial::Evicted);
                exchange.emit(false, now, &mut cx.emitter(&self.peers));
            }
            return true;
        }
        let Some(second) = self.in_flight.get(1) else {
            return false;
        };
        if !self.passed.push(second.method) {
            return false;
        }
        if let Some(mut exchange) = self.in_flight.remove(1) {
            self.held = self.held.saturating_sub(exchange.memory());
            exchange.mark(Partial::Evicted);
            exchange.emit(false, now, &mut cx.emitter(&self.peers));
        }
        true
    }

    /// The response to the first in flight is over: the next may be to one that was emitted.
    pub(super) fn next_passed(&mut self) {
        if let Some(method) = self.passed.pop() {
            self.in_flight.push_front(InFlight::emitted(method));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_in_which_they_came() {
        let mut passed = Passed::default();
        let methods = [Method::Other, Method::Other, Method::Head, Method::Other];
        for method in methods {
            assert!(passed.push(method));
        }
        for method in methods {
            assert_eq!(passed.pop(), Some(method));
        }
        assert!(passed.runs.is_empty());
        assert_eq!((passed.pop(), passed.memory()), (None, 0));
    }

    #[test]
    fn as_many_as_there_is_room_for() {
        let mut passed = Passed::default();
        for _ in 0..RUNS / 2 {
            assert!(passed.push(Method::Head) && passed.push(Method::Other));
        }
        assert!(passed.push(Method::Other) && !passed.push(Method::Head));
        assert_eq!(passed.clear() as usize, RUNS + 1);
        assert!(passed.runs.is_empty());
    }
}
