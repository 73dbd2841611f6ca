//! The two ends of a connection.

use super::packet::Packet;
use crate::flow::Endpoint;

/// Both ends in an order that does not depend on who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) low: Endpoint,
    pub(super) high: Endpoint,
}

impl Ends {
    pub(super) fn of(packet: &Packet<'_>) -> Self {
        if packet.source <= packet.destination {
            Self {
                low: packet.source,
                high: packet.destination,
            }
        } else {
            Self {
                low: packet.destination,
                high: packet.source,
            }
        }
    }

    /// The lower end sent the packet.
    pub(super) fn low_sent(&self, packet: &Packet<'_>) -> bool {
        packet.source == self.low
    }
}
