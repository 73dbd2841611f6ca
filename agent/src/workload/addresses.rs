//! Who held an address when. Pure.
//!
//! Addresses of pods are used again, so a name without a time means nothing: an exchange belongs to
//! who held the address *while it happened*, not to who holds it when the exchange is exported. An
//! address has one holder at a time. What is known of the time:
//!
//! | bound | from |
//! |---|---|
//! | a holding does not begin before `from` | the pod's start, in whole seconds |
//! | it has started at `proven` | a container of the pod runs, or the API reports the address |
//! | it may have ended since `ending` | the pod was asked to end |
//! | it has ended at `until` | the pod was seen to have ended |
//! | it ends after `until` | the API forgot the pod while a container still ran (a deletion with grace period 0) |
//!
//! Where more than one pod may have held the address, nobody is named.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::flow::Nanos;

/// The API gives starts in whole seconds.
const GRAIN: Nanos = 1_000_000_000;
/// How far a start may seem to lie in the future: the clock of another node.
const SKEW: Nanos = 2_000_000_000;
/// How long the processes of a pod may outlive its object in the API: a deletion with grace period
/// 0 does not wait for the kubelet, which kills within seconds of it on a node that is well.
const OUTLIVES: Nanos = 60_000_000_000;
/// Former holders of one address that are remembered: an address is not used so often within the
/// time that matters.
const FORMER: usize = 8;

/// Who held an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held<'a, T> {
    /// Nobody that is known.
    Nobody,
    /// This one.
    By(&'a T),
    /// This one, unless it has released it and the API has not reported that yet.
    Perhaps(&'a T),
    /// One of several, or one that the API has forgotten: it cannot be known.
    Uncertain,
}

/// When a holding begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// Not before this.
    pub(crate) from: Nanos,
    /// At this at the latest.
    pub(crate) proven: Nanos,
}

impl Since {
    /// A beginning that is known.
    pub(crate) const fn at(time: Nanos) -> Self {
        Self {
            from: time,
            proven: time,
        }
    }

    /// The start of a pod's life is `start`; one of its containers ran at `running` (both in whole
    /// seconds, by the clock of its node), and `heard` is when the API reported the address.
    pub(crate) fn of_pod(start: Nanos, running: Option<Nanos>, heard: Nanos) -> Self {
        let ran = running.map_or(heard, |time| time.saturating_add(GRAIN + SKEW));
        Self {
            from: start,
            proven: ran.min(heard).max(start),
        }
    }
}

/// How a holding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// By this time.
    Ended(Nanos),
    /// The API forgot the holder at this time; its processes may have gone on.
    Forgotten(Nanos),
}

impl Release {
    /// The last moment at which the holder may have had the address.
    const fn last(self) -> Nanos {
        match self {
            Self::Ended(at) => at,
            Self::Forgotten(at) => at.saturating_add(OUTLIVES),
        }
    }
}

#[derive(Clone, Debug)]
struct Holding<T> {
    key: Arc<str>,
    value: T,
    since: Since,
    release: Option<Release>,
    /// When it was asked to end.
    ending: Option<Nanos>,
}

impl<T> Holding<T> {
    /// May it have had the address at `at`? `superseded` is when another is known to have it.
    fn may_hold(&self, at: Nanos, superseded: Nanos) -> bool {
        self.since.from <= at
            && at < superseded
            && self.release.is_none_or(|release| at <= release.last())
    }

    /// It was asked to end before `at`.
    fn was_ending(&self, at: Nanos) -> bool {
        self.ending.is_some_and(|asked| at >= asked)
    }

    fn was_forgotten(&self, at: Nanos) -> bool {
        matches!(self.release, Some(Release::Forgotten(since)) if at > since)
    }
}

