//! From a captured frame to the TCP segments in it: header by header, through every link type, tag
//! and tunnel that is read here.
//!
//! ```text
//! Link ─► Ethernet, cooked, PPP, 802.11 … ─► tags, MPLS … ─► IP ─► tunnel ─► … ─► TCP
//!                                               ▲     │
//!                                               └─────┴── fragments, put together
//! ```
//!
//! `etherparse` reads the headers of IP, TCP, UDP, VLAN and MACsec. A frame that was captured only
//! in part still says how long its payload was: each header that has a length is believed.

mod ethernet;
mod fragments;
mod ip;
mod link;
mod mpls;
mod network;
mod ppp;
mod tunnel;
mod wireless;

use self::fragments::{Fragment, Fragments};
pub(super) use self::ip::Addresses;
use self::ip::Datagram;
pub(super) use self::link::types;
use super::file::Record;
use super::packet::Packet;
use super::totals::Skip;
use crate::flow::Nanos;

/// Most headers of one frame, tunnels included: a deep real stack (two VLAN tags, MPLS, VXLAN,
/// VLAN, IPv6 with options) has about
/// 15. A bound for frames that nest without end.
const MAX_HEADERS: usize = 48;

/// Bytes of a frame, with how many there were on the wire.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a> {
    /// The first of them; fewer than `wire` where the capture cut the frame.
    data: &'a [u8],
    wire: usize,
}

impl<'a> Bytes<'a> {
    fn new(data: &'a [u8], wire: usize) -> Self {
        Self {
            data,
            wire: wire.max(data.len()),
        }
    }

    /// Takes the first `N` bytes off.
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Skip> {
        let (first, rest) = self.data.split_first_chunk().ok_or(Skip::Header)?;
        self.data = rest;
        self.wire -= N;
        Ok(first)
    }

    /// Leaves the first `len` bytes out.
    fn skip(&mut self, len: usize) -> Result<(), Skip> {
        self.data = self.data.get(len..).ok_or(Skip::Header)?;
        self.wire -= len;
        Ok(())
    }

    /// A header says that `len` bytes are left: what follows them is padding or a trailer.
    fn limit(&mut self, len: usize) {
        self.data = self.data.get(..len).unwrap_or(self.data);
        self.wire = len;
    }

    /// `N` bytes at `at`, which stay.
    fn peek<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.data.get(at..)?.first_chunk().copied()
    }

    fn peek16(&self, at: usize) -> Option<u16> {
        self.peek(at).map(u16::from_be_bytes)
    }
}

/// What the next bytes of a frame are.
#[derive(Clone, Copy, Debug)]
enum Layer {
    /// The first header of a frame of this link type (<https://www.tcpdump.org/linktypes.html>).
    Link(u32),
    /// An Ethernet frame without its preamble.
    Ethernet,
    /// What an Ethernet type announces.
    EtherType(u16),
    /// IEEE 802.2 logical link control.
    Llc,
    /// MPLS labels (RFC 3032).
    Mpls,
    /// PPP from its protocol field on (RFC 1661).
    Ppp,
    /// An 802.11 frame; the flag: its header is padded to four bytes.
    Wireless(bool),
    /// IPv4 or IPv6, by the first four bits.
    Ip,
    /// What an IP protocol number announces.
    Transport(u8, Addresses),
    /// GRE (RFC 2784, 2890, 2637).
    Gre,
    /// A network service header (RFC 8300).
    Nsh,
}

/// The next layer, and its bytes.
type Next<'a> = Result<(Layer, Bytes<'a>), Skip>;

/// Reads frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    fragments: Fragments,
}

/// What a frame that gave TCP segments was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    /// Earlier frames, skipped as fragments, that this one completed.
    pub(super) joined: u64,
}

impl Frames {
    /// The first stamps have said where time begins.
    pub(super) fn time_begins(&mut self, now: Nanos) {
        self.fragments.time_begins(now);
    }

