//! Every TCP socket of the machine, in all network namespaces, with what the kernel says of it:
//! `sock_diag(7)` with attributes that the lookups do without.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::Process;
use super::namespace::Namespaces;
use super::owner::{self, Owners};
use crate::flow::{CgroupId, Endpoint, SocketId};

/// The kernel responds at once; see `diag`.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A dump comes in messages of at most 32 KiB (`netlink_dump`); more where a socket has much
/// storage.
const BUFFER: usize = 256 * 1024;

/// A socket. `None` stands for what the kernel does not say to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSocket {
    /// Its cookie.
    pub socket: SocketId,
    /// It waits for connections.
    pub is_listener: bool,
    /// Its own end.
    pub local: Endpoint,
    /// The other end; unspecified for a listener.
    pub remote: Endpoint,
    /// `SO_MARK`. Needs CAP_NET_ADMIN.
    pub mark: Option<u32>,
    /// Its cgroup, since Linux 5.7.
    pub cgroup: Option<CgroupId>,
    /// The protocol above TCP inside the kernel: `mptcp`, `tls`. Needs CAP_NET_ADMIN.
    pub upper: Option<String>,
    /// What BPF programs have stored with it: id of the map, value. Needs CAP_BPF.
    pub stored: Vec<(u32, Vec<u8>)>,
    /// Who has it open, where that can be seen.
    pub process: Option<Arc<Process>>,
    /// 0 when no process has it.
    inode: u32,
}

#[cfg(test)]
impl LiveSocket {
    /// A connected one of which no more is known.
    pub(crate) fn new(socket: SocketId, local: Endpoint, remote: Endpoint) -> Self {
        Self {
            socket,
            is_listener: false,
            local,
            remote,
            mark: None,
            cgroup: None,
            upper: None,
            stored: Vec::new(),
            process: None,
            inode: 0,
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// The sockets that were asked for.
    pub sockets: Vec<LiveSocket>,
    /// Network namespaces that could not be entered: that takes CAP_SYS_ADMIN.
    pub closed_namespaces: usize,
    /// What is stored with sockets could not be asked for.
    pub storage_refused: Option<String>,
}

/// Lists the sockets that `wanted` wants, of every network namespace; only those that `pid` has
/// open, where one is given. Belongs on a thread that may enter namespaces.
///
/// # Errors
/// When the kernel lists no sockets.
pub fn survey(pid: Option<u32>, wanted: impl Fn(&LiveSocket) -> bool) -> io::Result<Survey> {
    let mut survey = Survey::default();
    let open = pid.map(owner::sockets);
    let mut wanted = |socket: &LiveSocket| {
        let is_open = |open: &Vec<u32>| open.contains(&socket.inode);
        open.as_ref().is_none_or(is_open) && wanted(socket)
    };
    survey.add(&mut wanted)?;
    let mut namespaces = Namespaces::new();
    for namespace in namespaces.others(std::iter::empty()) {
        let listed = namespaces.within(namespace, || survey.add(&mut wanted));
        survey.closed_namespaces += usize::from(listed.is_err());
    }
    match pid {
        Some(pid) => survey.name_all(pid),
        None => survey.name(),
    }
    Ok(survey)
}

impl Survey {
    /// Adds those of the namespace that the thread is in.
    fn add(&mut self, wanted: &mut impl FnMut(&LiveSocket) -> bool) -> io::Result<()> {
        let mut take = |socket: LiveSocket| {
            if wanted(&socket) {
                self.sockets.push(socket);
            }
        };
        for family in [wire::AF_INET, wire::AF_INET6] {
            let with = wire::request(family, true);
            if let Err(error) = dump(&with, &mut take) {
                // Without CAP_BPF the kernel refuses the whole request.
                self.storage_refused = Some(error.to_string());
                dump(&wire::request(family, false), &mut take)?;
            }
        }
        Ok(())
    }

    /// All are of one process.
    fn name_all(&mut self, pid: u32) {
        let process = owner::name(pid).map(|name| Arc::new(Process { pid, name }));
        for socket in &mut self.sockets {
            socket.process.clone_from(&process);
        }
    }

    /// Finds who has them open.
    fn name(&mut self) {
        let inodes = self.sockets.iter().map(|socket| socket.inode);
        let mut wanted = inodes
            .filter(|inode| *inode != 0)
            .map(|inode| (inode, ()))
            .collect();
        let owners = Owners::default().find(&mut wanted);
        let mut named: HashMap<u32, Option<Arc<Process>>> = HashMap::new();
        for socket in &mut self.sockets {
            let Some(pid) = owners.get(&socket.inode) else {
                continue;
            };
            let process = named.entry(*pid).or_insert_with(|| {
                let name = owner::name(*pid)?;
                Some(Arc::new(Process { pid: *pid, name }))
            });
            socket.process.clone_from(process);
        }
    }
}

/// Sends a request, and reads the response to its end.
fn dump(request: &[u8], take: &mut impl FnMut(LiveSocket)) -> io::Result<()> {
    let mut netlink = Socket::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&SocketAddr::new(0, 0))?;
    set_socket_timeout(&netlink, Timeout::Recv, Some(TIMEOUT))?;
    netlink.send(request, 0)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = netlink.recv(&mut &mut buffer[..], 0)?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some((message, tail)) = wire::message(rest) {
            rest = tail;
            match message {
                wire::Message::Socket(socket) => take(socket),
                wire::Message::Done => return Ok(()),
                wire::Message::Error(code) => return Err(io::Error::from_raw_os_error(code)),
                wire::Message::Other => {}
            }
        }
    }
}

