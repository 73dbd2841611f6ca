//! The series of a metric family: bounded, and forgotten when they rest.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};

use super::families::{Families, Sample};
use crate::flow::Nanos;
use crate::hash::Keyed;

/// How often a full table looks for series that rest.
const LOOK: Nanos = 10_000_000_000;

/// What a series is found by.
pub(super) trait Labelled {
    /// Its labels as text.
    fn text(&self) -> Arc<str>;
    /// The metrics that it is a series of.
    fn families(&self) -> Families;
}

/// A series.
#[derive(Debug)]
struct Series<V> {
    labels: Arc<str>,
    families: Families,
    value: V,
    /// When it was made.
    since: Nanos,
    /// When it was last added to.
    last: Nanos,
}

/// The series of one family.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    series: HashMap<K, Series<V>, Keyed>,
    limit: usize,
    idle: Nanos,
    looked: Nanos,
    overflow_labels: Arc<str>,
    /// What found no room, if anything, and since when.
    overflow: Option<(V, Nanos)>,
    /// How often that was.
    overflowed: u64,
}

impl<K: Eq + Hash, V: Clone + Default> Table<K, V> {
    pub(super) fn new(limit: usize, idle: Nanos, overflow_labels: Arc<str>) -> Self {
        Self {
            series: HashMap::default(),
            limit,
            idle,
            looked: 0,
            overflow_labels,
            overflow: None,
            overflowed: 0,
        }
    }

    /// The value of a series at `now`.
    pub(super) fn value<'a, Q>(&mut self, key: &'a Q, now: Nanos) -> &mut V
    where
        Q: Hash + Equivalent<K> + Labelled,
        K: From<&'a Q>,
    {
        if self.series.len() >= self.limit && now.saturating_sub(self.looked) >= LOOK {
            self.expire(now);
        }
        let is_full = self.series.len() >= self.limit;
        match self.series.entry_ref(key) {
            EntryRef::Occupied(entry) => {
                let series = entry.into_mut();
                series.last = series.last.max(now);
                &mut series.value
            }
            EntryRef::Vacant(_) if is_full => {
                self.overflowed += 1;
                &mut self.overflow.get_or_insert_with(|| (V::default(), now)).0
            }
            EntryRef::Vacant(entry) => {
                let series = Series {
                    labels: key.text(),
                    families: key.families(),
                    value: V::default(),
                    since: now,
                    last: now,
                };
                &mut entry.insert(series).value
            }
        }
    }

    /// Forgets series that rest.
    pub(super) fn expire(&mut self, now: Nanos) {
        self.looked = now;
        let idle = self.idle;
        self.series
            .retain(|_, series| now.saturating_sub(series.last) < idle);
    }

    /// Labels and values.
    pub(super) fn snapshot(&self) -> Vec<Sample<V>> {
        let series = self.series.values().map(|series| Sample {
            labels: series.labels.clone(),
            since: series.since,
            families: series.families,
            value: series.value.clone(),
        });
        let overflow = self.overflow.iter().map(|(value, since)| Sample {
            labels: self.overflow_labels.clone(),
            since: *since,
            families: Families::ALL,
            value: value.clone(),
        });
        series.chain(overflow).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    pub(super) const fn overflowed(&self) -> u64 {
        self.overflowed
    }
}
