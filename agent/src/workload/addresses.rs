//! Who held an address when. Pure.
//!
//! Addresses of pods are used again, so a name without a time means nothing: an exchange belongs to who held the address *while it happened*,
//! not to who holds it when the exchange is exported. What is known of the time:
//!
//! * A pod gets its address after its start, which is told in whole seconds, so the start is a lower bound. When the one before was asked to
//!   end, or seen to let go, within that second, that is the better bound.
//! * A pod lets go of its address before it is seen to have ended: an upper bound. The next holder's start ends it in any case.
//! * A pod that was asked to end may have let go already, though that is not known yet: its holding is then told as uncertain.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::flow::Nanos;

/// Starts are told in whole seconds.
const GRAIN: Nanos = 1_000_000_000;
/// How far a start may seem to lie in the future: the clock of another node.
const SKEW: Nanos = 2_000_000_000;
/// Former holders of one address that are remembered: an address is not used so often within the time that matters.
const FORMER: usize = 8;

/// Who held an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held<'a, T> {
    /// Nobody that is known.
    Nobody,
    /// This one.
    By(&'a T),
    /// This one, unless it has let go and nobody has said so yet.
    Perhaps(&'a T),
}

#[derive(Clone, Debug)]
struct Holding<T> {
    key: Arc<str>,
    value: T,
    from: Nanos,
    until: Option<Nanos>,
    /// When it was asked to end.
    ending: Option<Nanos>,
}

/// Addresses and their holders.
#[derive(Debug)]
pub(crate) struct Addresses<T> {
    /// The holders of each, by the start of their holding.
    holders: HashMap<IpAddr, Vec<Holding<T>>, foldhash::fast::RandomState>,
    /// How many addresses there are in each network.
    networks: HashMap<IpAddr, usize, foldhash::fast::RandomState>,
}

impl<T> Default for Addresses<T> {
    fn default() -> Self {
        Self {
            holders: HashMap::default(),
            networks: HashMap::default(),
        }
    }
}

impl<T> Addresses<T> {
    /// `key` holds an address, since `from` at the earliest. Again for one that it holds already: the value is replaced.
    pub(crate) fn hold(&mut self, ip: IpAddr, key: &Arc<str>, value: T, from: Nanos) {
        let holders = self.holders.entry(ip).or_insert_with(|| {
            *self.networks.entry(network(ip)).or_default() += 1;
            Vec::with_capacity(1)
        });
        let own = |holding: &&mut Holding<T>| holding.key == *key && holding.until.is_none();
        if let Some(holding) = holders.iter_mut().find(own) {
            holding.value = value;
            return;
        }
        let released = holders
            .iter()
            .filter_map(|holding| Some(holding.ending.unwrap_or(holding.until?)))
            .filter(|until| (from..from.saturating_add(GRAIN)).contains(until))
            .max();
        let from = released.map_or(from, |until| until.saturating_add(1));
        let at = holders.partition_point(|holding| holding.from <= from);
        holders.insert(
            at,
            Holding {
                key: key.clone(),
                value,
                from,
                until: None,
                ending: None,
            },
        );
        if holders.len() > FORMER
            && let Some(oldest) = holders.iter().position(|holding| holding.until.is_some())
        {
            holders.remove(oldest);
        }
    }

    /// `key` was asked to end at `at`; only the first time counts.
    pub(crate) fn ending(&mut self, ip: IpAddr, key: &str, at: Nanos) {
        if let Some(holding) = self.current(ip, key) {
            holding.ending.get_or_insert(at);
        }
    }

    /// `key` was seen at `at` to hold an address no more.
    pub(crate) fn release(&mut self, ip: IpAddr, key: &str, at: Nanos) {
        if let Some(holding) = self.current(ip, key) {
            holding.until = Some(at);
        }
    }

    fn current(&mut self, ip: IpAddr, key: &str) -> Option<&mut Holding<T>> {
        let holders = self.holders.get_mut(&ip)?;
        holders
            .iter_mut()
            .find(|holding| &*holding.key == key && holding.until.is_none())
    }

    /// Who held an address at `at`.
    pub(crate) fn holder(&self, ip: IpAddr, at: Nanos) -> Held<'_, T> {
        let Some(holders) = self.holders.get(&ip) else {
            return Held::Nobody;
        };
        let begun = holders.partition_point(|holding| holding.from <= at);
        let (before, after) = holders.split_at(begun);
        let holds = |holding: &&Holding<T>| holding.until.is_none_or(|until| at <= until);
        if let Some(holding) = before.iter().rev().find(holds) {
            return match holding.ending {
                Some(asked) if at >= asked => Held::Perhaps(&holding.value),
                _ => Held::By(&holding.value),
            };
        }
        match after.first() {
            Some(next) if next.from - at <= SKEW => Held::By(&next.value),
            _ => Held::Nobody,
        }
    }

    /// Is there any holder in the address's network? Pods of a node have addresses of one or a few, so this one may be of a pod that is
    /// not known yet.
    pub(crate) fn is_near(&self, ip: IpAddr) -> bool {
        self.networks.contains_key(&network(ip))
    }

    /// Forgets holdings that ended before `before`.
    pub(crate) fn expire(&mut self, before: Nanos) {
        let networks = &mut self.networks;
        self.holders.retain(|&ip, holders| {
            holders.retain(|holding| holding.until.is_none_or(|until| until >= before));
            if holders.is_empty()
                && let Some(count) = networks.get_mut(&network(ip))
            {
                *count -= 1;
                if *count == 0 {
                    networks.remove(&network(ip));
                }
            }
            !holders.is_empty()
        });
    }

    /// Addresses known.
    pub(crate) fn len(&self) -> usize {
        self.holders.len()
    }
}

