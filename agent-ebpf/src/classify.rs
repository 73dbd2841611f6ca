//! What becomes of a socket that is not followed yet.
//!
//! The first bytes of a stream decide, and only once TCP has taken them. A socket that was joined
//! in the middle of a stream, or whose first bytes were no HTTP, is looked at after each change
//! of direction, and less and less often.

use meshtap_common::{Classification, DIRECTION_INGRESS};

use crate::flow::{FlowState, NEW, PENDING};
use crate::look::{self, Look};
use crate::read::Numbers;
use crate::scope::{self, Role};
use crate::segment::{Position, Segment};
use crate::{distance, maps};

impl<const DIRECTION: u8> Segment<DIRECTION> {
    /// A socket that is not followed yet. Says whether the segment is to be emitted.
    #[inline(always)]
    pub(crate) fn classify(
        &self,
        flow: &mut FlowState,
        numbers: &Numbers,
        position: Position,
    ) -> bool {
        let packet = &self.packet;
        let was_pending = flow.state == PENDING;
        if was_pending {
            flow.settle(numbers.received);
            if flow.state != PENDING {
                return false;
            }
        }
        if distance(position.expected, packet.end()) <= 0 {
            return false;
        }
        if position.start {
            if DIRECTION == DIRECTION_INGRESS && distance(position.expected, packet.seq) > 0 {
                // Out of order: what this is shows when the first segment is here.
                return !was_pending;
            }
            return match look::first(self.skb, packet) {
                Look::Request | Look::Token => self.meet(flow, scope::requests(DIRECTION)),
                Look::Response => self.meet(flow, scope::responses(DIRECTION)),
                Look::Tls => self.leave(flow, Classification::Tls),
                Look::Other => {
                    flow.wait(DIRECTION);
                    false
                }
            };
        }
        if flow.state == NEW
            && let Some(ends) = self.socket.ends()
            && maps::take_listener_flow(&ends)
        {
            return self.meet(flow, Role::Server);
        }
        if !flow.wait(DIRECTION) {
            return false;
        }
        match look::later(self.skb, packet) {
            Look::Request if flow.is_quiescent() => self.meet(flow, scope::requests(DIRECTION)),
            Look::Response if flow.is_quiescent() => self.meet(flow, scope::responses(DIRECTION)),
            // In the middle of a message anything may look like the beginning of another.
            Look::Request | Look::Token | Look::Response => self.meet(flow, Role::Unknown),
            Look::Tls | Look::Other => false,
        }
    }

    #[inline(always)]
    fn meet(&self, flow: &mut FlowState, role: Role) -> bool {
        if scope::is_wanted(self.config, role) {
            flow.follow();
            return true;
        }
        self.leave(flow, Classification::Side)
    }

    /// Leaves the socket alone: at once for what it sent itself, else when TCP has taken it.
    #[inline(always)]
    fn leave(&self, flow: &mut FlowState, reason: Classification) -> bool {
        if DIRECTION == DIRECTION_INGRESS {
            flow.ignore_after(reason, self.packet.end());
        } else {
            flow.ignore(reason);
        }
        false
    }
}
