//! A TCP peer made by hand: it sends any segment, valid or not, to a socket of the test's network.
//!
//! It is the far end of a TUN device, so what it writes reaches the kernel as if a network card had
//! received it: checksums are verified, and nothing of it is known to a socket layer of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Netns;
use crate::packet::{Received, extend, packet};
use crate::tun::tun;

/// A kernel responds at once; the bound keeps a test from hanging.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A network whose only other host is made by hand. Address `1` of it is the test's own, any other
/// is the peer's.
#[derive(Debug)]
pub struct RawNetwork {
    device: File,
    number: u8,
}

/// A segment; start from [`RawConnection::segment`], which is valid, and change what is to be
/// wrong.
#[derive(Clone, Debug)]
pub struct Segment<'a> {
    /// Sequence number of the first byte.
    pub seq: u32,
    /// The ACK flag and its number.
    pub ack: Ack,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// URG with its pointer (RFC 9293 §3.8.5).
    pub urgent: Option<u16>,
    /// Options as they stand in the header; padded to words of 32 bits.
    pub options: &'a [u8],
    /// The bytes.
    pub payload: &'a [u8],
    /// The checksum is not the packet's.
    pub bad_checksum: bool,
}

/// What a segment acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The flag is not set, which no established connection accepts (RFC 9293 §3.10.7.4).
    None,
    /// The next byte that is expected.
    Number(u32),
}

impl RawNetwork {
    /// Makes one, `10.77.N.0/24` and `fd77::N:0/112`, in the test's network.
    #[must_use]
    pub fn new(netns: &Netns, number: u8) -> Self {
        let v4 = format!("10.77.{number}.1/24");
        let v6 = format!("fd77::{number:x}:1/112");
        let device = tun(netns, &format!("raw{number}"), [&v4, &v6]);
        Self { device, number }
    }

    /// The test's own address.
    #[must_use]
    pub fn own(&self, v6: bool) -> IpAddr {
        self.address(v6, 1)
    }

    /// An address of the peer's.
    #[must_use]
    pub fn peer(&self, v6: bool) -> IpAddr {
        self.address(v6, 2)
    }

    fn address(&self, v6: bool, host: u8) -> IpAddr {
        if v6 {
            let (number, host) = (u16::from(self.number), u16::from(host));
            Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, number, host).into()
        } else {
            Ipv4Addr::new(10, 77, self.number, host).into()
        }
    }

    /// Connects to a socket that listens on [`Self::own`]; the peer's port is `port`.
    ///
    /// # Panics
    /// When it does not accept.
    #[track_caller]
    #[must_use]
    pub fn connect(&self, v6: bool, port: u16, server_port: u16) -> RawConnection<'_> {
        let peer = SocketAddr::new(self.peer(v6), port);
        let own = SocketAddr::new(self.own(v6), server_port);
        let mut connection = RawConnection::new(self, peer, own);
        let mut syn = connection.segment(&[]);
        (syn.syn, syn.ack) = (true, Ack::None);
        // Kind 2, maximum segment size 1460 (RFC 9293 §3.7.1).
        syn.options = &[2, 4, 0x05, 0xb4];
        connection.send(&syn);
        connection.seq = connection.seq.wrapping_add(1);
        connection.until("SYN-ACK", |connection| connection.established);
        connection.send(&connection.segment(&[]));
        connection
    }

    /// Waits for a connection that a socket of the test opens to [`Self::peer`], and accepts it.
    /// Start the connect in another thread: it returns when this has sent its SYN-ACK.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    #[must_use]
    pub fn accept(&self, server_port: u16) -> RawConnection<'_> {
        let deadline = Instant::now() + TIMEOUT;
        let mut packet = vec![0; 65_536];
        loop {
            let Some(received) = self.receive(&mut packet, deadline) else {
                panic!("nobody connected to port {server_port}");
            };
            if received.to.port() == server_port && received.header.syn {
                let mut connection = RawConnection::new(self, received.to, received.from);
                connection.ack = received.header.sequence_number.wrapping_add(1);
                connection.established = true;
                let mut syn_ack = connection.segment(&[]);
                syn_ack.syn = true;
                syn_ack.options = &[2, 4, 0x05, 0xb4];
                connection.send(&syn_ack);
                connection.seq = connection.seq.wrapping_add(1);
                return connection;
            }
        }
    }

    /// The next TCP packet, or nothing until the deadline.
    fn receive(&self, packet: &mut [u8], deadline: Instant) -> Option<Received> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).expect("a duration");
            match (&self.device).read(packet) {
                Ok(len) => {
                    if let Some(received) = packet.get(..len).and_then(Received::parse) {
                        return Some(received);
                    }
                }
                Err(_) => {
                    let mut fds = [PollFd::new(&self.device, PollFlags::IN)];
                    if poll(&mut fds, Some(&left)).expect("poll a TUN device") == 0 {
                        return None;
                    }
                }
            }
        }
    }
}