/// Addresses and their holders.
#[derive(Debug)]
pub(crate) struct Addresses<T> {
    /// The holders of each, by the start of their holding.
    holders: HashMap<IpAddr, Vec<Holding<T>>, crate::hash::Keyed>,
    /// How many addresses there are in each network.
    networks: HashMap<IpAddr, usize, crate::hash::Keyed>,
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
    /// `key` holds an address. Again for one that it holds already: the value is replaced, and the
    /// beginning is known better.
    pub(crate) fn hold(&mut self, ip: IpAddr, key: &Arc<str>, value: T, since: Since) {
        let holders = self.holders.entry(ip).or_insert_with(|| {
            *self.networks.entry(network(ip)).or_default() += 1;
            Vec::with_capacity(1)
        });
        let own = |holding: &&mut Holding<T>| holding.key == *key && holding.release.is_none();
        if let Some(holding) = holders.iter_mut().find(own) {
            holding.value = value;
            holding.since.proven = holding.since.proven.min(since.proven);
            return;
        }
        // The one before began, was asked to end, or ended within the second that the start is
        // given in: a better bound.
        let bound = |holding: &Holding<T>| match (holding.ending, holding.release) {
            (Some(at), _) | (None, Some(Release::Ended(at))) => Some(at),
            (None, Some(Release::Forgotten(_))) => Some(holding.since.from),
            (None, None) => None,
        };
        let second = since.from..since.from.saturating_add(GRAIN);
        let before = holders
            .iter()
            .filter_map(bound)
            .filter(|bound| second.contains(bound))
            .max();
        let from = before.map_or(since.from, |until| until.saturating_add(1));
        let since = Since {
            from,
            proven: since.proven.max(from),
        };
        let at = holders.partition_point(|holding| holding.since.from <= from);
        holders.insert(
            at,
            Holding {
                key: key.clone(),
                value,
                since,
                release: None,
                ending: None,
            },
        );
        if holders.len() > FORMER
            && let Some(oldest) = holders.iter().position(|holding| holding.release.is_some())
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

    /// `key` holds an address no more.
    pub(crate) fn release(&mut self, ip: IpAddr, key: &str, release: Release) {
        if let Some(holding) = self.current(ip, key) {
            holding.release = Some(release);
        }
    }

    fn current(&mut self, ip: IpAddr, key: &str) -> Option<&mut Holding<T>> {
        let holders = self.holders.get_mut(&ip)?;
        holders
            .iter_mut()
            .find(|holding| &*holding.key == key && holding.release.is_none())
    }

    /// Who held an address at `at`.
    pub(crate) fn holder(&self, ip: IpAddr, at: Nanos) -> Held<'_, T> {
        let Some(holders) = self.holders.get(&ip) else {
            return Held::Nobody;
        };
        let started = holders.partition_point(|holding| holding.since.from <= at);
        let (before, after) = holders.split_at(started);
        let mut found: Option<&Holding<T>> = None;
        // The address is one's alone: whoever is proven to have it ends all holdings that began
        // before.
        let mut superseded = Nanos::MAX;
        for holding in before.iter().rev() {
            if holding.may_hold(at, superseded) {
                if found.is_some() {
                    return Held::Uncertain;
                }
                found = Some(holding);
            }
            superseded = superseded.min(holding.since.proven);
        }
        if let Some(holding) = found {
            return match holding {
                _ if holding.was_forgotten(at) => Held::Uncertain,
                _ if holding.was_ending(at) => Held::Perhaps(&holding.value),
                _ => Held::By(&holding.value),
            };
        }
        match after.first() {
            Some(next) if next.since.from - at <= SKEW => Held::By(&next.value),
            _ => Held::Nobody,
        }
    }

    /// Has anybody held the address within the time that is remembered?
    pub(crate) fn is_known(&self, ip: IpAddr) -> bool {
        self.holders.contains_key(&ip)
    }

    /// Is there any holder in the address's network? Pods of a node have addresses of one or a few,
    /// so this one may be of a pod that is not known yet.
    pub(crate) fn is_near(&self, ip: IpAddr) -> bool {
        self.networks.contains_key(&network(ip))
    }

