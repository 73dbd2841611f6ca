//! The labels of a series: Istio's, under Istio's names
//! (<https://istio.io/latest/docs/reference/config/metrics/>). `docs/istio-metrics.md` says where
//! each comes from.

use std::hash::{BuildHasher as _, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use hashbrown::Equivalent;

use super::families::Families;
use super::table::Labelled;
use super::text::{DESTINATION, SOURCE, Text};
use crate::flow::{Peers, Side};
use crate::hash::Keyed;

/// The value of what is not known.
pub const UNKNOWN: &str = "unknown";
/// The revision of a workload that names none.
pub const LATEST: &str = "latest";

/// One key for all label sets: equal ones have equal hashes.
static KEYED: LazyLock<Keyed> = LazyLock::new(Keyed::default);

/// What is known of one end, as Istio's labels have it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// `…_workload`
    pub workload: Box<str>,
    /// `…_workload_namespace`
    pub namespace: Box<str>,
    /// `…_principal`: a SPIFFE id. It counts only where both ends have one.
    pub principal: Option<Box<str>>,
    /// `…_app`
    pub app: Box<str>,
    /// `…_version`
    pub version: Box<str>,
    /// `…_canonical_service`
    pub canonical_service: Box<str>,
    /// `…_canonical_revision`
    pub canonical_revision: Box<str>,
    /// `…_cluster`
    pub cluster: Box<str>,
}

impl Default for End {
    fn default() -> Self {
        Self {
            workload: UNKNOWN.into(),
            namespace: UNKNOWN.into(),
            principal: None,
            app: UNKNOWN.into(),
            version: UNKNOWN.into(),
            canonical_service: UNKNOWN.into(),
            canonical_revision: LATEST.into(),
            cluster: UNKNOWN.into(),
        }
    }
}

/// A service that requests are for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// `destination_service`
    pub host: Box<str>,
    /// `destination_service_name`
    pub name: Box<str>,
    /// `destination_service_namespace`
    pub namespace: Box<str>,
}

/// Labels of a service, made once and compared fast.
#[derive(Debug)]
pub struct ServiceLabels {
    hash: u64,
    value: Service,
}

impl ServiceLabels {
    /// Of a service.
    #[must_use]
    pub fn new(value: Service) -> Arc<Self> {
        let hash = KEYED.hash_one(&value);
        Arc::new(Self { hash, value })
    }

    /// What they say.
    #[must_use]
    pub const fn value(&self) -> &Service {
        &self.value
    }
}

/// Labels of an end, made once and compared fast.
#[derive(Debug)]
pub struct EndLabels {
    hash: u64,
    value: End,
    service: Arc<ServiceLabels>,
}

impl EndLabels {
    /// Of an end.
    #[must_use]
    pub fn new(value: End) -> Arc<Self> {
        let service = ServiceLabels::new(Service {
            host: value.canonical_service.clone(),
            name: value.canonical_service.clone(),
            namespace: value.namespace.clone(),
        });
        Arc::new(Self {
            hash: KEYED.hash_one(&value),
            value,
            service,
        })
    }

    /// What they say.
    #[must_use]
    pub const fn value(&self) -> &End {
        &self.value
    }

    /// The service that it stands for where no other is known: its canonical service.
    pub(super) const fn service(&self) -> &Arc<ServiceLabels> {
        &self.service
    }
}

impl PartialEq for ServiceLabels {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.hash == other.hash && self.value == other.value)
    }
}

impl PartialEq for EndLabels {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.hash == other.hash && self.value == other.value)
    }
}

/// An end of which nothing is known.
pub(super) fn unknown_end() -> &'static Arc<EndLabels> {
    static UNKNOWN_END: LazyLock<Arc<EndLabels>> = LazyLock::new(|| EndLabels::new(End::default()));
    &UNKNOWN_END
}

/// `request_protocol`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Http,
    Grpc,
    Tcp,
}

impl Protocol {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

/// `connection_security_policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Security {
    /// The socket does not show it.
    #[default]
    Unknown,
    /// No mesh protects the connection, or one end has shown no certificate.
    Plain,
    /// Both ends have shown a certificate.
    MutualTls,
}

impl Security {
    /// What the handshake of the mesh's session proves. A client says nothing of it, as in Istio.
    #[must_use]
    pub fn proved(peers: &Peers) -> Option<Self> {
        let secured = peers.secured.as_deref();
        let secured = secured.filter(|_| peers.side == Side::Server)?;
        Some(match secured.mtls {
            true => Self::MutualTls,
            false => Self::Plain,
        })
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Unknown => UNKNOWN,
            Self::Plain => "none",
            Self::MutualTls => "mutual_tls",
        }
    }
}

