//! `cgroup_skb`: every packet that a socket of the cgroup receives or sends.
//!
//! Ingress runs before TCP validates segments and puts them in order (`tcp_v4_rcv` → `tcp_filter`),
//! egress before segmentation (`ip_finish_output`). Checks are ordered by what they cost: a socket
//! that is ignored leaves after one storage look-up, acknowledgements after the headers.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use aya_log_ebpf::{debug, warn};
use meshtap_common::{
    Classification, DIRECTION_EGRESS, DIRECTION_INGRESS, DropReason, FLAG_LISTENER, FLAG_SKIPPED,
    FLAG_START, distance,
};

use crate::flow::{self, FOLLOWED, FlowState, NEW, SUSPECTED};
use crate::frames::{Inquiry, Range};
use crate::look::{self, Look};
use crate::maps;
use crate::mptcp::{self, Path};
use crate::read::{self, Numbers, Packet, Rejected, Socket, TCP_FIN, TCP_RST};
use crate::record::{Content, Record};
use crate::scope::{self, Role};
use crate::segment::{Position, Segment};
use crate::{accept, window};

/// The packet goes on its way, always.
const PASS: i32 = 1;

// Inlined into the entry that the macro makes: a function of its own would return nothing, and the
// verifier refuses one that happens to leave an address of its stack where a result would be.
#[cgroup_skb(ingress)]
#[inline(always)]
fn meshtap_ingress(ctx: SkBuffContext) -> i32 {
    inspect::<DIRECTION_INGRESS>(&ctx);
    PASS
}

#[cgroup_skb(egress)]
#[inline(always)]
fn meshtap_egress(ctx: SkBuffContext) -> i32 {
    inspect::<DIRECTION_EGRESS>(&ctx);
    PASS
}

#[inline(always)]
fn inspect<const DIRECTION: u8>(ctx: &SkBuffContext) -> Option<()> {
    let skb = ctx.skb.skb;
    let socket = read::socket(skb)?;
    let is_listener = socket.is_listener();
    let mut known = if is_listener { None } else { flow::get(socket) };
    if let Some(flow) = &mut known
        && flow.rests()
    {
        return None;
    }
    let packet = match read::packet(skb) {
        Ok(packet) => packet,
        Err(Rejected::Headers) => {
            maps::count(DropReason::Headers, 0);
            return None;
        }
        Err(Rejected::Other) => return None,
    };
    if let Some(flow) = &mut known
        && flow.state == SUSPECTED
        && !is_cleared::<DIRECTION>(flow, skb, socket, &packet)
    {
        return None;
    }
    if packet.payload_len == 0 && !packet.is_end() && !packet.is_urgent() {
        return None;
    }
    let config = maps::config()?;
    if config.enabled == 0 || scope::is_marked(config, socket) {
        return None;
    }
    let segment = Segment::<DIRECTION> {
        skb,
        socket,
        packet,
        config,
    };
    let record = if is_listener {
        segment.on_listener()?
    } else {
        segment.on_connection(known, ctx)?
    };
    segment.emit(&record);
    Some(())
}

/// A flow that the other end says is Multipath TCP: what the socket sends itself decides. True when
/// it is not, and the packet goes on.
#[inline(always)]
fn is_cleared<const DIRECTION: u8>(
    flow: &mut FlowState,
    skb: *mut __sk_buff,
    socket: Socket,
    packet: &Packet,
) -> bool {
    if DIRECTION == DIRECTION_INGRESS {
        maps::count(DropReason::Mptcp, packet.payload_len);
        return false;
    }
    if mptcp::path(skb, socket, packet, DIRECTION) == Path::Single {
        flow.state = NEW;
        flow.single_path = 1;
        return true;
    }
    flow.ignore(Classification::Mptcp);
    false
}

impl<const DIRECTION: u8> Segment<DIRECTION> {
    /// The listener received data: it completes a handshake (TCP_DEFER_ACCEPT, a lost last
    /// acknowledgement) or comes with the SYN (TCP Fast Open). It may have overtaken the first one,
    /// and where the stream begins is not known here: user space finds out. The new socket's own
    /// segments follow under its own cookie.
    #[inline(always)]
    fn on_listener(&self) -> Option<Record> {
        let packet = &self.packet;
        if DIRECTION != DIRECTION_INGRESS
            || packet.payload_len == 0
            || !self.is_selected(packet.source_port)
            || !scope::is_wanted(self.config, Role::Server)
            || look::first(self.skb, packet) == Look::Tls
            || maps::is_excluded(read::cgroup(self.skb))
            || flow::get(self.socket).is_some_and(|own| own.rests())
        {
            return None;
        }
        let ends = self.socket.accepted_ends(self.skb, packet)?;
        maps::note_listener_flow(&ends);
        Some(Record {
            cookie: read::cookie(self.skb),
            ends,
            expected: packet.seq,
            flags: FLAG_LISTENER,
            content: Content::Payload,
            wakeup_bytes: self.config.wakeup_bytes,
            marks: None,
            range: Range::EMPTY,
            inquiry: Inquiry::NONE,
        })
    }

