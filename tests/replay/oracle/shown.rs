//! What a reader of a capture file shown: per connection, exchanges in the order of their requests.

use std::collections::BTreeMap;
use std::fmt;

/// One exchange, as far as both readers show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    pub method: String,
    pub target: String,
    pub status: Option<u16>,
    /// Body lengths, transfer coding removed, content coding still on.
    pub request_body: u64,
    pub response_body: u64,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({} bytes) -> {:?} ({} bytes)",
            self.method, self.target, self.request_body, self.status, self.response_body
        )
    }
}

/// Client and server, `address:port` each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    pub client: String,
    pub server: String,
}

/// Everything of one file.
pub type Connections = BTreeMap<Ends, Vec<Shown>>;

pub fn count(connections: &Connections) -> usize {
    connections.values().map(Vec::len).sum()
}

/// Both shown the same, connection by connection, in the same order.
#[track_caller]
pub fn assert_same(what: &str, ours: &Connections, theirs: &Connections) {
    for ends in ours.keys().chain(theirs.keys()) {
        let empty = Vec::new();
        let (a, b) = (
            ours.get(ends).unwrap_or(&empty),
            theirs.get(ends).unwrap_or(&empty),
        );
        let first = a.iter().zip(b).position(|(a, b)| a != b);
        let at = first.unwrap_or(a.len().min(b.len()));
        assert!(
            a == b,
            "{what}: {} -> {}: {} and {} exchanges, the first difference at {at}:\n  {:?}\n  {:?}",
            ends.client,
            ends.server,
            a.len(),
            b.len(),
            a.get(at).map(ToString::to_string),
            b.get(at).map(ToString::to_string),
        );
    }
}
