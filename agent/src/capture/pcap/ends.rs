//! The two ends of a connection.

use super::packet::Packet;
use crate::flow::Endpoint;

/// Both ends in an order that does not depend on who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) low: Endpoint,
    pub(super) high: Endpoint,
    /// Which of the connections between them, in networks that have the same addresses.
    pub(super) lane: u8,
}

impl Ends {
    pub(super) fn of(packet: &Packet<'_>) -> Self {
        if packet.source <= packet.destination {
            Self {
                low: packet.source,
                high: packet.destination,
                lane: 0,
            }
        } else {
            Self {
                low: packet.destination,
                high: packet.source,
                lane: 0,
            }
        }
    }

    /// The lower end sent the packet.
    pub(super) fn low_sent(&self, packet: &Packet<'_>) -> bool {
        packet.source == self.low
    }
}
