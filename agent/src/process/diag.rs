//! `sock_diag(7)`: from a socket's cookie to its inode.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId as DiagId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::Query;
use crate::flow::{Endpoint, SocketId};

/// The kernel responds at once; this only keeps a kernel without inet_diag from holding the thread
/// for ever.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Whatever the cookie is (`INET_DIAG_NOCOOKIE`).
const ANY_COOKIE: [u8; 8] = [0xff; 8];
/// A dump comes in messages of at most 32 KiB (`netlink_dump`).
const BUFFER: usize = 64 * 1024;
/// From this many sockets on, one dump of all is cheaper than asking for each.
const DUMP_FROM: usize = 64;

/// A netlink socket that sees the network namespace it was opened in.
pub(super) struct Diag {
    socket: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Diag {
    /// In the calling thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self {
            socket,
            buffer: vec![0; BUFFER],
            sequence: 0,
        })
    }

    /// Puts the inode of every socket of `queries` that this namespace has into `inodes`. A socket
    /// that no process holds any more (TIME_WAIT) has none.
    pub(super) fn inodes(
        &mut self,
        queries: &[Query],
        inodes: &mut HashMap<SocketId, u32>,
    ) -> io::Result<()> {
        if queries.len() >= DUMP_FROM {
            let wanted: HashMap<SocketId, ()> = queries.iter().map(|q| (q.socket, ())).collect();
            for family in [AF_INET, AF_INET6] {
                let id = if family == AF_INET {
                    DiagId::new_v4()
                } else {
                    DiagId::new_v6()
                };
                self.send(family, id, NLM_F_DUMP)?;
                self.receive(&mut |socket, inode| {
                    if wanted.contains_key(&socket) {
                        inodes.insert(socket, inode);
                    }
                })?;
            }
            return Ok(());
        }
        for query in queries {
            // A dual-stack socket of an IPv4 connection is found by its IPv4 addresses.
            let (source, destination) = (query.local.ip(), query.remote.ip());
            let family = match (source, destination) {
                (IpAddr::V4(_), IpAddr::V4(_)) => AF_INET,
                (IpAddr::V6(_), IpAddr::V6(_)) => AF_INET6,
                _ => continue,
            };
            let id = DiagId {
                source_port: query.local.port(),
                destination_port: query.remote.port(),
                source_address: source,
                destination_address: destination,
                interface_id: 0,
                cookie: query.socket.0.to_ne_bytes(),
            };
            self.send(family, id, 0)?;
            self.receive(&mut |socket, inode| {
                if socket == query.socket {
                    inodes.insert(socket, inode);
                }
            })?;
        }
        Ok(())
    }

    /// The socket that has these addresses.
    pub(super) fn cookie(&mut self, local: Endpoint, remote: Endpoint) -> io::Result<Option<u64>> {
        let (source, destination) = (local.ip(), remote.ip());
        let family = match (source, destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => AF_INET,
            (IpAddr::V6(_), IpAddr::V6(_)) => AF_INET6,
            _ => return Ok(None),
        };
        let id = DiagId {
            source_port: local.port(),
            destination_port: remote.port(),
            source_address: source,
            destination_address: destination,
            interface_id: 0,
            cookie: ANY_COOKIE,
        };
        self.send(family, id, 0)?;
        let mut found = None;
        self.receive(&mut |socket, _| found = Some(socket.0))?;
        Ok(found)
    }

    fn send(&mut self, family: u8, socket_id: DiagId, flags: u16) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        self.sequence = self.sequence.wrapping_add(1);
        header.sequence_number = self.sequence;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id,
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        Ok(())
    }

    /// Reads the responses to the last request.
    fn receive(&mut self, found: &mut dyn FnMut(SocketId, u32)) -> io::Result<()> {
        loop {
            let read = self.socket.recv(&mut &mut self.buffer[..], 0)?;
            let mut rest = self.buffer.get(..read).unwrap_or_default();
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                let header = message.header;
                let len = usize::try_from(header.length).unwrap_or(usize::MAX);
                // Messages are aligned to 4 bytes (NLMSG_ALIGN).
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                if header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        say(&response, found);
                        if header.flags & NLM_F_MULTI == 0 {
                            return Ok(());
                        }
                    }
                    // Done, or an error: no such socket (ENOENT), or another one at these addresses
                    // (ESTALE).
                    _ => return Ok(()),
                }
            }
        }
    }
}

/// Part of an response in several messages.
const NLM_F_MULTI: u16 = 2;

fn say(response: &InetResponse, found: &mut dyn FnMut(SocketId, u32)) {
    let inode = response.header.inode;
    if inode != 0 {
        let cookie = u64::from_ne_bytes(response.header.socket_id.cookie);
        found(SocketId(cookie), inode);
    }
}
