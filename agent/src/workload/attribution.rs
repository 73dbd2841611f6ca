//! Attribution: what is known of an exchange's two ends, and what is asked to find it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::attributes::{ClusterInfo, Prefix};
use super::directory::subject;
use super::identity::{Identity, Peer};
use super::mesh::{Role, is_internal};
use super::scope::Reason;
use super::trust::claimed_client;
use crate::exchange::Exchange;
use crate::flow::{CgroupId, Nanos, Peers, Side};
use crate::signal::metrics::Subject;
use crate::signal::span::ResourceValue;

/// Where a sidecar's requests to its application come from over IPv6 (over IPv4 it is 127.0.0.6, a
/// loopback address).
const SIDECAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// Whose ends are looked up: what the kernel knows of the socket, and what the client's end claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The socket's cgroup.
    pub cgroup: CgroupId,
    /// Which end it is.
    pub side: Side,
    /// The end that sends requests.
    pub client: IpAddr,
    /// The end that responds.
    pub server: IpAddr,
    /// When it started.
    pub at: Nanos,
    /// For whom the client's end claims to speak. It counts only when that end is a trusted proxy.
    pub(crate) claimed: Option<IpAddr>,
    /// Of an exchange in a tunnel that a program with rustls reads or writes.
    pub(crate) tunnel: Option<Tunnel>,
}

/// The ends of what runs in a tunnel. If the program is ztunnel, its network is the pod's whose
/// tunnel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// The address of that pod.
    pub(crate) own: IpAddr,
    /// The other end's.
    pub(crate) peer: IpAddr,
}

impl Tunnel {
    fn of(peers: &Peers) -> Option<Self> {
        let outer = peers
            .outer
            .as_deref()
            .filter(|_| peers.connection.is_rustls())?;
        // Who is in the mesh is believed: it says for whom it opens a tunnel.
        let is_of_mesh = peers.secured.as_deref().is_some_and(|secured| secured.mtls);
        let forwarded = outer.claims.forwarded.filter(|_| is_of_mesh);
        let (client, server) = (outer.client.ip(), outer.server.ip());
        Some(match peers.side {
            Side::Server => Self {
                own: server,
                peer: forwarded.unwrap_or(client),
            },
            Side::Client => Self {
                own: client,
                peer: outer.claims.target.map_or(server, |target| target.ip()),
            },
        })
    }
}

impl Lookup {
    /// Of an exchange, without what is claimed.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Self {
        let peers = &exchange.peers;
        Self {
            cgroup: peers.cgroup,
            side: peers.side,
            client: peers.client.ip(),
            server: peers.server.ip(),
            at: exchange.request.began,
            claimed: None,
            tunnel: Tunnel::of(peers),
        }
    }

    /// Of an exchange, with what is claimed: where some proxies are trusted.
    pub(crate) fn with_claim(exchange: &Exchange) -> Self {
        let lookup = Self::of(exchange);
        Self {
            claimed: match lookup.side {
                Side::Server => claimed_client(exchange),
                Side::Client => None,
            },
            ..lookup
        }
    }

    /// The same in the tunnel.
    pub(crate) const fn in_tunnel(self, tunnel: Tunnel) -> Self {
        let (client, server) = match self.side {
            Side::Server => (tunnel.peer, tunnel.own),
            Side::Client => (tunnel.own, tunnel.peer),
        };
        Self {
            client,
            server,
            claimed: None,
            ..self
        }
    }

    /// The other end of the socket.
    pub(crate) const fn peer(&self) -> IpAddr {
        match self.side {
            Side::Server => self.client,
            Side::Client => self.server,
        }
    }
}

/// A pod's own network alone has it.
pub(crate) fn is_own_address(ip: IpAddr) -> bool {
    ip.is_loopback() || ip == SIDECAR_V6
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

/// Who has the client's end, as an address proves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// It is not known.
    #[default]
    Unknown,
    /// The node itself: a kubelet, a process of the host, a pod on the host's network.
    Node,
    /// A pod.
    Pod,
    /// Something in the server's own pod: the application itself, or its sidecar.
    SamePod,
    /// This agent.
    Agent,
}

