//! Who makes room when a bound is reached: whoever holds more than a fair share, and loses it
//! first.
//!
//! A bound (memory, or the number of connections) is shared between cgroups, and what a cgroup has
//! of it between the addresses at the other ends of its connections. A share that is not used is
//! there for the others (max-min fairness), so one holder alone may have all of it. Over its share,
//! a holder's connections that hold more than its average go first, then the least recently used.
//!
//! Shares are worked out when a bound is reached, and an eighth of the bound is freed then, so that
//! the work is a constant per byte or connection that came in.

use hashbrown::HashMap;

use crate::flow::CgroupId;

/// Cgroups whose evictions are counted by name. Nodes have some hundred containers; what is over
/// this is counted as one.
const COUNTED: usize = 4096;

type Map<K, V> = HashMap<K, V, crate::hash::Keyed>;

/// Who holds something: the cgroup of the socket, and the address at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    pub(super) cgroup: CgroupId,
    /// IPv6 or v4-mapped.
    pub(super) remote: [u8; 16],
}

/// What one holder has, and may have.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    has: usize,
    connections: usize,
    may_have: usize,
}

/// The shares of a bound.
#[derive(Debug, Default)]
pub(super) struct Shares {
    holders: Map<Holder, Share>,
    /// What all together have above the bound.
    excess: usize,
}

impl Shares {
    /// Works out who may have what, when all together may have `bound`. `holdings`: what each
    /// connection holds.
    pub(super) fn new(holdings: impl Iterator<Item = (Holder, usize)>, bound: usize) -> Self {
        let mut shares = Self::default();
        let mut cgroups: Map<CgroupId, usize> = Map::default();
        for (holder, size) in holdings {
            let share = shares.holders.entry(holder).or_default();
            share.has += size;
            share.connections += 1;
            *cgroups.entry(holder.cgroup).or_default() += size;
        }
        let total: usize = cgroups.values().sum();
        shares.excess = total.saturating_sub(bound);
        let most = level(cgroups.values().copied().collect(), bound);
        let mut remotes: Map<CgroupId, Vec<usize>> = Map::default();
        for (holder, share) in &shares.holders {
            remotes.entry(holder.cgroup).or_default().push(share.has);
        }
        let levels: Map<CgroupId, usize> = remotes
            .into_iter()
            .map(|(cgroup, sizes)| (cgroup, level(sizes, most)))
            .collect();
        for (holder, share) in &mut shares.holders {
            share.may_have = levels.get(&holder.cgroup).copied().unwrap_or(most);
        }
        shares
    }

    /// A connection of `holder` has to go, if it holds `size`. `large`: only when that is more than
    /// the holder's average.
    pub(super) fn has_to_go(&self, holder: Holder, size: usize, large: bool) -> bool {
        if self.excess == 0 || size == 0 {
            return false;
        }
        self.holders.get(&holder).is_some_and(|share| {
            let average = share.has / share.connections.max(1);
            share.has > share.may_have && (!large || size > average)
        })
    }

    /// It is gone.
    pub(super) fn gone(&mut self, holder: Holder, size: usize) {
        self.excess = self.excess.saturating_sub(size);
        if let Some(share) = self.holders.get_mut(&holder) {
            share.has = share.has.saturating_sub(size);
            share.connections = share.connections.saturating_sub(1);
        }
    }
}

/// The most that each may have, so that all together have at most `bound`: those that have less
/// keep all of it.
fn level(mut sizes: Vec<usize>, bound: usize) -> usize {
    sizes.sort_unstable();
    let mut left = bound;
    let count = sizes.len();
    for (at, size) in sizes.into_iter().enumerate() {
        let each = left / (count - at);
        if size > each {
            return each;
        }
        left -= size;
    }
    usize::MAX
}

/// Evicted connections, by cgroup.
#[derive(Debug, Default)]
pub(super) struct Evictions {
    by_cgroup: Map<CgroupId, u64>,
}

impl Evictions {
    /// Counts one.
    pub(super) fn count(&mut self, cgroup: CgroupId) {
        let known = self.by_cgroup.len() < COUNTED || self.by_cgroup.contains_key(&cgroup);
        let cgroup = if known { cgroup } else { CgroupId(0) };
        *self.by_cgroup.entry(cgroup).or_default() += 1;
    }

    /// How many of each cgroup; [`CgroupId`] zero stands for those that are too many to name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CgroupId, u64)> {
        self.by_cgroup
            .iter()
            .map(|(cgroup, count)| (*cgroup, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(cgroup: u64, remote: u8) -> Holder {
        Holder {
            cgroup: CgroupId(cgroup),
            remote: [remote; 16],
        }
    }

    /// Connections: cgroup, other end, size. Evicts as the engine does; what is left of each.
    fn check(bound: usize, connections: &[(u64, u8, usize)], expected: &[usize]) {
        let holdings =
            || (connections.iter()).map(|(cgroup, remote, size)| (holder(*cgroup, *remote), *size));
        let mut shares = Shares::new(holdings(), bound);
        let mut left: Vec<usize> = connections.iter().map(|(_, _, size)| *size).collect();
        for large in [true, false] {
            for (at, (holder, size)) in holdings().enumerate() {
                if left[at] > 0 && shares.has_to_go(holder, size, large) {
                    shares.gone(holder, size);
                    left[at] = 0;
                }
            }
        }
        assert_eq!(left, expected);
        assert!(left.iter().sum::<usize>() <= bound);
    }

    #[test]
    fn within_the_bound_nobody_loses() {
        check(100, &[(1, 1, 50), (2, 1, 50)], &[50, 50]);
        check(100, &[], &[]);
    }

    #[test]
    fn who_has_more_than_a_share_loses_first() {
        check(100, &[(1, 1, 10), (2, 1, 60), (2, 1, 60)], &[10, 0, 60]);
        // The same cgroup, another other end.
        check(100, &[(1, 1, 10), (1, 2, 60), (1, 2, 60)], &[10, 0, 60]);
        // Many other ends do not make a larger share of their cgroup.
        check(
            100,
            &[(1, 1, 40), (2, 1, 40), (2, 2, 40), (2, 3, 40), (2, 4, 40)],
            &[40, 0, 0, 0, 40],
        );
        check(90, &[(1, 1, 50), (2, 1, 50), (3, 1, 10)], &[0, 50, 10]);
    }

    #[test]
    fn large_ones_of_a_holder_go_first() {
        check(
            100,
            &[(1, 1, 1), (1, 1, 90), (1, 1, 90), (1, 1, 1)],
            &[1, 0, 90, 1],
        );
    }

    #[test]
    fn evictions_are_counted_by_name_as_far_as_they_fit() {
        let mut evictions = Evictions::default();
        for cgroup in 1..=COUNTED as u64 + 10 {
            evictions.count(CgroupId(cgroup));
        }
        evictions.count(CgroupId(1));
        let counts: Map<CgroupId, u64> = evictions.iter().collect();
        assert_eq!(counts.len(), COUNTED + 1);
        assert_eq!(counts[&CgroupId(1)], 2);
        assert_eq!(counts[&CgroupId(0)], 10);
    }
}
