//! What becomes of a socket that is not followed yet.
//!
//! The first bytes of a stream decide, and only once TCP has taken them. Where neither direction
//! began with what is HTTP for certain, the socket is left alone; where one did not, the other one
//! is awaited. A socket that was joined in the middle of a stream, or of which one direction began
//! with no HTTP, is looked at after each change of direction, and less and less often. What looks
//! like HTTP in the middle of something else is given to user space within a small capture window,
//! until a message comes where one may begin.

use meshtap_common::{Classification, DIRECTION_INGRESS, distance};

use crate::flow::{FOLLOWED, FRAMES, FlowState, NEW, PENDING, UNLIMITED};
use crate::look::{self, Look};
use crate::maps;
use crate::read::Numbers;
use crate::scope::{self, Role};
use crate::segment::{Position, Segment};

impl<const DIRECTION: u8> Segment<DIRECTION> {
    /// A socket that is not followed for certain yet. Says whether the segment is to be emitted.
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
            return self.classify_first(flow, position);
        }
        self.classify_later(flow, position)
    }

    /// The first bytes of a direction.
    #[inline(always)]
    fn classify_first(&self, flow: &mut FlowState, position: Position) -> bool {
        let look = look::first(self.skb, &self.packet);
        // A server of HTTP says `HTTP/` even to what it cannot read, and is not the first to speak.
        let is_other_unlike = flow.is_other_unlike(DIRECTION);
        // So little says nothing of who speaks first, and of a response that it is none.
        let is_no_response = look == Look::Start && is_other_unlike;
        if is_no_response || matches!(look, Look::Token | Look::Other | Look::Tls) {
            if is_other_unlike {
                let is_tls = look == Look::Tls;
                let reason = if is_tls {
                    Classification::Tls
                } else {
                    Classification::Other
                };
                return self.leave(flow, reason);
            }
            flow.set_unlike(DIRECTION);
        }
        if flow.state == FOLLOWED {
            // The other direction has said what the socket is.
            return true;
        }
        match look {
            // What the other direction began with is no response.
            Look::Letter | Look::Response if is_other_unlike => {
                self.meet(flow, scope::responses(DIRECTION))
            }
            // Nor does a response come first.
            Look::Letter if flow.is_second(DIRECTION) => {
                self.meet(flow, scope::responses(DIRECTION))
            }
            Look::Request | Look::Letter => self.meet(flow, scope::requests(DIRECTION)),
            // A server may speak first, a line that is no request of its own.
            Look::Token | Look::Start
                if scope::is_wanted(self.config, scope::requests(DIRECTION)) =>
            {
                flow.follow();
                true
            }
            Look::Response if scope::is_wanted(self.config, scope::responses(DIRECTION)) => {
                flow.follow();
                true
            }
            // One side alone proves nothing: a server may take such bytes for a method.
            _ => {
                flow.wait(DIRECTION, self.packet.seq, position.expected);
                false
            }
        }
    }

    /// Mid-stream.
    #[inline(always)]
    fn classify_later(&self, flow: &mut FlowState, position: Position) -> bool {
        if matches!(flow.rule, UNLIMITED | FRAMES) {
            // User space has recognised it.
            flow.follow();
            return true;
        }
        if flow.state == NEW
            && let Some(ends) = self.socket.ends()
            && maps::take_listener_flow(&ends)
        {
            return self.meet(flow, Role::Server);
        }
        let seq = self.packet.seq;
        if !flow.wait(DIRECTION, seq, position.expected) {
            return flow.is_guessed();
        }
        match look::later(self.skb, &self.packet) {
            Look::Request if flow.is_quiescent(DIRECTION, seq) => {
                self.meet(flow, scope::requests(DIRECTION))
            }
            Look::Response if flow.is_quiescent(DIRECTION, seq) => {
                self.meet(flow, scope::responses(DIRECTION))
            }
            Look::Request if flow.is_first_look() => self.suppose(flow, scope::requests(DIRECTION)),
            Look::Response if flow.is_first_look() => {
                self.suppose(flow, scope::responses(DIRECTION))
            }
            // In the middle of a message anything may look like the beginning of another.
            Look::Request | Look::Token | Look::Start | Look::Letter | Look::Response => {
                flow.guess()
            }
            // Their directions change faster than user space can look at them.
            Look::Frame => {
                flow.keep_looking();
                flow.guess()
            }
            Look::Tls | Look::Other | Look::Socks => flow.is_guessed(),
        }
    }

    /// The first packet of a socket that was joined mid-stream says its role, unless that is the
    /// middle of a message: a socket of no interest is looked at again.
    #[inline(always)]
    fn suppose(&self, flow: &mut FlowState, role: Role) -> bool {
        let is_wanted = scope::is_wanted(self.config, role);
        if is_wanted {
            flow.follow();
        }
        is_wanted
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