/// What a response adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub(super) code: u16,
    /// Of a gRPC call that has one.
    pub(super) grpc_status: Option<u8>,
    /// As Envoy writes them.
    pub(super) flags: &'static str,
}

/// Which labels a series has.
#[derive(Debug)]
pub(super) struct Key {
    side: Side,
    source: Arc<EndLabels>,
    destination: Arc<EndLabels>,
    service: Arc<ServiceLabels>,
    protocol: Protocol,
    outcome: Option<Outcome>,
    security: Security,
    route: Option<Arc<str>>,
}

/// The same, borrowed: to look up without an allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRef<'a> {
    pub(super) side: Side,
    pub(super) source: &'a Arc<EndLabels>,
    pub(super) destination: &'a Arc<EndLabels>,
    pub(super) service: &'a Arc<ServiceLabels>,
    pub(super) protocol: Protocol,
    pub(super) outcome: Option<Outcome>,
    pub(super) security: Security,
    pub(super) route: Option<&'a Arc<str>>,
}

impl Key {
    fn borrow(&self) -> KeyRef<'_> {
        KeyRef {
            side: self.side,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            protocol: self.protocol,
            outcome: self.outcome,
            security: self.security,
            route: self.route.as_ref(),
        }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.source.hash);
        state.write_u64(self.destination.hash);
        state.write_u64(self.service.hash);
        let outcome = self.outcome.map_or(0, |outcome| {
            u64::from(outcome.code) << 16 | u64::from(outcome.grpc_status.map_or(0xff, u8::from))
        });
        let small = (self.side == Side::Server, self.protocol, self.security);
        state.write_u64(outcome);
        small.hash(state);
        self.route.hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let small = |key: &Self| (key.side, key.protocol, key.outcome, key.security);
        small(self) == small(other)
            && self.source == other.source
            && self.destination == other.destination
            && self.service == other.service
            && self.route == other.route
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.borrow() == other.borrow()
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.borrow()
    }
}

impl From<&KeyRef<'_>> for Key {
    fn from(key: &KeyRef<'_>) -> Self {
        Self {
            side: key.side,
            source: key.source.clone(),
            destination: key.destination.clone(),
            service: key.service.clone(),
            protocol: key.protocol,
            outcome: key.outcome,
            security: key.security,
            route: key.route.cloned(),
        }
    }
}

impl Labelled for KeyRef<'_> {
    fn families(&self) -> Families {
        Families::ALL
    }

    /// As text: `reporter="destination",…`.
    fn text(&self) -> Arc<str> {
        let mut text = Text::default();
        text.add("reporter", reporter(self.side));
        let (source, destination) = (self.source.value(), self.destination.value());
        let is_mutual = source.principal.is_some() && destination.principal.is_some();
        text.end(source, &SOURCE, is_mutual);
        text.end(destination, &DESTINATION, is_mutual);
        let service = self.service.value();
        text.add("destination_service", &service.host);
        text.add("destination_service_name", &service.name);
        text.add("destination_service_namespace", &service.namespace);
        text.add("request_protocol", self.protocol.label());
        if let Some(outcome) = self.outcome {
            text.add("response_code", &outcome.code.to_string());
            let status = outcome.grpc_status.map(|status| status.to_string());
            text.add("grpc_response_status", &status.unwrap_or_default());
        }
        text.add("response_flags", self.outcome.map_or("-", |o| o.flags));
        text.add("connection_security_policy", self.security.label());
        if let Some(route) = self.route {
            text.add("route_name", route);
        }
        text.finish()
    }
}

/// `reporter` by the side of the socket.
const fn reporter(side: Side) -> &'static str {
    match side {
        Side::Server => "destination",
        Side::Client => "source",
    }
}

/// The labels of what finds no room.
pub(super) fn overflow(kind: Protocol) -> Arc<str> {
    let key = KeyRef {
        side: Side::Server,
        source: unknown_end(),
        destination: unknown_end(),
        service: unknown_end().service(),
        protocol: kind,
        outcome: (kind != Protocol::Tcp).then_some(Outcome {
            code: 0,
            grpc_status: None,
            flags: "-",
        }),
        security: Security::Unknown,
        route: None,
    };
    let text = key.text();
    text.replace("reporter=\"destination\"", "reporter=\"overflow\"")
        .into()
}