/// The bytes of `linux/inet_diag.h` and `linux/netlink.h`, in the machine's own order.
mod wire {
    use std::net::SocketAddr;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::LiveSocket;
    use crate::flow::{CgroupId, Endpoint, SocketId};

    pub(super) const AF_INET: u8 = 2;
    pub(super) const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;

    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// `NLM_F_REQUEST | NLM_F_DUMP`.
    const REQUEST_DUMP: u16 = 0x301;
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    const TCP_LISTEN: u8 = 10;
    /// All states of TCP but `TIME_WAIT` (6) and `NEW_SYN_RECV` (12), in which no process has a
    /// socket.
    const STATES: u32 = 0xfff & !(1 << 6);
    /// Bit of `INET_DIAG_INFO` (2), which brings the protocol above TCP along.
    const EXTENSIONS: u8 = 1 << 1;

    /// Attributes of a response.
    const MARK: u16 = 15;
    const ULP_INFO: u16 = 19;
    const STORAGES: u16 = 20;
    const CGROUP: u16 = 21;
    /// Attribute of a request: every socket storage of BPF programs.
    const WITH_STORAGES: u16 = 2;
    /// Inside `ULP_INFO`.
    const ULP_NAME: u16 = 1;
    /// Inside `STORAGES`, and inside that.
    const STORAGE: u16 = 1;
    const MAP_ID: u16 = 2;
    const MAP_VALUE: u16 = 3;

    const HEADER: usize = 16;
    /// `struct inet_diag_msg`.
    const SOCKET: usize = 72;

    /// A part of a response.
    pub(super) enum Message {
        Socket(LiveSocket),
        Done,
        /// `errno`.
        Error(i32),
        Other,
    }

    /// A request for all TCP sockets of a family (`struct inet_diag_req_v2`).
    pub(super) fn request(family: u8, with_storages: bool) -> Vec<u8> {
        let mut body = vec![family, IPPROTO_TCP, EXTENSIONS, 0];
        body.extend_from_slice(&STATES.to_ne_bytes());
        body.extend_from_slice(&[0; 48]);
        if with_storages {
            body.extend_from_slice(&4_u16.to_ne_bytes());
            body.extend_from_slice(&WITH_STORAGES.to_ne_bytes());
        }
        let len = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut request = len.to_ne_bytes().to_vec();
        request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        request.extend_from_slice(&REQUEST_DUMP.to_ne_bytes());
        request.extend_from_slice(&[0; 8]);
        request.extend_from_slice(&body);
        request
    }

    /// The first message of `bytes`, and what follows it.
    pub(super) fn message(bytes: &[u8]) -> Option<(Message, &[u8])> {
        let len = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
        let body = bytes.get(HEADER..len)?;
        let message = match u16::from_ne_bytes(array(bytes, 4)?) {
            SOCK_DIAG_BY_FAMILY => socket(body).map_or(Message::Other, Message::Socket),
            NLMSG_DONE => Message::Done,
            NLMSG_ERROR => Message::Error(-i32::from_ne_bytes(array(body, 0)?)),
            _ => Message::Other,
        };
        let rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((message, rest))
    }