    /// Forgets holdings that ended before `before`.
    pub(crate) fn expire(&mut self, before: Nanos) {
        let networks = &mut self.networks;
        self.holders.retain(|&ip, holders| {
            holders.retain(|holding| {
                holding
                    .release
                    .is_none_or(|release| release.last() >= before)
            });
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

    /// A holding whose beginning is known.
    fn hold(addresses: &mut Addresses<&'static str>, name: &'static str, from: Nanos) {
        addresses.hold(IP, &key(name), name, Since::at(from));
    }

    /// One that is proven later than it may have started.
    fn hold_late(
        addresses: &mut Addresses<&'static str>,
        name: &'static str,
        [from, proven]: [Nanos; 2],
    ) {
        addresses.hold(IP, &key(name), name, Since { from, proven });
    }

    fn end(addresses: &mut Addresses<&'static str>, name: &str, at: Nanos) {
        addresses.release(IP, name, Release::Ended(at));
    }

    fn forget(addresses: &mut Addresses<&'static str>, name: &str, at: Nanos) {
        addresses.release(IP, name, Release::Forgotten(at));
    }

    /// `a`, `a?` (perhaps), `?` (uncertain) or nothing.
    #[track_caller]
    fn check(addresses: &Addresses<&'static str>, at: Nanos, expected: &str) {
        let found = match addresses.holder(IP, at) {
            Held::By(name) => (*name).to_owned(),
            Held::Perhaps(name) => format!("{name}?"),
            Held::Uncertain => "?".to_owned(),
            Held::Nobody => String::new(),
        };
        assert_eq!(found, expected, "at {at}");
    }

    #[test]
    fn an_address_means_its_holder_at_the_time() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        end(&mut addresses, "a", 200 * S);
        check(&addresses, 300 * S, "");
        hold(&mut addresses, "b", 250 * S);
        check(&addresses, 50 * S, "");
        check(&addresses, 100 * S, "a");
        check(&addresses, 200 * S, "a");
        check(&addresses, 201 * S, "");
        check(&addresses, 250 * S, "b");
        check(&addresses, 900 * S, "b");
    }

    #[test]
    fn the_next_start_ends_a_holding_that_nobody_ended() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        hold(&mut addresses, "b", 200 * S);
        check(&addresses, 199 * S, "a");
        check(&addresses, 200 * S, "b");
        // The end of the first is heard of late.
        end(&mut addresses, "a", 205 * S);
        check(&addresses, 201 * S, "b");
    }

    #[test]
    fn within_one_second_the_release_decides() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        end(&mut addresses, "a", 200 * S + 600_000_000);
        // Its start is given as second 200.
        hold_late(&mut addresses, "b", [200 * S, 203 * S]);
        check(&addresses, 200 * S + 300_000_000, "a");
        check(&addresses, 200 * S + 700_000_000, "b");
    }

    #[test]
    fn whoever_was_asked_to_end_makes_way_once_the_next_is_proven() {
        for (proven, expected) in [(200 * S, "b"), (202 * S, "?")] {
            let mut addresses = Addresses::default();
            hold(&mut addresses, "a", 100 * S);
            addresses.ending(IP, "a", 200 * S + 100_000_000);
            end(&mut addresses, "a", 200 * S + 900_000_000);
            hold_late(&mut addresses, "b", [200 * S, proven]);
            check(&addresses, 200 * S, "a");
            check(&addresses, 200 * S + 500_000_000, expected);
            check(&addresses, 201 * S, "b");
        }
    }

