//! What the BPF programs count, per CPU, summed up.

use std::collections::BTreeMap;
use std::io;

use aya::Pod;
use aya::maps::{HashMap, MapData, PerCpuArray};
use meshtap_common::{CLASSIFICATIONS, Classification, DROP_REASONS, DropReason, RingShare};

use crate::flow::CgroupId;

/// Payload that was not handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Segments.
    pub segments: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

/// What the BPF programs did not hand over, and why: totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    by_reason: [Dropped; DROP_REASONS as usize],
    /// Records that could not be read.
    pub malformed: u64,
}

impl Drops {
    /// What was dropped for this reason.
    #[must_use]
    pub fn of(&self, reason: DropReason) -> Dropped {
        self.by_reason
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Segments dropped for this reason.
    #[must_use]
    pub fn segments(&self, reason: DropReason) -> u64 {
        self.of(reason).segments
    }

    /// Payload bytes dropped for this reason.
    #[must_use]
    pub fn bytes(&self, reason: DropReason) -> u64 {
        self.of(reason).bytes
    }
}

/// What the BPF programs made of the sockets that they met: totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classified([u64; CLASSIFICATIONS as usize]);

impl Classified {
    /// Sockets that became this.
    #[must_use]
    pub fn sockets(&self, classification: Classification) -> u64 {
        self.0
            .get(classification as usize)
            .copied()
            .unwrap_or_default()
    }
}

/// The maps.
pub(super) struct Counters {
    /// One of each object of BPF programs.
    pub(super) drops: Vec<PerCpuArray<MapData, [u64; 2]>>,
    pub(super) classified: PerCpuArray<MapData, u64>,
    /// Likewise.
    pub(super) shares: Vec<HashMap<MapData, u64, RingShare>>,
}

impl Counters {
    pub(super) fn drops(&self, malformed: u64) -> io::Result<Drops> {
        let mut drops = Drops {
            malformed,
            ..Drops::default()
        };
        for (index, total) in (0..DROP_REASONS).zip(&mut drops.by_reason) {
            for map in &self.drops {
                for [segments, bytes] in per_cpu(map, index)? {
                    total.segments = total.segments.wrapping_add(segments);
                    total.bytes = total.bytes.wrapping_add(bytes);
                }
            }
        }
        Ok(drops)
    }

    /// Payload bytes that cgroups were refused for having more than their share of the ring buffer.
    /// The least recently used of many cgroups fall out.
    pub(super) fn refused(&self) -> Vec<(CgroupId, u64)> {
        let mut refused = BTreeMap::new();
        for (cgroup, share) in self.shares.iter().flat_map(HashMap::iter).flatten() {
            if share.dropped_bytes > 0 {
                *refused.entry(cgroup).or_default() += share.dropped_bytes;
            }
        }
        let refused = refused.into_iter();
        refused
            .map(|(cgroup, bytes)| (CgroupId(cgroup), bytes))
            .collect()
    }

    pub(super) fn classified(&self) -> io::Result<Classified> {
        let mut classified = Classified::default();
        for (index, total) in (0..CLASSIFICATIONS).zip(&mut classified.0) {
            *total = per_cpu(&self.classified, index)?
                .into_iter()
                .fold(0, u64::wrapping_add);
        }
        Ok(classified)
    }
}

fn per_cpu<T: Pod>(map: &PerCpuArray<MapData, T>, index: u32) -> io::Result<Vec<T>> {
    let values = map.get(&index, 0).map_err(io::Error::other)?;
    Ok(values.iter().copied().collect())
}
