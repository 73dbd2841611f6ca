//! What is known of an exchange's two ends.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::super::addresses::Held;
use super::super::attributes::Prefix;
use super::super::identity::{Identity, Peer};
use super::super::pod::Role;
use super::super::scope::Reason;
use super::health::Trust;
use super::{Directory, State, Watch};
use crate::exchange::Exchange;
use crate::flow::{CgroupId, Nanos, Side};
use crate::span::ResourceValue;

/// Where a sidecar's requests to its application come from over IPv6 (over IPv4 it is 127.0.0.6, a loopback address).
const SIDECAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));
/// How long an address that turned out to be nobody's is not waited for again.
const STRANGER: Nanos = 60_000_000_000;
/// How long news of an address may be on its way from the API: who is asked earlier than this after an exchange may name a holder that has
/// just let go.
const SETTLE: Nanos = 300_000_000;
/// Addresses known to be nobody's.
pub(super) const MAX_STRANGERS: usize = 4096;

/// Whose ends are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The socket's cgroup.
    pub cgroup: CgroupId,
    /// Which end it is.
    pub side: Side,
    /// The end that asks.
    pub client: IpAddr,
    /// The end that answers.
    pub server: IpAddr,
    /// The first address of `x-forwarded-for`, when the end that asks may be a proxy of the pod's own.
    pub forwarded: Option<IpAddr>,
    /// When it began.
    pub at: Nanos,
}

impl Question {
    /// Of an exchange.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        let peers = &exchange.peers;
        let client = peers.caller().ip();
        // Only what comes from a pod's own proxy is looked at closer.
        let forwarded = is_own_address(client)
            .then(|| exchange.request.head.fields.get("x-forwarded-for"))
            .flatten();
        Self {
            cgroup: peers.cgroup,
            side: peers.side,
            client,
            server: peers.server.ip(),
            forwarded: forwarded.and_then(first_address),
            at: exchange.request.began,
        }
    }
}

/// A pod's own network alone has it.
fn is_own_address(ip: IpAddr) -> bool {
    ip.is_loopback() || ip == SIDECAR_V6
}

fn first_address(value: &[u8]) -> Option<IpAddr> {
    let first = value.split(|&byte| byte == b',').next()?;
    let text = str::from_utf8(first.trim_ascii()).ok()?;
    let ip: IpAddr = text.parse().ok()?;
    Some(ip.to_canonical())
}

/// What is still expected to become known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The folder of the cgroup.
    Cgroup,
    /// The pod of the container, or the container's name.
    Pod,
    /// Who holds the other end's address.
    Peer,
}

impl Missing {
    /// Everything, in order.
    pub const ALL: [Self; 3] = [Self::Cgroup, Self::Pod, Self::Peer];

    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Pod => "pod",
            Self::Peer => "peer",
        }
    }
}

/// What is known of an exchange's two ends.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    own: Option<Arc<Identity>>,
    peer: Option<Peer>,
    missing: Option<Missing>,
    /// The address that is waited for.
    awaited: Option<IpAddr>,
    client_is_pod: bool,
    cgroup_unknown: bool,
    left_out: Option<Reason>,
    settles_in: Nanos,
}

impl Resolution {
    /// One that lacks something.
    #[cfg(test)]
    pub(crate) fn lacking(missing: Missing) -> Self {
        Self {
            missing: Some(missing),
            ..Self::default()
        }
    }

    /// One that lacks nothing, and may change.
    #[cfg(test)]
    pub(crate) fn settling(time: Duration) -> Self {
        Self {
            settles_in: u64::try_from(time.as_nanos()).unwrap(),
            ..Self::default()
        }
    }

    /// How long news that would change it may be on its way.
    #[must_use]
    pub const fn settles_in(&self) -> Duration {
        Duration::from_nanos(self.settles_in)
    }

    /// Why the exchange is not to be told, if so.
    #[must_use]
    pub const fn left_out(&self) -> Option<Reason> {
        self.left_out
    }

    /// The captured socket's own workload.
    #[must_use]
    pub fn own(&self) -> Option<&Arc<Identity>> {
        self.own.as_ref()
    }

    /// What may become known if one waits.
    #[must_use]
    pub const fn missing(&self) -> Option<Missing> {
        self.missing
    }

    /// The end that asks is known to be a pod: not a kubelet.
    #[must_use]
    pub const fn client_is_pod(&self) -> bool {
        self.client_is_pod
    }

    /// Nobody knows the cgroup, and someone should look for it.
    pub(crate) const fn cgroup_unknown(&self) -> bool {
        self.cgroup_unknown
    }

    pub(crate) const fn awaited(&self) -> Option<IpAddr> {
        self.awaited
    }