/// A connection of the peer's. What the kernel sends on it is acknowledged as it comes; nothing is
/// sent again by itself.
#[derive(Debug)]
pub struct RawConnection<'a> {
    network: &'a RawNetwork,
    peer: SocketAddr,
    own: SocketAddr,
    /// Sequence number of the next byte that the peer sends.
    pub seq: u32,
    /// Sequence number of the next byte that the kernel sends.
    pub ack: u32,
    /// IPv6 extension headers of what it sends from now on, by number: 44 or 60.
    pub extensions: &'static [u8],
    /// How far the kernel has acknowledged what the peer sent.
    acknowledged: u32,
    established: bool,
    received: Vec<u8>,
    ended: bool,
}

impl<'a> RawConnection<'a> {
    fn new(network: &'a RawNetwork, peer: SocketAddr, own: SocketAddr) -> Self {
        // Close to the end of the number space, so that every test crosses it.
        let seq = u32::MAX - 300;
        Self {
            network,
            peer,
            own,
            seq,
            ack: 0,
            extensions: &[],
            acknowledged: seq,
            established: false,
            received: Vec::new(),
            ended: false,
        }
    }

    /// The valid segment that comes next, with this payload.
    #[must_use]
    pub fn segment<'b>(&self, payload: &'b [u8]) -> Segment<'b> {
        Segment {
            seq: self.seq,
            ack: Ack::Number(self.ack),
            syn: false,
            fin: false,
            rst: false,
            urgent: None,
            options: &[],
            payload,
            bad_checksum: false,
        }
    }

    /// Sends a segment as it is; the peer's own position does not move.
    pub fn send(&self, segment: &Segment<'_>) {
        self.send_through(self.network, segment);
    }

    /// Sends it from another network with this connection's addresses, as a third party that spoofs
    /// them.
    pub fn send_through(&self, network: &RawNetwork, segment: &Segment<'_>) {
        let mut packet = packet(self.peer, self.own, segment);
        if !self.extensions.is_empty() {
            extend(&mut packet, self.extensions);
        }
        (&network.device)
            .write_all(&packet)
            .expect("write a packet");
    }

    /// Sends bytes and waits until the kernel has acknowledged them.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn data(&mut self, bytes: &[u8]) {
        for payload in bytes.chunks(1400) {
            self.send(&self.segment(payload));
            self.advance(payload.len());
        }
        self.until_acknowledged();
    }

    /// Moves the peer's position past bytes that [`Self::send`] has sent.
    pub fn advance(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).expect("less than 4 GiB");
        self.seq = self.seq.wrapping_add(bytes);
    }

    /// Waits until the kernel has acknowledged everything up to the peer's position.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn until_acknowledged(&mut self) {
        self.until("an acknowledgement", |connection| {
            connection.acknowledged == connection.seq
        });
    }

    /// Waits until what the kernel has sent ends with these bytes, and gives all of it since the
    /// last call.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        self.until("the end of a message", |connection| {
            connection.received.ends_with(end)
        });
        std::mem::take(&mut self.received)
    }

    /// Ends the connection: FIN, and waits for the kernel's.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn close(mut self) {
        let mut fin = self.segment(&[]);
        fin.fin = true;
        self.send(&fin);
        self.advance(1);
        self.until("FIN", |connection| connection.ended);
    }

    #[track_caller]
    fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        let mut packet = vec![0; 65_536];
        while !condition(self) {
            let Some(received) = self.network.receive(&mut packet, deadline) else {
                panic!("no {what}: {self:?}");
            };
            if (received.from, received.to) == (self.own, self.peer) {
                self.take(&received);
            }
        }
    }

    fn take(&mut self, received: &Received) {
        let header = &received.header;
        assert!(!header.rst, "the kernel has reset the connection: {self:?}");
        if header.ack {
            self.acknowledged = header.acknowledgment_number;
        }
        if header.syn {
            self.ack = header.sequence_number.wrapping_add(1);
            self.established = true;
            return;
        }
        let fresh = header.sequence_number == self.ack;
        if fresh {
            self.received.extend_from_slice(&received.payload);
            let bytes = u32::try_from(received.payload.len()).expect("a packet");
            self.ack = self.ack.wrapping_add(bytes);
        }
        if header.fin && fresh {
            self.ended = true;
            self.ack = self.ack.wrapping_add(1);
        }
        if header.fin || !received.payload.is_empty() {
            self.send(&self.segment(&[]));
        }
    }
}