/// What is known of an exchange's two ends.
#[derive(Clone, Debug, Default)]
pub struct Attribution {
    pub(super) own: Option<Arc<Identity>>,
    pub(super) peer: Option<Peer>,
    pub(super) caller: Caller,
    pub(super) missing: Option<Missing>,
    /// The address that is waited for.
    pub(super) awaited: Option<IpAddr>,
    pub(super) is_cgroup_unknown: bool,
    /// Several may have had the other end's address: nobody is named.
    pub(super) is_uncertain: bool,
    /// The client's end is a proxy whose PROXY preamble is believed.
    pub(super) is_proxy_trusted: bool,
    pub(super) excluded: Option<Reason>,
    pub(super) settles_in: Nanos,
}

impl Attribution {
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

    /// How long an update that would change it may be on its way.
    #[must_use]
    pub const fn settles_in(&self) -> Duration {
        Duration::from_nanos(self.settles_in)
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

    /// Several may have had the other end's address.
    #[must_use]
    pub const fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// The client's end is a proxy whose PROXY preamble is believed: by configuration, or as it is
    /// in the own pod of a proxy of the mesh (ztunnel passes requests to a waypoint so).
    #[must_use]
    pub const fn is_proxy_trusted(&self) -> bool {
        self.is_proxy_trusted
    }

    /// Nobody knows the cgroup, and someone should look for it.
    pub(crate) const fn is_cgroup_unknown(&self) -> bool {
        self.is_cgroup_unknown
    }

    pub(crate) const fn awaited(&self) -> Option<IpAddr> {
        self.awaited
    }

    /// Why the exchange is not to be emitted, if so: by its workload, or because a proxy of the
    /// mesh talks to itself.
    #[must_use]
    pub fn excluded(&self, exchange: &Exchange) -> Option<Reason> {
        self.excluded
            .or_else(|| self.is_proxy_internal(exchange).then_some(Reason::Proxy))
    }

    fn is_proxy_internal(&self, exchange: &Exchange) -> bool {
        let Some(own) = self.own.as_ref().filter(|own| own.is_gateway_proxy()) else {
            return false;
        };
        let peers = &exchange.peers;
        let other = Lookup::of(exchange).peer();
        // On the host's network loopback is everybody's.
        let is_shared = own.pod().is_some_and(|pod| pod.host_network);
        let is_proxied = is_shared || peers.claimed_client.is_some();
        is_internal(peers.server.port(), other, is_proxied)
    }

    /// Who has the client's end.
    #[must_use]
    pub const fn caller(&self) -> Caller {
        self.caller
    }

    /// The socket is one of a pod that the API reports.
    #[must_use]
    pub fn is_of_pod(&self) -> bool {
        self.own.as_ref().and_then(|own| own.pod()).is_some()
    }

    /// Does the spec of the server's pod declare this request, as a probe or a lifecycle hook of
    /// the kubelet's? It comes from the node, or from the pod's sidecar on the kubelet's
    /// behalf; nobody else makes it.
    #[must_use]
    pub fn is_declared_probe(&self, exchange: &Exchange) -> bool {
        let Some(pod) = self.own.as_ref().and_then(|own| own.pod()) else {
            return false;
        };
        if exchange.peers.side != Side::Server {
            return false;
        }
        let (port, head) = (exchange.peers.server.port(), &exchange.request.head);
        match self.caller {
            Caller::Node => pod.probes.declare(port, head),
            Caller::SamePod if pod.role == Role::Sidecar => {
                pod.probes.declare_to_sidecar(port, head)
            }
            Caller::SamePod | Caller::Pod | Caller::Agent | Caller::Unknown => false,
        }
    }

    /// Labels of both ends in metrics.
    pub(super) fn subject(&self, side: Side, cluster: &ClusterInfo) -> Subject<'_> {
        let own = self.own.as_ref().and_then(|own| own.pod());
        subject(own, self.peer.as_ref(), side, cluster)
    }

    /// Attributes of the end that sends requests and of the one that responds.
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