/// The /24 or the /64: what a node's pods share by default.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Nanos = 1_000_000_000;
    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

    fn key(name: &str) -> Arc<str> {
        name.into()
    }

    fn hold(addresses: &mut Addresses<&'static str>, name: &'static str, from: Nanos) {
        addresses.hold(IP, &key(name), name, from);
    }

    #[track_caller]
    fn check(addresses: &Addresses<&'static str>, at: Nanos, expected: Option<&str>) {
        let found = match addresses.holder(IP, at) {
            Held::By(name) => Some(*name),
            Held::Perhaps(name) => panic!("{name} is uncertain"),
            Held::Nobody => None,
        };
        assert_eq!(found, expected, "at {at}");
    }

    #[test]
    fn an_address_means_its_holder_at_the_time() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        addresses.release(IP, "a", 200 * S);
        check(&addresses, 300 * S, None);
        hold(&mut addresses, "b", 250 * S);
        check(&addresses, 50 * S, None);
        check(&addresses, 100 * S, Some("a"));
        check(&addresses, 200 * S, Some("a"));
        check(&addresses, 201 * S, None);
        check(&addresses, 250 * S, Some("b"));
        check(&addresses, 900 * S, Some("b"));
    }

    #[test]
    fn the_next_start_ends_a_holding_that_nobody_ended() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        hold(&mut addresses, "b", 200 * S);
        check(&addresses, 199 * S, Some("a"));
        check(&addresses, 200 * S, Some("b"));
        // The end of the first is heard of late.
        addresses.release(IP, "a", 205 * S);
        check(&addresses, 201 * S, Some("b"));
    }

    #[test]
    fn within_one_second_the_release_decides() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        addresses.release(IP, "a", 200 * S + 600_000_000);
        // Its start is told as second 200.
        hold(&mut addresses, "b", 200 * S);
        check(&addresses, 200 * S + 300_000_000, Some("a"));
        check(&addresses, 200 * S + 700_000_000, Some("b"));
    }

    #[test]
    fn whoever_was_asked_to_end_makes_way_though_its_end_is_heard_of_late() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        addresses.ending(IP, "a", 200 * S + 100_000_000);
        addresses.release(IP, "a", 200 * S + 900_000_000);
        hold(&mut addresses, "b", 200 * S);
        check(&addresses, 200 * S, Some("a"));
        check(&addresses, 200 * S + 500_000_000, Some("b"));
    }

    #[test]
    fn clocks_of_other_nodes() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        check(&addresses, 99 * S, Some("a"));
        check(&addresses, 97 * S, None);
        // But never at the cost of somebody who held it.
        addresses.release(IP, "a", 200 * S);
        hold(&mut addresses, "b", 201 * S);
        check(&addresses, 200 * S, Some("a"));
    }

    #[test]
    fn one_that_was_asked_to_end_is_uncertain_from_then_on() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        addresses.ending(IP, "a", 150 * S);
        addresses.ending(IP, "a", 160 * S);
        check(&addresses, 149 * S, Some("a"));
        assert_eq!(addresses.holder(IP, 150 * S), Held::Perhaps(&"a"));
        addresses.release(IP, "a", 180 * S);
        hold(&mut addresses, "b", 170 * S);
        check(&addresses, 175 * S, Some("b"));
    }

    #[test]
    fn values_are_replaced_and_returned_addresses_are_new() {
        let mut addresses = Addresses::default();
        addresses.hold(IP, &key("a"), "old", 100 * S);
        addresses.hold(IP, &key("a"), "new", 150 * S);
        check(&addresses, 120 * S, Some("new"));
        addresses.release(IP, "a", 200 * S);
        addresses.hold(IP, &key("a"), "again", 300 * S);
        check(&addresses, 250 * S, None);
        check(&addresses, 300 * S, Some("again"));
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut addresses = Addresses::default();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
            hold(&mut addresses, name, 100 * S);
            addresses.release(IP, name, 200 * S);
        }
        assert_eq!(addresses.holders[&IP].len(), FORMER);
        assert!(addresses.is_near("10.0.0.77".parse().unwrap()));
        assert!(!addresses.is_near("10.0.1.77".parse().unwrap()));
        addresses.expire(200 * S);
        assert_eq!(addresses.len(), 1);
        addresses.expire(201 * S);
        assert_eq!(addresses.len(), 0);
        assert!(!addresses.is_near(IP));
    }

    proptest! {
        /// Holders that follow each other, heard of with any delay: an exchange in the middle of a holding is told of its holder.
        #[test]
        fn one_after_another(
            lives in proptest::collection::vec((3u64..50, 0u64..20, 0u64..900), 1..8),
        ) {
            let mut addresses = Addresses::default();
            let mut begin = 1000 * S;
            let mut middles = Vec::new();
            let mut before: Option<(Arc<str>, Nanos)> = None;
            for (index, (length, gap, delay)) in lives.iter().enumerate() {
                let name = key(&index.to_string());
                let end = begin + length * S;
                if let Some((previous, released)) = &before {
                    addresses.release(IP, previous, *released);
                }
                addresses.hold(IP, &name, index, begin / S * S);
                middles.push((index, begin + length * S / 2));
                before = Some((name, end + delay * 1_000_000));
                // Its end is heard of before the next start is.
                begin = end + gap * S + delay * 1_000_000;
            }
            for (index, at) in middles {
                prop_assert_eq!(addresses.holder(IP, at), Held::By(&index));
            }
        }
    }
}