    /// Hands over each TCP segment of a frame; or why there is none. `now` dates the fragments that
    /// wait.
    pub(super) fn read(
        &mut self,
        record: &Record<'_>,
        now: Nanos,
        handle: &mut dyn FnMut(&Packet<'_>),
    ) -> (Result<(), Skip>, Read) {
        let mut walk = Walk {
            fragments: &mut self.fragments,
            time: record.time,
            now,
            read: Read::default(),
            network: 0,
            handle,
        };
        let bytes = Bytes::new(record.data, record.orig_len.min(link::MAX_FRAME));
        let result = walk.run(Layer::Link(record.link), bytes, 0);
        (result, walk.read)
    }
}

/// The way through one frame.
struct Walk<'w> {
    fragments: &'w mut Fragments,
    time: Nanos,
    now: Nanos,
    read: Read,
    /// The tags and tunnels so far that name a network.
    network: u32,
    handle: &'w mut dyn FnMut(&Packet<'_>),
}

impl Walk<'_> {
    fn run(
        &mut self,
        mut layer: Layer,
        mut bytes: Bytes<'_>,
        mut headers: usize,
    ) -> Result<(), Skip> {
        while headers < MAX_HEADERS {
            headers += 1;
            self.network = network::within(self.network, layer, &bytes);
            (layer, bytes) = match layer {
                Layer::Link(link) => link::next(link, bytes)?,
                Layer::Ethernet => ethernet::frame(bytes)?,
                Layer::EtherType(kind) => ethernet::typed(kind, bytes)?,
                Layer::Llc => ethernet::llc(bytes)?,
                Layer::Mpls => mpls::next(bytes)?,
                Layer::Ppp => ppp::next(bytes)?,
                Layer::Gre => tunnel::gre(bytes)?,
                Layer::Nsh => tunnel::nsh(bytes)?,
                Layer::Wireless(padded) => match wireless::frame(bytes, padded)? {
                    wireless::Body::One(bytes) => (Layer::Llc, bytes),
                    wireless::Body::Several(bytes) => return self.aggregate(bytes, headers),
                },
                Layer::Ip => match ip::datagram(bytes)? {
                    Datagram::Whole(layer, bytes) => (layer, bytes),
                    Datagram::Part(part) => return self.fragment(&part, headers),
                },
                Layer::Transport(number, addresses) => {
                    match ip::transport(number, addresses, bytes)? {
                        ip::Carried::Tcp(tcp) => {
                            let mut packet = Packet::new(self.time, &addresses, &tcp)?;
                            packet.network = self.network;
                            (self.handle)(&packet);
                            return Ok(());
                        }
                        ip::Carried::Inner(layer, bytes) => (layer, bytes),
                        ip::Carried::Part(part) => return self.fragment(&part, headers),
                    }
                }
            };
        }
        Err(Skip::Depth)
    }

    /// Keeps a fragment; the last one that was missing gives the datagram.
    fn fragment(&mut self, part: &Fragment<'_>, headers: usize) -> Result<(), Skip> {
        let whole = self.fragments.add(part, self.now).ok_or(Skip::Fragment)?;
        self.read.joined += whole.earlier;
        let layer = Layer::Transport(part.key.number, part.key.addresses);
        self.run(layer, Bytes::new(&whole.bytes, whole.bytes.len()), headers)
    }

    /// The subframes of an A-MSDU (IEEE 802.11-2020 9.3.2.2.2): two addresses, a length, 802.2;
    /// padded to four bytes. The frame is read when one of them is.
    fn aggregate(&mut self, mut bytes: Bytes<'_>, headers: usize) -> Result<(), Skip> {
        let mut result = Err(Skip::Header);
        while bytes.data.len() >= 14 {
            bytes.skip(12)?;
            let len = usize::from(u16::from_be_bytes(*bytes.take()?));
            let mut subframe = bytes;
            subframe.limit(len);
            let network = self.network;
            let one = self.run(Layer::Llc, subframe, headers);
            self.network = network;
            if result.is_err() {
                result = one;
            }
            if bytes.skip(len + (14 + len).wrapping_neg() % 4).is_err() {
                break;
            }
        }
        result
    }
}
