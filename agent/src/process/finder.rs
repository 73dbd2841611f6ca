//! One look-up of many sockets: namespaces, inodes, owners, names.

use std::sync::Arc;

use hashbrown::HashMap;

use super::diag::Diag;
use super::namespace::Namespaces;
use super::owner::{self, Owners};
use super::{Process, Query};
use crate::flow::SocketId;

/// Everything that the lookup thread keeps between look-ups.
pub(super) struct Finder {
    /// Of the agent's own network namespace.
    own: Option<Diag>,
    namespaces: Namespaces,
    owners: Owners,
}

impl Finder {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self {
            own: Diag::open().ok(),
            namespaces: Namespaces::new(),
            owners: Owners::default(),
        }
    }

    /// The process of each socket, where one can be seen.
    pub(super) fn find(&mut self, queries: &[Query]) -> Vec<Option<Arc<Process>>> {
        let inodes = self.inodes(queries);
        let mut wanted = inodes.values().map(|inode| (*inode, ())).collect();
        let owners = self.owners.find(&mut wanted);
        let mut named: HashMap<u32, Option<Arc<Process>>> = HashMap::new();
        let mut process = |pid: u32| {
            let entry = named
                .entry(pid)
                .or_insert_with(|| owner::name(pid).map(|name| Arc::new(Process { pid, name })));
            entry.clone()
        };
        queries
            .iter()
            .map(|query| process(*owners.get(inodes.get(&query.socket)?)?))
            .collect()
    }

    fn inodes(&mut self, queries: &[Query]) -> HashMap<SocketId, u32> {
        let mut inodes = HashMap::new();
        if let Some(own) = &mut self.own
            && own.inodes(queries, &mut inodes).is_err()
        {
            // A request may have half a result: start over with the next look-up.
            self.own = Diag::open().ok();
        }
        let mut left: Vec<Query> = missing(queries, &inodes);
        if left.is_empty() {
            return inodes;
        }
        for namespace in self.namespaces.others(left.iter().map(|q| q.cgroup)) {
            let asked = self
                .namespaces
                .within(namespace, || Diag::open()?.inodes(&left, &mut inodes));
            if asked.is_err() {
                continue;
            }
            let still = missing(&left, &inodes);
            for query in left.iter().filter(|q| inodes.contains_key(&q.socket)) {
                self.namespaces.hint(query.cgroup, namespace);
            }
            left = still;
            if left.is_empty() {
                break;
            }
        }
        inodes
    }
}

fn missing(queries: &[Query], inodes: &HashMap<SocketId, u32>) -> Vec<Query> {
    queries
        .iter()
        .filter(|query| !inodes.contains_key(&query.socket))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::sockopt::socket_cookie;

    use super::*;
    use crate::flow::CgroupId;

    fn query(stream: &TcpStream) -> Query {
        Query {
            socket: SocketId(socket_cookie(stream).expect("a cookie")),
            cgroup: CgroupId(0),
            local: stream.local_addr().expect("bound").into(),
            remote: stream.peer_addr().expect("connected").into(),
        }
    }

    #[track_caller]
    fn check(address: &str, connections: usize) {
        let listener = TcpListener::bind(address).expect("loopback");
        let pairs: Vec<_> = (0..connections)
            .map(|_| {
                let client = TcpStream::connect(listener.local_addr().expect("bound"));
                (
                    client.expect("connected"),
                    listener.accept().expect("accepted").0,
                )
            })
            .collect();
        let queries: Vec<_> = pairs
            .iter()
            .flat_map(|(a, b)| [query(a), query(b)])
            .collect();
        let found = Finder::new().find(&queries);
        assert_eq!(found.len(), queries.len());
        for process in found {
            assert_eq!(process.expect("found").pid, std::process::id());
        }
    }

    #[test]
    fn own_sockets_one_by_one() {
        check("127.0.0.1:0", 2);
        check("[::1]:0", 2);
    }

    #[test]
    fn own_sockets_by_a_dump() {
        check("127.0.0.1:0", 40);
        check("[::1]:0", 40);
    }

    #[test]
    fn a_cookie_at_the_same_addresses_is_another_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let mut query = query(&stream);
        query.socket.0 += 1_000_000;
        assert_eq!(Finder::new().find(&[query]), [None]);
    }
}
