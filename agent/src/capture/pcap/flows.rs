//! The connections of a capture file. A file has packets and no sockets, so each connection in it
//! becomes a socket with an identity of its own, a new one when its ports are used again.

use std::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ends::Ends;
use super::flow::{Belongs, Flow};
use super::held::{GRACE, Held, MAX_BYTES, MAX_CONNECTIONS};
use super::packet::Packet;
use crate::capture::Segment;
use crate::flow::{Nanos, SocketId};

/// Connections of one generation. Two generations are kept: at about 400 bytes each, some 100 MB
/// when a file is all handshakes.
const GENERATION: usize = 131_072;

/// The connections, bounded: of two generations the older is forgotten when the younger is full.
#[derive(Debug)]
pub(super) struct Flows {
    young: Table,
    old: Table,
    generation: usize,
    sockets: u64,
    /// Connections where packets wait, and since when; some may have been served since.
    waiting: VecDeque<(Nanos, Ends)>,
    held_bytes: isize,
    suspects: u64,
}

/// A file cannot be made to fit the hash, and a fixed seed keeps a replay repeatable.
type Table = HashMap<Ends, Flow, FixedState>;

impl Default for Flows {
    fn default() -> Self {
        Self::bounded(GENERATION)
    }
}

impl Flows {
    fn bounded(generation: usize) -> Self {
        Self {
            young: Table::default(),
            old: Table::default(),
            generation,
            sockets: 0,
            waiting: VecDeque::new(),
            held_bytes: 0,
            suspects: 0,
        }
    }

    /// Packets with a wrong checksum that were kept aside.
    pub(super) const fn suspects(&self) -> u64 {
        self.suspects
    }

    /// Hands over what the virtual socket of the packet's connection saw, and what waited for it.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        now: Nanos,
        handle: &mut dyn FnMut(&Segment<'_>),
    ) {
        self.release_due(now, handle);
        if packet.is_void() {
            return;
        }
        let ends = self.lane(packet);
        let known = self.young.contains_key(&ends) || self.promote(&ends, handle);
        if !known && packet.rst {
            return;
        }
        let spare = SocketId(self.sockets + 1);
        let flow = self.young.entry(ends).or_insert_with(|| {
            self.sockets = spare.0;
            Flow::new(ends, spare, packet, now)
        });
        let held_before = flow.is_holding();
        let size_before = flow.size();
        if flow.suspects(packet, now, handle) {
            self.suspects += 1;
            self.held_bytes += flow.size() - size_before;
            if flow.is_holding() && !held_before {
                self.waiting.push_back((now, ends));
            }
            return;
        }
        match flow.belongs(packet, now) {
            Belongs::Stray => return,
            Belongs::Here => {
                if flow.learn(packet, spare) {
                    self.sockets = spare.0;
                }
            }
            Belongs::Next(earlier) => {
                self.held_bytes -= flow.size();
                flow.release_all(handle);
                flow.close(earlier.first().map_or(packet.time, Held::time), handle);
                let first = earlier.first().map_or(*packet, Held::packet);
                flow.replace(Flow::new(ends, spare, &first, now));
                self.sockets = spare.0;
                for held in &earlier {
                    flow.learn(&held.packet(), spare);
                    self.held_bytes += flow.take(&held.packet(), now, handle);
                }
                flow.learn(packet, spare);
            }
        }
        self.held_bytes += flow.take(packet, now, handle);
        if flow.is_holding() && !held_before {
            self.waiting.push_back((now, ends));
        }
        let many = self.waiting.len() > MAX_CONNECTIONS;
        if many || self.held_bytes > MAX_BYTES.cast_signed() {
            self.release_all(handle);
        }
    }

    pub(super) fn get(&self, ends: &Ends) -> Option<&Flow> {
        self.young.get(ends).or_else(|| self.old.get(ends))
    }

    pub(super) fn get_mut(&mut self, ends: &Ends) -> Option<&mut Flow> {
        let young = self.young.get_mut(ends);
        young.or_else(|| self.old.get_mut(ends))
    }

    /// Hands over everything that still waits: the file has ended.
    pub(super) fn release_all(&mut self, handle: &mut dyn FnMut(&Segment<'_>)) {
        while let Some((_, ends)) = self.waiting.pop_front() {
            if let Some(flow) = self.get_mut(&ends) {
                flow.release_all(handle);
            }
        }
        self.held_bytes = 0;
    }

    /// The time is known now. What has waited so far begins to wait: without a time, none passed.
    pub(super) fn time_begins(&mut self, now: Nanos) {
        for flow in self.young.values_mut().chain(self.old.values_mut()) {
            flow.wait_from(now);
        }
        for (since, _) in &mut self.waiting {
            *since = now;
        }
    }

    fn release_due(&mut self, now: Nanos, handle: &mut dyn FnMut(&Segment<'_>)) {
        while let Some((since, ends)) = self.waiting.front().copied()
            && now.saturating_sub(since) >= GRACE
        {
            self.waiting.pop_front();
            let found = self
                .young
                .get_mut(&ends)
                .or_else(|| self.old.get_mut(&ends));
            if let Some(flow) = found.filter(|flow| flow.is_holding()) {
                self.held_bytes -= flow.size();
                flow.release_due(now, handle);
                self.held_bytes += flow.size();
                if flow.is_holding() {
                    self.waiting.push_back((now, ends));
                }
            }
        }
    }

    /// Makes room for one more connection, and brings back the one between `ends` from the older
    /// generation if it is there.
    fn promote(&mut self, ends: &Ends, handle: &mut dyn FnMut(&Segment<'_>)) -> bool {
        let full = self.young.len() >= self.generation;
        if full {
            self.release_all(handle);
        }
        let found = self.old.remove_entry(ends);
        if full {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        match found {
            Some((ends, flow)) => {
                self.young.insert(ends, flow);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
