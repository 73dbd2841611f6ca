//! `cgroup_skb`: every packet that a socket of the cgroup receives or sends.
//!
//! Ingress runs before TCP puts segments in order (`tcp_v4_rcv` → `tcp_filter`), egress before segmentation (`ip_finish_output`). Checks are
//! ordered by what they cost: acknowledgements leave before any map is asked, ignored sockets after one lookup.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use aya_log_ebpf::{debug, warn};
use meshtap_common::{
    CaptureConfig, DIRECTION_EGRESS, DIRECTION_INGRESS, DropReason, EventHeader, FLAG_FIN,
    FLAG_LISTENER, FLAG_RST, FLAG_SKIPPED, FLAG_START, FLAG_SYN, FlowState, HalfState,
    KIND_SEGMENT, ROLE_SERVER, ROLE_UNKNOWN, VERDICT_HTTP, VERDICT_IGNORE, VERDICT_UNKNOWN,
};

use crate::emit;
use crate::maps::{self, Ends};
use crate::read::{self, Packet, Position, Rejected, Socket, TCP_FIN, TCP_RST, TCP_SYN};
use crate::scope::{self, Look};

/// The packet goes on its way, always.
const PASS: i32 = 1;

/// A connection picked up in its middle is given up after this many changes of direction without a message start. HTTP/1 shows one at every
/// second change.
const TURNS: u8 = 16;

/// While bytes are skipped on purpose, user space hears of it this often, so that a gap is never near 2^31 bytes; and at the end of each
/// write, so that the end of a message is not waited for.
const TOLD_EVERY: u32 = 256 * 1024;

#[cgroup_skb(ingress)]
fn meshtap_ingress(ctx: SkBuffContext) -> i32 {
    inspect::<DIRECTION_INGRESS>(&ctx);
    PASS
}

#[cgroup_skb(egress)]
fn meshtap_egress(ctx: SkBuffContext) -> i32 {
    inspect::<DIRECTION_EGRESS>(&ctx);
    PASS
}

/// A packet of interest, in `DIRECTION`.
struct Segment<const DIRECTION: u8> {
    skb: *mut __sk_buff,
    socket: Socket,
    packet: Packet,
    config: &'static CaptureConfig,
    cookie: u64,
}

/// What user space is told of a segment.
struct Told {
    ends: Ends,
    position: Position,
    /// `FLAG_*` beside those that the TCP header and the position give.
    flags: u16,
    content: Content,
    /// Pending bytes at which the reader is woken.
    wakeup_bytes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// The payload.
    Payload,
    /// That there is payload.
    Length,
    /// That the stream ends where the segment ends.
    End,
}

#[inline(always)]
fn inspect<const DIRECTION: u8>(ctx: &SkBuffContext) -> Option<()> {
    let skb = ctx.skb.skb;
    let socket = read::socket(skb)?;
    let packet = match read::packet(skb) {
        Ok(packet) => packet,
        Err(Rejected::Headers) => {
            maps::count(DropReason::Headers, 0);
            return None;
        }
        Err(Rejected::Other) => return None,
    };
    if packet.payload_len == 0 && !packet.is_end() {
        return None;
    }
    let config = maps::config()?;
    if config.enabled == 0 || scope::is_marked(config, socket) {
        return None;
    }
    let is_listener = socket.is_listener();
    let remote_port = if is_listener {
        packet.source_port
    } else {
        socket.remote_port()
    };
    if !scope::is_selected(config, socket.local_port(), remote_port) {
        return None;
    }
    let segment = Segment::<DIRECTION> {
        skb,
        socket,
        packet,
        config,
        cookie: read::cookie(skb),
    };
    let told = if is_listener {
        segment.on_listener()?
    } else {
        segment.on_connection(ctx)?
    };
    segment.tell(&told);
    Some(())
}

