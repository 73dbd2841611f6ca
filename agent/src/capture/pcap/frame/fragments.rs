//! IP fragments (RFC 791 §3.2, RFC 8200 §4.5), put together again.

use std::collections::VecDeque;

use etherparse::IpFragOffset;
use etherparse::defrag::IpDefragBuf;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::ip::Addresses;
use crate::flow::Nanos;

/// How long the rest of a datagram is awaited, in recorded time: Linux' `ipfrag_time`.
const WAIT: Nanos = 30_000_000_000;

/// Most bytes of datagrams that wait: Linux' `ipfrag_high_thresh`. The oldest go first.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Counted for each fragment beside its bytes, so that empty ones are bounded too.
const COST: usize = 128;

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) addresses: Addresses,
    pub(super) id: u32,
    /// The protocol that it carries.
    pub(super) number: u8,
}

/// A fragment.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    pub(super) offset: IpFragOffset,
    /// It is not the last one.
    pub(super) more: bool,
    /// All of it was captured.
    pub(super) whole: bool,
    pub(super) bytes: &'a [u8],
}

/// A datagram that was in fragments.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) bytes: Vec<u8>,
    /// Fragments that came before the one that completed it.
    pub(super) earlier: u64,
}

/// Datagrams of which a part is missing.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: HashMap<Key, Waiting, FixedState>,
    /// In the order in which they began, with a number that distinguishes a datagram from a later
    /// one with the same key.
    order: VecDeque<(Nanos, Key, u64)>,
    started: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    parts: u64,
    cost: usize,
    buffer: IpDefragBuf,
}

impl Fragments {
    /// Time begins: what came before it began waits from now on.
    pub(super) fn time_begins(&mut self, now: Nanos) {
        for (since, ..) in &mut self.order {
            *since = now;
        }
    }

    /// Keeps a fragment, or gives the datagram that it completes.
    pub(super) fn add(&mut self, part: &Fragment<'_>, now: Nanos) -> Option<Joined> {
        self.expire(now);
        if !part.whole {
            // What the capture cut off never comes.
            return None;
        }
        let mut waiting = self.take(&part.key);
        if waiting.is_none() {
            self.started += 1;
            self.order.push_back((now, part.key, self.started));
        }
        let mut entry = waiting
            .take()
            .unwrap_or_else(|| Waiting::new(self.started, part));
        if entry
            .buffer
            .add(part.offset, part.more, part.bytes)
            .is_err()
        {
            // It contradicts the others: another datagram with the same identification.
            entry = Waiting::new(entry.number, part);
            if entry
                .buffer
                .add(part.offset, part.more, part.bytes)
                .is_err()
            {
                return None;
            }
        }
        entry.cost = entry.buffer.data().len() + COST * (entry.buffer.sections().len() + 1);
        if entry.buffer.is_complete() {
            let (bytes, _) = entry.buffer.take_bufs();
            return Some(Joined {
                bytes,
                earlier: entry.parts,
            });
        }
        entry.parts += 1;
        self.bytes += entry.cost;
        self.waiting.insert(part.key, entry);
        self.make_room();
        None
    }

    fn take(&mut self, key: &Key) -> Option<Waiting> {
        let entry = self.waiting.remove(key)?;
        self.bytes -= entry.cost;
        Some(entry)
    }

    fn expire(&mut self, now: Nanos) {
        while let Some((since, ..)) = self.order.front()
            && now.saturating_sub(*since) >= WAIT
        {
            self.drop_oldest();
        }
    }

    fn make_room(&mut self) {
        // Datagrams that were completed leave their place in the order behind: it is bounded as
        // they are.
        while (self.bytes > MAX_BYTES || self.order.len() > MAX_BYTES / COST)
            && !self.order.is_empty()
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key, number)) = self.order.pop_front()
            && self.waiting.get(&key).is_some_and(|w| w.number == number)
        {
            self.take(&key);
        }
    }
}

impl Waiting {
    fn new(number: u64, part: &Fragment<'_>) -> Self {
        Self {
            number,
            parts: 0,
            cost: 0,
            buffer: IpDefragBuf::new(part.key.number.into(), Vec::new(), Vec::new()),
        }
    }
}
