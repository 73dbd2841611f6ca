//! Connections with the same addresses and ports in different networks (VLANs, overlays).
//!
//! The number of a network does not name a connection by itself: the two directions may have
//! different ones, and a packet may be captured inside of a tunnel and again outside of it, or on
//! both sides of a router. Another network *and* numbers that are nowhere near those of the
//! connection show another one. It becomes a further *lane* between the same ends.

use super::ends::Ends;
use super::flow::Flow;
use super::flows::Flows;
use super::packet::Packet;

/// Most lanes beside the first.
const MOST: u8 = 7;

/// No window is larger, but few.
const NEAR: u32 = 16 * 1024 * 1024;
/// What is on its way at once, on most connections.
const CLOSE: u32 = 64 * 1024;

/// The networks of a connection.
#[derive(Debug, Default)]
pub(super) struct Networks {
    /// That of the last packet of the lower end, of the higher one.
    last: [Option<u32>; 2],
    /// Lanes beside this one, if it is the first.
    lanes: u8,
}

impl Flow {
    /// Another connection between the same ends, in the same networks.
    pub(super) fn replace(&mut self, next: Self) {
        let before = std::mem::replace(self, next);
        self.networks = before.networks;
    }

    /// Notes which network a packet of it came through.
    pub(super) fn came_through(&mut self, packet: &Packet<'_>) {
        let at = usize::from(!self.ends.low_sent(packet));
        if let Some(last) = self.networks.last.get_mut(at) {
            *last = Some(packet.network);
        }
    }

    /// How little speaks for the packet being of this connection; `None`: its numbers are of
    /// another one.
    fn doubts(&self, packet: &Packet<'_>) -> Option<Doubts> {
        let low_sent = self.ends.low_sent(packet);
        let (sent, received) = self.both(low_sent);
        let seq = packet.seq.wrapping_add(u32::from(packet.syn));
        // A SYN is of its own connection. It may carry data, which its response acknowledges.
        let is_other_syn = packet.syn && !sent.agrees(seq);
        let acknowledged = packet.ack.and_then(|ack| received.distance_to(ack));
        if is_other_syn || packet.syn && acknowledged.is_some_and(|distance| distance > CLOSE) {
            return None;
        }
        let distance = sent.distance_to(seq).max(acknowledged).unwrap_or(0);
        let [low, high] = self.networks.last;
        let (own, other) = if low_sent { (low, high) } else { (high, low) };
        let network = match Some(packet.network) {
            network if network == own => 0,
            network if network == other => 1,
            _ => 2,
        };
        (distance < NEAR).then_some(Doubts {
            is_far: distance > CLOSE,
            network,
            distance,
        })
    }

    /// Its end's last packet came through the same network.
    fn is_in(&self, packet: &Packet<'_>) -> bool {
        let at = usize::from(!self.ends.low_sent(packet));
        self.networks.last.get(at) == Some(&Some(packet.network))
    }
}

/// What speaks against a packet being of a connection, most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Doubts {
    is_far: bool,
    /// It came through the network of its end, of the other end, of none.
    network: u8,
    distance: u32,
}

impl Flows {
    /// The connection that a packet is of, which may not be there yet.
    pub(super) fn lane(&mut self, packet: &Packet<'_>) -> Ends {
        let ends = self.find_lane(packet);
        if let Some(flow) = self.get_mut(&ends) {
            flow.came_through(packet);
        }
        ends
    }

    fn find_lane(&mut self, packet: &Packet<'_>) -> Ends {
        let ends = Ends::of(packet);
        let Some(first) = self.get(&ends) else {
            return ends;
        };
        let lanes = first.networks.lanes;
        if lanes == 0 && (first.is_in(packet) || first.doubts(packet).is_some()) {
            return ends;
        }
        let all = (0..=lanes).map(|lane| Ends { lane, ..ends });
        let known = || {
            all.clone()
                .filter_map(|ends| Some((ends, self.get(&ends)?)))
        };
        let likely = known().filter_map(|(ends, flow)| Some((flow.doubts(packet)?, ends)));
        // Ports that are used again in one network are of the connection that was there.
        let found = (likely
            .min_by_key(|(doubts, _)| *doubts)
            .map(|(_, ends)| ends))
        .or_else(|| Some(known().find(|(_, flow)| flow.is_in(packet))?.0));
        if let Some(found) = found {
            return found;
        }
        // A reset begins no connection.
        if lanes == MOST || packet.rst {
            return ends;
        }
        if let Some(first) = self.get_mut(&ends) {
            first.networks.lanes = lanes + 1;
        }
        Ends {
            lane: lanes + 1,
            ..ends
        }
    }
}
