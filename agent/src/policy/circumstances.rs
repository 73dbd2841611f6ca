//! What is known of an exchange beside what is in it.

/// What is known of an exchange beside what is in it: of the workloads at its ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Its workload is not to be captured.
    pub out_of_scope: bool,
    /// The end that asks is a pod, so it is no kubelet, whatever it says.
    pub client_is_pod: bool,
}
