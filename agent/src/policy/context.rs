//! What is known of an exchange beside what is in it. It comes from the kernel and from the
//! Kubernetes API, never from a header: what a peer claims decides nothing here.

/// What is known of an exchange beside what is in it. The default is: nothing, and then nothing is
/// skipped for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PolicyContext {
    /// Another agent of this node emits it.
    pub is_handed_over: bool,
    /// Its workload is not to be captured.
    pub out_of_scope: bool,
    /// Who made the request, as far as that is proven.
    pub client: ClientOrigin,
    /// The spec of the server's pod declares this request as a probe or a lifecycle hook of the
    /// kubelet's, and it comes from the node, or from the pod's sidecar on the kubelet's
    /// behalf.
    pub is_declared_probe: bool,
}

/// Who has the client's end of a connection, as the socket's address or cgroup proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientOrigin {
    /// Nobody can say.
    #[default]
    Unknown,
    /// A process of a node outside any pod: an address of the node, or a socket of a cgroup that
    /// belongs to no pod. The kubelet is one.
    Node,
    /// A pod.
    Pod,
    /// A socket of this agent's own.
    Agent,
}
