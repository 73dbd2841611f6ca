//! Connections by their identity, least recently used first, and when each is to be looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;

use super::connection::Connection;
use crate::flow::{ConnectionId, Nanos};

/// The order of use is exact to this; keeping it exact would cost three writes per segment.
const GRAIN: Nanos = 1_000_000;
const NONE: u32 = u32::MAX;

/// A place in the table; never valid again once its connection is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    /// Used before and after, or the next free slot.
    previous: u32,
    next: u32,
    /// When its place in the order of use was taken.
    placed: Nanos,
    connection: Option<Connection>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    connections: HashMap<ConnectionId, u32, crate::hash::Keyed>,
    slots: Vec<Slot>,
    free: u32,
    /// Least and most recently used.
    oldest: u32,
    newest: u32,
    deadlines: BinaryHeap<Reverse<(Nanos, Key)>>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            connections: HashMap::default(),
            slots: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            deadlines: BinaryHeap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    #[inline]
    pub(super) fn find(&self, connection: ConnectionId) -> Option<Key> {
        let index = *self.connections.get(&connection)?;
        let generation = self.slots.get(index as usize)?.generation;
        Some(Key { index, generation })
    }

    pub(super) fn insert(&mut self, connection: Connection, now: Nanos) -> Option<Key> {
        let id = connection.id();
        let index = match self.slots.get(self.free as usize) {
            Some(slot) => {
                let index = self.free;
                self.free = slot.next;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|i| *i != NONE)?;
                self.slots.push(Slot {
                    generation: 0,
                    previous: NONE,
                    next: NONE,
                    placed: now,
                    connection: None,
                });
                index
            }
        };
        let slot = self.slots.get_mut(index as usize)?;
        slot.connection = Some(connection);
        slot.placed = now;
        let generation = slot.generation;
        self.append(index);
        self.connections.insert(id, index);
        Some(Key { index, generation })
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Connection> {
        self.get(key)?;
        self.unlink(key.index);
        let slot = self.slots.get_mut(key.index as usize)?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free;
        self.free = key.index;
        self.connections.remove(&connection.id());
        Some(connection)
    }

    pub(super) fn get(&self, key: Key) -> Option<&Connection> {
        let slot = self.slots.get(key.index as usize)?;
        match slot.generation == key.generation {
            true => slot.connection.as_ref(),
            false => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(key.index as usize)?;
        match slot.generation == key.generation {
            true => slot.connection.as_mut(),
            false => None,
        }
    }

    /// Notes that a connection is in use.
    #[inline]
    pub(super) fn touch(&mut self, key: Key, now: Nanos) {
        if key.index == self.newest {
            return;
        }
        let Some(slot) = self.slots.get_mut(key.index as usize) else {
            return;
        };
        if now.saturating_sub(slot.placed) < GRAIN {
            return;
        }
        slot.placed = now;
        self.unlink(key.index);
        self.append(key.index);
    }

    /// The least recently used.
    pub(super) fn oldest(&self) -> Option<Key> {
        self.key(self.oldest)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots
            .iter()
            .filter_map(|slot| slot.connection.as_ref())
    }

    /// The next more recently used.
    pub(super) fn newer(&self, key: Key) -> Option<Key> {
        self.key(self.slots.get(key.index as usize)?.next)
    }

    fn key(&self, index: u32) -> Option<Key> {
        let generation = self.slots.get(index as usize)?.generation;
        Some(Key { index, generation })
    }

    /// Makes sure that a connection is looked at by `due`.
    #[inline]
    pub(super) fn schedule(&mut self, key: Key, due: Nanos) {
        if let Some(connection) = self.get_mut(key)
            && due < connection.deadline
        {
            connection.deadline = due;
            self.deadlines.push(Reverse((due, key)));
        }
    }

    /// A connection whose time has come by `now`.
    pub(super) fn due(&mut self, now: Nanos) -> Option<Key> {
        loop {
            let Reverse((due, key)) = *self.deadlines.peek()?;
            if due > now {
                return None;
            }
            self.deadlines.pop();
            if let Some(connection) = self.get_mut(key)
                && connection.deadline == due
            {
                connection.deadline = Nanos::MAX;
                return Some(key);
            }
        }
    }

    fn append(&mut self, index: u32) {
        let last = std::mem::replace(&mut self.newest, index);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.previous = last;
            slot.next = NONE;
        }
        match self.slots.get_mut(last as usize) {
            Some(slot) => slot.next = index,
            None => self.oldest = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let Some(slot) = self.slots.get(index as usize) else {
            return;
        };
        let (previous, next) = (slot.previous, slot.next);
        match self.slots.get_mut(previous as usize) {
            Some(slot) => slot.next = next,
            None => self.oldest = next,
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.previous = previous,
            None => self.newest = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::{CgroupId, SocketId};
    use crate::session::Origin;

    fn id(socket: u64) -> ConnectionId {
        ConnectionId::socket(SocketId(socket))
    }

    fn connection(socket: u64) -> Connection {
        let end = SocketAddr::from(([127, 0, 0, 1], 80)).into();
        let origin = Origin {
            connection: id(socket),
            socket: SocketId(socket),
            cgroup: CgroupId(0),
            local: end,
            remote: end,
            outer: None,
            secured: None,
        };
        Connection::tcp(origin, 0)
    }

    /// Steps: `+n` inserts a socket, `-n` removes it, `n` uses it. Then the order of use.
    fn check(steps: &str, expected: &[u64]) {
        let mut table = Table::new();
        for (step, now) in steps.split_whitespace().zip(1..) {
            let now = now * GRAIN;
            let socket = step.trim_start_matches(['+', '-']).parse().unwrap();
            match step.as_bytes()[0] {
                b'+' => {
                    table.insert(connection(socket), now).unwrap();
                }
                b'-' => {
                    let key = table.find(id(socket)).unwrap();
                    table.remove(key).unwrap();
                    assert!(table.get(key).is_none());
                }
                _ => table.touch(table.find(id(socket)).unwrap(), now),
            }
        }
        let mut order = Vec::new();
        let mut at = table.oldest();
        while let Some(key) = at {
            order.push(table.get(key).unwrap().id());
            at = table.newer(key);
        }
        let expected: Vec<_> = expected.iter().map(|socket| id(*socket)).collect();
        assert_eq!(order, expected, "{steps}");
        assert_eq!(table.len(), expected.len());
    }

    #[test]
    fn order_of_use() {
        check("", &[]);
        check("+1 +2 +3", &[1, 2, 3]);
        check("+1 +2 +3 1", &[2, 3, 1]);
        check("+1 +2 +3 2 2", &[1, 3, 2]);
        check("+1 +2 +3 -2", &[1, 3]);
        check("+1 +2 +3 -1 -3 +4 2", &[4, 2]);
        check("+1 -1 +2 -2 +3", &[3]);
    }

    #[test]
    fn deadlines() {
        let mut table = Table::new();
        let a = table.insert(connection(1), 0).unwrap();
        let b = table.insert(connection(2), 0).unwrap();
        table.schedule(a, 50);
        table.schedule(b, 40);
        table.schedule(a, 30);
        table.schedule(a, 60);
        assert_eq!(table.due(29), None);
        assert_eq!(table.due(45), Some(a));
        assert_eq!(table.due(45), Some(b));
        assert_eq!(table.due(100), None);
        table.schedule(a, 70);
        table.remove(a);
        assert_eq!(table.due(100), None);
    }
}