    #[inline(always)]
    fn on_connection(
        &self,
        known: Option<&'static mut FlowState>,
        ctx: &SkBuffContext,
    ) -> Option<Record> {
        let payload_len = self.packet.stream_len();
        let flow = match known {
            Some(flow) => flow,
            // The end of a connection that was never of interest.
            None if payload_len == 0 || !self.is_selected(self.socket.remote_port()) => {
                return None;
            }
            None => {
                let Some(flow) = flow::get_or_create(self.socket) else {
                    warn!(ctx, "no room for the state of a socket");
                    maps::count(DropReason::FlowState, payload_len);
                    return None;
                };
                flow
            }
        };
        if flow.cookie == 0 && !self.admit(flow) {
            return None;
        }
        if !self.obey(flow) || (flow.state != FOLLOWED && payload_len == 0) {
            return None;
        }
        let numbers = self.socket.numbers()?;
        if DIRECTION == DIRECTION_INGRESS
            && !accept::is_acceptable(self.socket, &self.packet, &numbers, &flow.egress)
        {
            maps::count(DropReason::Unaccepted, payload_len);
            return None;
        }
        let position = self.position(&numbers, flow);
        let sent = flow.egress.sent();
        if DIRECTION == DIRECTION_EGRESS {
            // The FIN counts as one.
            let fin = u32::from(self.packet.flags & TCP_FIN);
            flow.egress.advance(self.packet.end().wrapping_add(fin));
        }
        let is_certain = !position.start || payload_len == 0 || !flow.is_other_unlike(DIRECTION);
        if flow.state != FOLLOWED || !is_certain {
            let is_emitted = self.classify(flow, &numbers, position);
            debug!(ctx, "cookie {}: state {}", flow.cookie, flow.state);
            if !is_emitted {
                return None;
            }
        }
        self.follow(flow, &numbers, position, sent)
    }

    /// A connection that was not seen before. False: it is left alone.
    #[inline(always)]
    fn admit(&self, flow: &mut FlowState) -> bool {
        flow.cookie = read::cookie(self.skb);
        let path = mptcp::path(self.skb, self.socket, &self.packet, DIRECTION);
        if path == Path::Single || flow.single_path != 0 {
            return true;
        }
        maps::count(DropReason::Mptcp, self.packet.payload_len);
        if path == Path::Subflow {
            flow.ignore(Classification::Mptcp);
        } else {
            flow.state = SUSPECTED;
        }
        false
    }

    /// Does what user space has asked for since. False: the socket is left alone.
    #[inline(always)]
    fn obey(&self, flow: &mut FlowState) -> bool {
        let Some(generation) = maps::generation() else {
            return true;
        };
        let cookie = flow.cookie;
        let (state, rule) = if DIRECTION == DIRECTION_INGRESS {
            (&mut flow.ingress, &mut flow.rule)
        } else {
            (&mut flow.egress, &mut flow.rule)
        };
        if state.generation == generation {
            return true;
        }
        state.generation = generation;
        if maps::is_excluded(read::cgroup(self.skb)) {
            flow.ignore(Classification::Cgroup);
            return false;
        }
        let packet = (self.socket, &self.packet);
        let stays = window::obey(packet, (cookie, DIRECTION), state, rule, generation);
        if !stays {
            flow.ignore(Classification::Requested);
        }
        stays
    }

    /// What of the segment is new, and within the capture window.
    #[inline(always)]
    fn follow(
        &self,
        flow: &mut FlowState,
        numbers: &Numbers,
        position: Position,
        sent: Option<u32>,
    ) -> Option<Record> {
        let packet = &self.packet;
        let mut content = Content::Payload;
        let mut flags = if position.start { FLAG_START } else { 0 };
        let mut wakeup_bytes = self.config.wakeup_bytes;
        if packet.flags & TCP_RST != 0 && packet.payload_len != 0 {
            // Its number and its length show whether TCP may refuse it.
            content = Content::Length;
        } else if packet.payload_len == 0 || distance(position.expected, packet.end()) <= 0 {
            // Given before, if anything. An end is emitted all the same, and what is urgent.
            if !packet.is_end() && !packet.is_urgent() {
                return None;
            }
            content = Content::End;
        } else if self.is_framed(flow, position) {
            return self.follow_frames(flow, position, flags);
        } else {
            let (anchor, heard) = if DIRECTION == DIRECTION_EGRESS {
                (sent.unwrap_or(packet.seq), numbers.received)
            } else {
                // `snd_nxt` may lag behind what the other end has responded to by now.
                (position.expected, sent.unwrap_or(numbers.sent))
            };
            let rule = flow.rule;
            let state = flow.direction(DIRECTION);
            window::quiesce(state, anchor, heard);
            match window::content(state, rule, self.config, packet, position.expected) {
                window::Content::Length => {
                    let skipped = state.skipped;
                    if !self.skip(state, packet.is_end() || packet.is_push()) {
                        return None;
                    }
                    flags |= FLAG_SKIPPED;
                    content = Content::Length;
                    if skipped == 0 {
                        // User space may know by now where bytes are wanted again: wake it.
                        wakeup_bytes = 0;
                    }
                }
                within => {
                    flags |= state.say_skipped(packet, position.expected);
                    if within == window::Content::LastPayload {
                        wakeup_bytes = 0;
                    }
                }
            }
        }
        Some(Record {
            cookie: flow.cookie,
            ends: self.socket.ends()?,
            expected: position.expected,
            flags,
            content,
            wakeup_bytes,
            marks: None,
            range: Range::EMPTY,
            inquiry: Inquiry::NONE,
        })
    }
}