impl<const DIRECTION: u8> Segment<DIRECTION> {
    /// The listener received data: it completes a handshake (TCP_DEFER_ACCEPT, a lost last acknowledgement) or comes with the SYN (TCP Fast
    /// Open). Each segment is looked at by itself; the new socket's own segments follow under its own cookie.
    #[inline(always)]
    fn on_listener(&self) -> Option<Told> {
        let packet = &self.packet;
        if DIRECTION != DIRECTION_INGRESS
            || packet.payload_len == 0
            || !scope::is_wanted(self.config, ROLE_SERVER)
            || scope::look(self.skb, packet) != Look::Request
            || maps::is_excluded(read::cgroup(self.skb))
        {
            return None;
        }
        let ends = self.socket.accepted_ends(self.skb, packet)?;
        maps::note_listener_flow(&ends);
        Some(Told {
            ends,
            position: Position {
                expected: packet.seq,
                start: true,
            },
            flags: FLAG_LISTENER,
            content: Content::Payload,
            wakeup_bytes: self.config.wakeup_bytes,
        })
    }

    #[inline(always)]
    fn on_connection(&self, ctx: &SkBuffContext) -> Option<Told> {
        let payload_len = self.packet.payload_len;
        let flow = match maps::flow(self.cookie) {
            Some(flow) => flow,
            // The end of a connection that was never of interest.
            None if payload_len == 0 => return None,
            None => self.new_flow(ctx)?,
        };
        // SAFETY: a map value, checked not to be null. Both directions write to it at once; see `FlowState`.
        let flow = unsafe { &mut *flow };
        if flow.verdict == VERDICT_IGNORE || (flow.verdict == VERDICT_UNKNOWN && payload_len == 0) {
            return None;
        }
        let position = self.socket.position::<DIRECTION>(self.skb, &self.packet)?;
        if flow.verdict == VERDICT_UNKNOWN {
            let is_told = self.meet(flow, position);
            debug!(ctx, "cookie {}: verdict {}", self.cookie, flow.verdict);
            if !is_told {
                return None;
            }
        }
        self.follow(flow, position)
    }

    /// A connection that was not seen before: it is left alone from now on when its cgroup is.
    #[inline(always)]
    fn new_flow(&self, ctx: &SkBuffContext) -> Option<*mut FlowState> {
        let Some(flow) = maps::new_flow(self.cookie) else {
            warn!(ctx, "no room for the flow of cookie {}", self.cookie);
            maps::count(DropReason::FlowTable, self.packet.payload_len);
            return None;
        };
        if maps::is_excluded(read::cgroup(self.skb)) {
            // SAFETY: a map value, checked not to be null; one byte is written.
            unsafe { (*flow).verdict = VERDICT_IGNORE };
        }
        Some(flow)
    }

    /// A socket that has not been classified. Says whether the segment is to be told.
    #[inline(always)]
    fn meet(&self, flow: &mut FlowState, position: Position) -> bool {
        let packet = &self.packet;
        if DIRECTION == DIRECTION_INGRESS && distance(position.expected, packet.end()) <= 0 {
            return false;
        }
        let role = match scope::look(self.skb, packet) {
            Look::Request => scope::requests(DIRECTION),
            Look::Response => scope::responses(DIRECTION),
            Look::Tls => ROLE_UNKNOWN,
            Look::Other => match self.socket.ends() {
                Some(ends) if maps::take_listener_flow(&ends) => ROLE_SERVER,
                _ if !position.start => return Self::wait(flow),
                // Out of order: what this is shows when the first segment is here.
                _ if DIRECTION == DIRECTION_INGRESS && packet.seq != position.expected => {
                    return true;
                }
                _ => ROLE_UNKNOWN,
            },
        };
        if role == ROLE_UNKNOWN || !scope::is_wanted(self.config, role) {
            flow.verdict = VERDICT_IGNORE;
            return false;
        }
        flow.role = role;
        flow.verdict = VERDICT_HTTP;
        true
    }

    /// Joined in the middle: hope for a message start, for a while.
    #[inline(always)]
    fn wait(flow: &mut FlowState) -> bool {
        if flow.last_direction != DIRECTION + 1 {
            flow.last_direction = DIRECTION + 1;
            flow.turns = flow.turns.saturating_add(1);
            if flow.turns > TURNS {
                flow.verdict = VERDICT_IGNORE;
            }
        }
        false
    }

