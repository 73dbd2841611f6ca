//! Marks on messages whose recipient may have read other bytes.

use super::Session;
use crate::flow::Direction;
use crate::http::Anomalies;

/// Marks of both directions, by [`Direction`].
pub(super) type Marks = [Anomalies; 2];

impl Session {
    /// Marks what was read last in a direction.
    pub(super) fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        match self {
            Self::H1(h1) => h1.mark(direction, anomaly),
            Self::H2(h2) => h2.mark(direction, anomaly),
            Self::Tunnel(tunnel) => tunnel.mark(direction, anomaly),
            Self::Detect(detect) => detect.mark(direction, anomaly),
            Self::WebSocket(_) | Self::Ignored => {}
        }
    }

    /// Marks what the first bytes turned out to be.
    pub(super) fn mark_first(&mut self, marks: Marks) {
        for direction in [Direction::Ingress, Direction::Egress] {
            let anomalies = marks[direction as usize];
            if anomalies != Anomalies::default() {
                self.mark(direction, anomalies);
            }
        }
    }
}
