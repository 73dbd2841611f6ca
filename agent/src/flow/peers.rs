//! The two ends of a connection, and where the recorded socket stands.

use std::net::IpAddr;
use std::sync::Arc;

use super::{CgroupId, ConnectionId, Endpoint, Secured, Side, SocketId};

/// What all exchanges of one connection share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// The connection.
    pub connection: ConnectionId,
    /// The socket that was recorded.
    pub socket: SocketId,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// Which end it is.
    pub side: Side,
    /// The end that sends requests, as the socket knows it.
    pub client: Endpoint,
    /// The end that sends responses, as the socket knows it.
    pub server: Endpoint,
    /// The client's address as a PROXY protocol preamble claims it, when there was one.
    pub claimed_client: Option<Endpoint>,
    /// The port that the client connected to, likewise.
    pub claimed_port: Option<u16>,
    /// The same, where a trusted proxy sent the preamble.
    pub proxied_client: Option<Endpoint>,
    /// The peers of the tunnel (CONNECT, HBONE, an upgrade) that this connection runs through.
    pub outer: Option<Arc<Self>>,
    /// What the handshake of the TLS session proves that the connection runs through, where it was
    /// seen; of an application's socket, that of the mesh.
    pub secured: Option<Arc<Secured>>,
    /// Of outer peers: what the request that opened the tunnel says of it.
    pub claims: TunnelClaims,
}

/// What a PROXY protocol preamble says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The client.
    pub client: Endpoint,
    /// The port that it connected to, where one can be read.
    pub port: Option<u16>,
}

/// What the request that opened a tunnel says of it: claims of its sender. Addresses, and names
/// that Kubernetes allows, so that nothing else of the request is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelClaims {
    /// Where the tunnel leads: the authority of the CONNECT (HBONE's `:authority`).
    pub target: Option<Endpoint>,
    /// For whom it was opened: the `for` of its first `Forwarded` element (RFC 7239 §5.2).
    pub forwarded: Option<IpAddr>,
    /// The workload that sends what is inside, as ztunnel names it (`baggage`).
    pub source: Option<Arc<TunnelSource>>,
}

/// A workload, by the names that its proxy gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelSource {
    /// `k8s.cluster.name`
    pub cluster: Option<Box<str>>,
    /// `k8s.namespace.name`
    pub namespace: Option<Box<str>>,
    /// Of its workload: `deployment`, `statefulset`, `pod` …
    pub kind: Option<Box<str>>,
    /// `k8s.<kind>.name`
    pub workload: Option<Box<str>>,
    /// `service.name`
    pub service: Option<Box<str>>,
    /// `service.version`
    pub version: Option<Box<str>>,
}

impl TunnelSource {
    /// What is known of it: the last part of an attribute's name, and the value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("kind", &self.kind),
            ("workload", &self.workload),
            ("service", &self.service),
            ("version", &self.version),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl Peers {
    /// What the connection itself says of the scheme of its requests.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.connection.is_tls() {
            true => "https",
            false => "http",
        }
    }

    /// What a PROXY protocol preamble says, or that there is none.
    pub fn set_claim(&mut self, claim: Option<Claim>) {
        self.claimed_client = claim.map(|claim| claim.client);
        self.claimed_port = claim.and_then(|claim| claim.port);
    }

    /// The ports of both ends, and those that a PROXY protocol preamble names.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let claimed = self.claimed_client.map(|client| client.port());
        [self.client.port(), self.server.port()]
            .into_iter()
            .chain(claimed)
            .chain(self.claimed_port)
    }

    /// The claim of a PROXY protocol preamble is believed.
    pub fn trust_claim(peers: &mut Arc<Self>) {
        if peers.claimed_client != peers.proxied_client {
            let peers = Arc::make_mut(peers);
            peers.proxied_client = peers.claimed_client;
        }
    }

    /// Who sends the requests: a trusted proxy knows better than the socket.
    #[must_use]
    pub fn caller(&self) -> &Endpoint {
        self.proxied_client.as_ref().unwrap_or(&self.client)
    }
}