    /// What of the segment is new, and within the body budget.
    #[inline(always)]
    fn follow(&self, flow: &mut FlowState, mut position: Position) -> Option<Told> {
        let packet = &self.packet;
        let is_turn = flow.last_direction != DIRECTION + 1;
        let (half, other) = if DIRECTION == DIRECTION_INGRESS {
            (&mut flow.ingress, &mut flow.egress)
        } else {
            (&mut flow.egress, &mut flow.ingress)
        };
        if DIRECTION == DIRECTION_EGRESS
            && half.started != 0
            && distance(position.expected, packet.seq) < 0
        {
            // Behind `snd_nxt`: a retransmission, or a packet that was held up on its way here (netfilter queue). What was told decides.
            position.expected = half.next;
        }
        let mut content = Content::Payload;
        let mut flags = 0;
        let mut wakeup_bytes = self.config.wakeup_bytes;
        if packet.payload_len == 0 || distance(position.expected, packet.end()) <= 0 {
            // Given before, if anything. An end is told all the same.
            if !packet.is_end() {
                return None;
            }
            content = Content::End;
        } else {
            if is_turn {
                flow.last_direction = DIRECTION + 1;
                other.turned = 1;
            }
            half.next = packet.end();
            if self.is_due(half) {
                if half.skipped != 0 {
                    half.skipped = 0;
                    flags = FLAG_SKIPPED;
                }
            } else {
                maps::count(DropReason::Budget, packet.payload_len);
                let skipped = half.skipped;
                let is_over = packet.is_end() || packet.is_push();
                if skipped != 0 && skipped < TOLD_EVERY && !is_over {
                    half.skipped = skipped.saturating_add(packet.payload_len);
                    return None;
                }
                half.skipped = packet.payload_len;
                flags = FLAG_SKIPPED;
                content = Content::Length;
                if skipped == 0 {
                    // User space may know by now where to resume: wake it.
                    wakeup_bytes = 0;
                }
            }
        }
        Some(Told {
            ends: self.socket.ends()?,
            position,
            flags,
            content,
            wakeup_bytes,
        })
    }

    /// Is the payload within the body budget? A budget begins at the first payload, when the other direction has spoken, and where user space
    /// says.
    #[inline(always)]
    fn is_due(&self, half: &mut HalfState) -> bool {
        let (seq, end) = (self.packet.seq, self.packet.end());
        let budget = self.config.budget.cast_signed();
        if half.started == 0 || (half.turned != 0 && distance(half.base, seq) >= 0) {
            half.base = seq;
        }
        half.started = 1;
        half.turned = 0;
        if distance(half.base, seq) < budget {
            return distance(half.base, end) > 0;
        }
        if let Some(resume) = maps::resume(self.cookie, DIRECTION)
            && distance(half.base, resume) > 0
        {
            half.base = resume;
            if distance(resume, seq) < budget {
                return distance(resume, end) > 0;
            }
        }
        // Spent, as it stays; the base follows so that its distance never wraps.
        half.base = seq.wrapping_sub(self.config.budget);
        false
    }

    #[inline(always)]
    fn tell(&self, told: &Told) {
        let packet = &self.packet;
        let mut flags = told.flags;
        if packet.flags & TCP_FIN != 0 {
            flags |= FLAG_FIN;
        }
        if packet.flags & TCP_SYN != 0 {
            flags |= FLAG_SYN;
        }
        if packet.flags & TCP_RST != 0 {
            flags |= FLAG_RST;
        }
        if told.position.start {
            flags |= FLAG_START;
        }
        let is_end = told.content == Content::End;
        let mut header = EventHeader {
            time_ns: read::now(),
            cookie: self.cookie,
            cgroup_id: read::cgroup(self.skb),
            seq: if is_end { packet.end() } else { packet.seq },
            ack: packet.ack,
            expected: told.position.expected,
            wire_len: if is_end { 0 } else { packet.payload_len },
            captured_len: if told.content == Content::Payload {
                packet.payload_len
            } else {
                0
            },
            kind: KIND_SEGMENT,
            direction: DIRECTION,
            flags,
            local_port: told.ends.local_port,
            remote_port: told.ends.remote_port,
            reserved: 0,
            local_addr: [0; 16],
            remote_addr: [0; 16],
        };
        told.ends.write_addresses(&mut header);
        emit::segment(
            self.skb,
            &mut header,
            packet.payload_offset,
            told.wakeup_bytes,
        );
    }
}

/// Bytes from one sequence number to another, modulo 2^32 (RFC 9293 §3.4).
#[inline(always)]
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}