    fn socket(body: &[u8]) -> Option<LiveSocket> {
        let [family, state] = array(body, 0)?;
        let port = |at| Some(u16::from_be_bytes(array(body, at)?));
        let address = |at| {
            Some(match family {
                AF_INET => IpAddr::V4(Ipv4Addr::from(array::<4>(body, at)?)),
                _ => IpAddr::V6(Ipv6Addr::from(array::<16>(body, at)?)).to_canonical(),
            })
        };
        let endpoint = |at, port| Some(Endpoint::from(SocketAddr::new(address(at)?, port)));
        let mut socket = LiveSocket {
            socket: SocketId(u64::from_ne_bytes(array(body, 44)?)),
            is_listener: state == TCP_LISTEN,
            local: endpoint(8, port(4)?)?,
            remote: endpoint(24, port(6)?)?,
            mark: None,
            cgroup: None,
            upper: None,
            stored: Vec::new(),
            process: None,
            inode: u32::from_ne_bytes(array(body, 68)?),
        };
        for (kind, value) in attributes(body.get(SOCKET..)?) {
            match kind {
                MARK => socket.mark = array(value, 0).map(u32::from_ne_bytes),
                CGROUP => socket.cgroup = array(value, 0).map(u64::from_ne_bytes).map(CgroupId),
                ULP_INFO => socket.upper = find(value, ULP_NAME).map(text),
                STORAGES => socket.stored = stored(value),
                _ => {}
            }
        }
        Some(socket)
    }

    fn stored(bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        attributes(bytes)
            .filter(|(kind, _)| *kind == STORAGE)
            .filter_map(|(_, storage)| {
                let id = u32::from_ne_bytes(array(find(storage, MAP_ID)?, 0)?);
                Some((id, find(storage, MAP_VALUE)?.to_vec()))
            })
            .collect()
    }

    fn text(bytes: &[u8]) -> String {
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
        attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// Attributes (`struct nlattr`): length with its own header, kind, value, padding to 4 bytes.
    fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
        /// `NLA_TYPE_MASK`.
        const KIND: u16 = 0x3fff;
        std::iter::from_fn(move || {
            let len = usize::from(u16::from_ne_bytes(array(bytes, 0)?));
            let kind = u16::from_ne_bytes(array(bytes, 2)?) & KIND;
            let value = bytes.get(4..len)?;
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
        bytes.get(at..)?.first_chunk().copied()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
            let len = u16::try_from(4 + value.len()).expect("short");
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        }

        #[test]
        fn attributes_inside_attributes() {
            let storage = [
                attribute(MAP_ID, &7_u32.to_ne_bytes()),
                attribute(1, &[]),
                attribute(MAP_VALUE, &[1, 2, 3]),
            ];
            let all = attribute(STORAGE, &storage.concat());
            assert_eq!(stored(&all), [(7, vec![1, 2, 3])]);
            let name = attribute(ULP_NAME, b"mptcp\0");
            assert_eq!(find(&name, ULP_NAME).map(text).as_deref(), Some("mptcp"));
        }

        #[test]
        fn what_is_cut_is_nothing() {
            let whole = attribute(MARK, &5_u32.to_ne_bytes());
            for len in 0..whole.len() {
                assert_eq!(attributes(&whole[..len]).count(), 0, "{len}");
            }
            assert_eq!(attributes(&whole).count(), 1);
            assert!(message(&[]).is_none());
            assert!(message(&[16, 0, 0, 0]).is_none());
            assert!(socket(&[0; SOCKET - 1]).is_none());
            assert!(socket(&[0; SOCKET]).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::sockopt::socket_cookie;

    use super::*;

    #[track_caller]
    fn check(address: &str) {
        let listener = TcpListener::bind(address).expect("loopback");
        let local = listener.local_addr().expect("bound");
        let client = TcpStream::connect(local).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let survey = survey(None, |socket| {
            socket.local.port() == local.port() || socket.remote.port() == local.port()
        })
        .expect("sockets");
        let find = |cookie: io::Result<u64>| {
            let cookie = SocketId(cookie.expect("a cookie"));
            let mut found = survey.sockets.iter();
            found.find(|s| s.socket == cookie).expect("found").clone()
        };
        let (listener, client, server) = (
            find(socket_cookie(&listener).map_err(Into::into)),
            find(socket_cookie(&client).map_err(Into::into)),
            find(socket_cookie(&server).map_err(Into::into)),
        );
        assert!(listener.is_listener && !client.is_listener && !server.is_listener);
        assert_eq!((client.local, client.remote), (server.remote, server.local));
        for socket in [listener, client, server] {
            assert_eq!(socket.process.expect("open").pid, std::process::id());
            assert_ne!(socket.cgroup, None);
        }
    }

    #[test]
    fn own_sockets() {
        check("127.0.0.1:0");
        check("[::1]:0");
    }
}