    /// Attributes of the end that asks and of the one that answers.
    pub(crate) fn ends(&self, side: Side, trust_domain: &str) -> [&[(String, ResourceValue)]; 2] {
        let own = |prefix| self.own.as_ref().map_or(&[][..], |own| own.end(prefix));
        let peer = |prefix| {
            let peer = self.peer.as_ref();
            peer.map_or(&[][..], |peer| peer.attributes(prefix, trust_domain))
        };
        let (source, destination) = (Prefix::Source, Prefix::Destination);
        match side {
            Side::Server => [peer(source), own(destination)],
            Side::Client => [own(source), peer(destination)],
        }
    }
}

impl Directory {
    /// What is known at `now`.
    pub(crate) fn resolve(&self, question: &Question, now: Nanos) -> Resolution {
        let state = self.read();
        let mut found = Resolution::default();
        let id = question.cgroup.0;
        match state.cgroups.get(&id) {
            Some(cgroup) => {
                found.own.clone_from(&cgroup.identity);
                found.left_out = found.own.as_ref().and_then(|own| own.left_out());
                if cgroup.settled {
                    if found.left_out.is_some() {
                        return found;
                    }
                    // Its namespace may opt it out, which is told by another watch.
                    let has_pod = found.own.as_ref().is_some_and(|own| own.pod().is_some());
                    if has_pod && self.health.is_starting(Watch::Namespaces) {
                        found.missing = Some(Missing::Pod);
                    }
                } else if self.health.trust(Watch::NodePods, now) == Trust::Expecting {
                    found.missing = Some(Missing::Pod);
                }
            }
            None if state.absent.contains_key(&id) => {
                found.left_out = self.choice.scope.leaves_out_unidentified();
            }
            None => {
                found.left_out = self.choice.scope.leaves_out_unidentified();
                found.missing = Some(Missing::Cgroup);
                found.cgroup_unknown = true;
            }
        }
        self.find_peer(&state, question, now, &mut found);
        found
    }

    fn find_peer(&self, state: &State, question: &Question, now: Nanos, found: &mut Resolution) {
        let own = found.own.as_ref().and_then(|own| own.pod()).cloned();
        found.client_is_pod = question.side == Side::Client && own.is_some();
        let ip = match question.side {
            Side::Server => question.client,
            Side::Client => question.server,
        };
        let is_sidecar = own.as_ref().is_some_and(|pod| pod.role == Role::Sidecar);
        let ip = if is_own_address(ip) {
            match question.forwarded {
                Some(client) if is_sidecar && question.side == Side::Server => client,
                _ if is_sidecar => return,
                // A pod that talks to itself; on the host's network it may be anyone.
                _ => {
                    found.client_is_pod = own.is_some();
                    found.peer = own.filter(|pod| !pod.host_network).map(Peer::Pod);
                    return;
                }
            }
        } else {
            ip
        };
        let trust = self.trust_in_addresses(now);
        if matches!(trust, Trust::Absent | Trust::Stale) {
            return;
        }
        let (peer, is_certain) = match state.pod_addresses.holder(ip, question.at) {
            Held::By(pod) => {
                if trust == Trust::Expecting {
                    found.settles_in = (question.at + SETTLE).saturating_sub(now);
                }
                (Some(Peer::Pod(pod.clone())), true)
            }
            Held::Perhaps(pod) => (Some(Peer::Pod(pod.clone())), false),
            Held::Nobody => match state.service_addresses.holder(ip, question.at) {
                Held::By(service) | Held::Perhaps(service) => {
                    (Some(Peer::Service(service.clone())), true)
                }
                Held::Nobody => {
                    let is_stranger = state
                        .strangers
                        .get(&ip)
                        .is_some_and(|since| now.saturating_sub(*since) < STRANGER);
                    (None, is_stranger || !state.pod_addresses.is_near(ip))
                }
            },
        };
        if question.side == Side::Server {
            found.client_is_pod = matches!(peer, Some(Peer::Pod(_)));
        }
        found.peer = peer;
        if !is_certain && trust == Trust::Expecting && found.missing.is_none() {
            found.missing = Some(Missing::Peer);
            found.awaited = Some(ip);
        }
    }

    /// How far what is known of addresses can be relied on: as far as the watch that does worst.
    fn trust_in_addresses(&self, now: Nanos) -> Trust {
        let node = self.health.trust(Watch::NodePods, now);
        let other = self.health.trust(Watch::OtherPods, now);
        match (node, other) {
            (Trust::Absent, trust) | (trust, Trust::Absent) => trust,
            (Trust::Stale, _) | (_, Trust::Stale) => Trust::Stale,
            (Trust::Stalled, _) | (_, Trust::Stalled) => Trust::Stalled,
            (Trust::Expecting, Trust::Expecting) => Trust::Expecting,
        }
    }

    /// An address was waited for in vain: the next exchange does not wait for it.
    pub(crate) fn give_up(&self, ip: IpAddr, now: Nanos) {
        let mut state = self.write();
        if state.strangers.len() >= MAX_STRANGERS {
            state
                .strangers
                .retain(|_, since| now.saturating_sub(*since) < STRANGER);
        }
        if state.strangers.len() < MAX_STRANGERS {
            state.strangers.insert(ip, now);
        }
    }
}