    #[test]
    fn nobody_is_named_while_a_forgotten_pod_may_run_on() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        forget(&mut addresses, "a", 200 * S + 500_000_000);
        check(&addresses, 200 * S, "a");
        check(&addresses, 201 * S, "?");
        // The next was accepted by the kubelet before, and its address is reported three seconds
        // later.
        hold_late(&mut addresses, "b", [200 * S, 203 * S]);
        check(&addresses, 199 * S, "a");
        check(&addresses, 200 * S + 400_000_000, "?");
        check(&addresses, 201 * S, "?");
        check(&addresses, 203 * S - 1, "?");
        check(&addresses, 203 * S, "b");
    }

    #[test]
    fn a_forgotten_pod_ends_at_last() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        forget(&mut addresses, "a", 200 * S);
        check(&addresses, 200 * S + OUTLIVES, "?");
        check(&addresses, 200 * S + OUTLIVES + 1, "");
        addresses.expire(200 * S + OUTLIVES);
        assert!(addresses.is_known(IP));
        addresses.expire(200 * S + OUTLIVES + 1);
        assert!(!addresses.is_known(IP));
    }

    #[test]
    fn the_time_that_proves_a_holding() {
        let check = |running: Option<Nanos>, heard: Nanos, expected: Nanos| {
            let since = Since::of_pod(100 * S, running, heard);
            assert_eq!((since.from, since.proven), (100 * S, expected));
        };
        check(None, 105 * S, 105 * S);
        check(Some(101 * S), 105 * S, 104 * S);
        check(Some(104 * S), 105 * S, 105 * S);
        // The clocks differ.
        check(None, 99 * S, 100 * S);
        // A later report knows better.
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 90 * S);
        hold_late(&mut addresses, "b", [100 * S, 110 * S]);
        self::check(&addresses, 105 * S, "?");
        hold_late(&mut addresses, "b", [100 * S, 104 * S]);
        self::check(&addresses, 105 * S, "b");
        hold_late(&mut addresses, "b", [100 * S, 120 * S]);
        self::check(&addresses, 105 * S, "b");
    }

    #[test]
    fn clocks_of_other_nodes() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        check(&addresses, 99 * S, "a");
        check(&addresses, 97 * S, "");
        // But never at the cost of somebody who held it.
        end(&mut addresses, "a", 200 * S);
        hold(&mut addresses, "b", 201 * S);
        check(&addresses, 200 * S, "a");
    }

    #[test]
    fn one_that_was_asked_to_end_is_uncertain_from_then_on() {
        let mut addresses = Addresses::default();
        hold(&mut addresses, "a", 100 * S);
        addresses.ending(IP, "a", 150 * S);
        addresses.ending(IP, "a", 160 * S);
        check(&addresses, 149 * S, "a");
        check(&addresses, 150 * S, "a?");
        end(&mut addresses, "a", 180 * S);
        hold(&mut addresses, "b", 170 * S);
        check(&addresses, 175 * S, "b");
    }

    #[test]
    fn values_are_replaced_and_returned_addresses_are_new() {
        let mut addresses = Addresses::default();
        addresses.hold(IP, &key("a"), "old", Since::at(100 * S));
        addresses.hold(IP, &key("a"), "new", Since::at(150 * S));
        check(&addresses, 120 * S, "new");
        end(&mut addresses, "a", 200 * S);
        addresses.hold(IP, &key("a"), "again", Since::at(300 * S));
        check(&addresses, 250 * S, "");
        check(&addresses, 300 * S, "again");
    }

    #[test]
    fn the_past_is_forgotten() {
        let mut addresses = Addresses::default();
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
            hold(&mut addresses, name, 100 * S);
            end(&mut addresses, name, 200 * S);
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
        /// Holders that follow each other, heard of with any delay: an exchange in the middle of a
        /// holding is attributed to its holder.
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
                    addresses.release(IP, previous, Release::Ended(*released));
                }
                addresses.hold(IP, &name, index, Since::at(begin / S * S));
                middles.push((index, begin + length * S / 2));
                before = Some((name, end + delay * 1_000_000));
                // Its end is heard of before the next start is.
                begin = end + gap * S + delay * 1_000_000;
            }
            for (index, at) in middles {
                prop_assert_eq!(addresses.holder(IP, at), Held::By(&index));
            }
        }

        /// Whatever is known, and however late: nobody is named who cannot have had the address
        /// then.
        #[test]
        fn never_a_wrong_name(
            lives in proptest::collection::vec((0u64..4000, 1u64..8000, 0u64..3000, any::<bool>()), 1..6),
            at in 0u64..40_000,
        ) {
            const MS: Nanos = 1_000_000;
            let mut addresses = Addresses::default();
            // In truth one begins when the one before has ended; its start was put back by up to
            // `wait` before.
            let mut truth = Vec::new();
            let mut time = 10 * S;
            for (index, (wait, length, late, is_forced)) in lives.iter().enumerate() {
                let (begin, end) = (time + wait * MS, time + (wait + length) * MS);
                truth.push((index, begin, end));
                let since = Since { from: time / S * S, proven: begin + late * MS };
                addresses.hold(IP, &key(&index.to_string()), index, since);
                let half = begin + length * MS / 2;
                if *is_forced {
                    // The API forgets it while it runs.
                    addresses.release(IP, &index.to_string(), Release::Forgotten(half));
                } else {
                    addresses.ending(IP, &index.to_string(), half);
                    addresses.release(IP, &index.to_string(), Release::Ended(end + late * MS));
                }
                time = end;
            }
            let at = 10 * S + at * MS;
            if let Held::By(named) = addresses.holder(IP, at) {
                let someone = truth.iter().find(|(_, begin, end)| (*begin..*end).contains(&at));
                if let Some((index, ..)) = someone {
                    prop_assert_eq!(named, index, "{:?}", addresses);
                }
            }
        }
    }
}
