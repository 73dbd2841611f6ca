//! What is known of an exchange beside what is in it. It comes from the kernel and from the Kubernetes API, never from a header:
//! what a peer claims decides nothing here.

/// What is known of an exchange beside what is in it. The default is: nothing, and then nothing is skipped for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyContext<'a> {
    /// Its workload is not to be captured.
    pub out_of_scope: bool,
    /// Who made the request, as far as that is proven.
    pub client: ClientOrigin,
    /// The pod whose server socket was recorded; `None` where it is none, or not known.
    pub server: Option<ServerPod<'a>>,
}

/// Who has the client's end of a connection, as the socket's address or cgroup proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientOrigin {
    /// Nobody can say.
    #[default]
    Unknown,
    /// A process of a node outside any pod: an address of the node, or a socket of a cgroup that belongs to no pod. The kubelet is one.
    Node,
    /// A pod.
    Pod,
    /// A socket of this agent's own.
    Agent,
}

/// What the API says of the pod that serves a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerPod<'a> {
    /// The HTTP probes that its spec declares.
    pub probes: &'a [Probe],
}

/// An HTTP probe of a pod's spec (`httpGet` of a liveness, readiness or startup probe).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The port that it asks.
    pub port: u16,
    /// Path and query that it asks for, with the leading `/`.
    pub target: Box<str>,
}
