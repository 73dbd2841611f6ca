//! What a connection speaks: chunks and gaps of its two directions in, exchanges out.
//!
//! ```text
//!            ┌── preface, frames ────────► H2 ( per stream: 2xx to CONNECT ─► a session of its own )
//!            ├── first bytes of HTTP/1 ──► H1 ──┬── 101 to WebSocket ───────────────► WebSocket
//! Detect ────┤                             │    └── other 101, 2xx to CONNECT ──► Tunnel ( Detect … )
//!            │                             ├── 101 to h2c ──► H2
//!            └── of anything else ─────────┴──────── nothing more to emit ──────► Ignored
//! ```
//!
//! [`Session`] owns every transition. A further protocol is a further variant, an arm in each
//! method of [`Session`], and a way to recognise it in [`detect`].

mod context;
mod detect;
mod end;
mod first;
mod found;
mod h1;
mod h2;
mod held;
mod proxy_protocol;
mod quiescent;
mod switch;
mod tunnel;
mod websocket;

pub(crate) use context::{Context, Messages, Origin, RequestStart};
pub use context::{Limits, Output, Stats};
pub(crate) use end::{Course, End, Verdict};

use std::sync::Arc;

use meshtap_common::IgnoreReason;

use self::detect::Detect;
use self::found::Found;
use self::h1::H1;
use self::h2::H2;
use self::tunnel::Tunnel;
use self::websocket::WebSocket;
use crate::flow::{Demand, Direction, Nanos, Offset, Peers, Side};
use crate::http::Anomalies;
use crate::http::h1::Wanted;
use crate::transport::{Chunk, Gap, Item};

/// What a connection speaks.
#[derive(Debug)]
pub(crate) enum Session {
    /// Not decided yet.
    Detect(Detect),
    /// HTTP/1.
    H1(Box<H1>),
    /// HTTP/2.
    H2(Box<H2>),
    /// A connection inside this one.
    Tunnel(Box<Tunnel>),
    /// WebSocket, counted.
    WebSocket(Box<WebSocket>),
    /// Nothing that is read, or nothing more to emit.
    Ignored(IgnoreReason),
}

impl Default for Session {
    fn default() -> Self {
        Self::Detect(Detect::default())
    }
}

impl Session {
    /// Takes what the transport hands on.
    #[inline]
    pub(crate) fn item(
        &mut self,
        direction: Direction,
        item: Item<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        match item {
            Item::Opens { offset, start } => self.opens(direction, offset, start, cx),
            Item::Chunk(chunk) => {
                cx.stats.captured_bytes += chunk.bytes.len() as u64;
                self.chunk(direction, chunk, origin, cx);
            }
            Item::Gap(gap) => {
                match gap.skipped {
                    true => cx.stats.skipped_bytes += gap.len,
                    false => {
                        cx.stats.gaps += 1;
                        cx.stats.gap_bytes += gap.len;
                    }
                }
                self.gap(direction, &gap, origin, cx);
            }
            Item::Heard(offset) => self.heard(direction, offset),
            Item::Conflict { .. } => self.mark(direction, Anomalies::CONFLICT),
            Item::Urgent => self.mark(direction, Anomalies::URGENT),
            Item::End { time } => self.end(direction, time, cx),
        }
    }

    /// Nothing was read that would be lost by starting over.
    pub(crate) const fn is_fresh(&self) -> bool {
        matches!(self, Self::Detect(_) | Self::Ignored(_))
    }

    /// A direction's position became known. `start`: nothing came before it.
    fn opens(&mut self, direction: Direction, offset: Offset, start: bool, cx: &mut Context<'_>) {
        match self {
            Self::Detect(detect) => detect.opens(direction, offset, start),
            Self::H1(h1) => h1.opens(direction, offset, start, cx),
            Self::H2(h2) => h2.opens(direction, start),
            Self::Tunnel(tunnel) => tunnel.opens(direction, offset, cx),
            Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// Between two messages, a sender has received the other direction up to here.
    fn heard(&mut self, direction: Direction, offset: Offset) {
        match self {
            Self::Detect(detect) => detect.heard(direction, offset),
            Self::H1(h1) => h1.heard(direction, offset),
            Self::H2(_) | Self::Tunnel(_) | Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// Bytes came.
    #[inline]
    fn chunk(
        &mut self,
        direction: Direction,
        mut chunk: Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        match self {
            Self::H1(h1) => {
                h1.chunk(direction, &mut chunk, cx);
                if let Some(switched) = h1.take_switched() {
                    let peers = Arc::clone(h1.peers());
                    self.switch(&peers, *switched, &chunk, origin, cx);
                    self.rest(direction, chunk, origin, cx);
                }
            }
            Self::H2(h2) => h2.chunk(direction, &chunk, origin, cx),
            Self::Detect(detect) => {
                let marks = detect.marks();
                let found = detect.chunk(direction, &mut chunk, origin, cx.one_sided);
                if let Found::Session(..) = found {
                    cx.stats.unread_bytes += detect.passed();
                }
                self.found((found, marks), direction, chunk, origin, cx);
            }
            Self::Tunnel(tunnel) => tunnel.chunk(direction, chunk, cx),
            Self::WebSocket(websocket) => websocket.chunk(direction, &chunk, cx),
            Self::Ignored(_) => {}
        }
    }

    /// What is left of a chunk.
    fn rest(
        &mut self,
        direction: Direction,
        chunk: Chunk<'_>,
        origin: &Origin,
        cx: &mut Context<'_>,
    ) {
        if !chunk.bytes.is_empty() {
            self.chunk(direction, chunk, origin, cx);
        }
    }

    /// Marks what was read last in a direction: its recipient may have read other bytes.
    fn mark(&mut self, direction: Direction, anomaly: Anomalies) {
        match self {
            Self::H1(h1) => h1.mark(direction, anomaly),
            Self::H2(h2) => h2.mark(direction, anomaly),
            Self::Tunnel(tunnel) => tunnel.mark(direction, anomaly),
            Self::Detect(detect) => detect.mark(direction, anomaly),
            Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// Bytes are missing.
    fn gap(&mut self, direction: Direction, gap: &Gap, origin: &Origin, cx: &mut Context<'_>) {
        if let Self::Detect(detect) = self {
            let found = detect.gap(direction, gap, origin);
            self.found_in_part(found, origin, cx);
        }
        match self {
            Self::Detect(_) | Self::Ignored(_) => {}
            Self::H1(h1) => h1.gap(direction, gap, cx),
            Self::H2(h2) => h2.gap(direction, gap, origin, cx),
            Self::Tunnel(tunnel) => tunnel.gap(direction, gap, cx),
            Self::WebSocket(websocket) => websocket.gap(direction, gap, cx),
        }
    }

    /// A direction has ended.
    fn end(&mut self, direction: Direction, time: Nanos, cx: &mut Context<'_>) {
        match self {
            Self::H1(h1) => h1.end(direction, time, cx),
            Self::H2(h2) => h2.end(direction),
            Self::Tunnel(tunnel) => tunnel.end(direction, time, cx),
            Self::Detect(_) | Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// Nothing more comes: everything in flight is emitted or counted.
    pub(crate) fn finish(&mut self, end: End, now: Nanos, cx: &mut Context<'_>) {
        match self {
            Self::Detect(detect) => detect.finish(end, cx),
            Self::H1(h1) => h1.finish(end, now, cx),
            Self::H2(h2) => h2.finish(end, now, cx),
            Self::Tunnel(tunnel) => tunnel.finish(end, now, cx),
            Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// Lets time pass: exchanges that are too old are emitted as they stand.
    pub(crate) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        match self {
            Self::H1(h1) => {
                if let Some(oldest) = now.checked_sub(cx.limits.exchange_age) {
                    h1.expire(oldest, now, cx);
                }
            }
            Self::H2(h2) => h2.expire(now, cx),
            Self::Tunnel(tunnel) => tunnel.expire(now, cx),
            Self::Detect(_) | Self::WebSocket(_) | Self::Ignored(_) => {}
        }
    }

    /// What becomes of the connection now. `ended`: both directions have.
    #[inline]
    pub(crate) fn verdict(&mut self, ended: bool, now: Nanos, cx: &mut Context<'_>) -> Verdict {
        match self {
            Self::H1(h1) => match h1.verdict() {
                Course::Go => Verdict::Open,
                Course::Over => Verdict::Over,
                Course::NotHttp => {
                    h1.finish(End::Gone, now, cx);
                    *self = Self::Detect(Detect::again());
                    Verdict::Open
                }
                Course::Hopeless => {
                    h1.finish(End::Gone, now, cx);
                    *self = Self::Ignored(IgnoreReason::Lost);
                    Verdict::Ignore(IgnoreReason::Lost)
                }
            },
            Self::H2(h2) => match h2.verdict() {
                Course::Go => Verdict::Open,
                Course::Over => Verdict::Over,
                Course::NotHttp | Course::Hopeless => {
                    h2.finish(End::Gone, now, cx);
                    *self = Self::Ignored(IgnoreReason::Lost);
                    Verdict::Ignore(IgnoreReason::Lost)
                }
            },
            Self::Ignored(reason) => Verdict::Ignore(*reason),
            Self::Detect(_) | Self::Tunnel(_) | Self::WebSocket(_) if ended => Verdict::Over,
            Self::Detect(_) | Self::Tunnel(_) | Self::WebSocket(_) => Verdict::Open,
        }
    }

    /// As [`Self::verdict`], for a session inside another: the outer connection decides when it
    /// ends.
    fn settle(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let verdict = match self {
            Self::H1(h1) => h1.verdict(),
            Self::H2(h2) => h2.verdict(),
            _ => return,
        };
        if verdict != Course::Go {
            self.finish(End::Gone, now, cx);
            *self = Self::Ignored(IgnoreReason::Lost);
        }
    }

    /// Where the hook guesses that a frame of HTTP/2 begins, if it does.
    #[inline]
    pub(crate) fn guess(&mut self, direction: Direction, at: Option<Offset>) {
        match (self, at) {
            (Self::H2(h2), Some(at)) => h2.guess(direction, at),
            (Self::Tunnel(tunnel), Some(_)) => tunnel.guess(direction, at),
            _ => {}
        }
    }

    /// What is wanted of a direction that stands at `position`.
    #[inline]
    pub(crate) fn demand(&self, direction: Direction, position: Offset) -> Demand {
        match self {
            Self::H1(h1) => match h1.wanted(direction) {
                Wanted::Next => Demand::Next,
                Wanted::After(len) => Demand::From(position + len),
                Wanted::Nothing => Demand::Nothing,
            },
            Self::H2(h2) => h2.demand(direction, position),
            Self::Tunnel(tunnel) => tunnel.demand(direction, position),
            Self::WebSocket(websocket) => websocket.demand(direction, position),
            Self::Detect(_) | Self::Ignored(_) => Demand::Nothing,
        }
    }

    /// Bytes held.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::H1(h1) => h1.memory(),
            Self::H2(h2) => h2.memory(),
            Self::Detect(detect) => detect.memory(),
            Self::Tunnel(tunnel) => tunnel.inner().memory(),
            Self::WebSocket(_) | Self::Ignored(_) => 0,
        }
    }

    /// When the oldest exchange began that is not emitted yet.
    pub(crate) fn oldest(&self) -> Option<Nanos> {
        match self {
            Self::H1(h1) => h1.oldest(),
            Self::H2(h2) => h2.oldest(),
            Self::Tunnel(tunnel) => tunnel.inner().oldest(),
            Self::Detect(_) | Self::WebSocket(_) | Self::Ignored(_) => None,
        }
    }

    /// Which end of the exchanges the socket is, once that is known.
    pub(crate) fn side(&self) -> Option<Side> {
        let peers = match self {
            Self::H1(h1) => h1.peers(),
            Self::H2(h2) => h2.peers(),
            Self::Tunnel(tunnel) => tunnel.by.peers(),
            Self::WebSocket(websocket) => websocket.by.as_ref()?.peers(),
            Self::Detect(_) | Self::Ignored(_) => return None,
        };
        Some(peers.side)
    }

    /// An exchange was emitted before it was over.
    pub(crate) fn has_emitted_early(&self) -> bool {
        match self {
            Self::H1(h1) => h1.has_emitted_early(),
            Self::H2(h2) => h2.has_emitted_early(),
            Self::Tunnel(tunnel) => tunnel.inner().has_emitted_early(),
            Self::Detect(_) | Self::WebSocket(_) | Self::Ignored(_) => false,
        }
    }

    /// Nothing more is read.
    #[inline]
    pub(crate) const fn is_ignored(&self) -> bool {
        matches!(self, Self::Ignored(_))
    }

    /// The peers, and where the first request begins that began since the last call.
    #[inline]
    pub(crate) fn take_request_start(&mut self) -> Option<(&Peers, Offset)> {
        match self {
            Self::H1(h1) => {
                let offset = h1.take_request_start()?;
                Some((h1.peers(), offset))
            }
            Self::H2(h2) => {
                let offset = h2.take_request_start()?;
                Some((h2.peers(), offset))
            }
            Self::Tunnel(tunnel) => tunnel.by.take_request_start(),
            Self::WebSocket(websocket) => websocket.by.as_mut()?.take_request_start(),
            Self::Detect(_) | Self::Ignored(_) => None,
        }
    }

    /// One of its requests that are known begins there.
    pub(crate) fn has_request_at(&self, direction: Direction, offset: Offset) -> bool {
        match self {
            Self::H1(h1) => h1.peers().side.requests() == direction && h1.has_request_at(offset),
            Self::H2(h2) => h2.peers().side.requests() == direction && h2.has_request_at(offset),
            Self::Tunnel(tunnel) => tunnel.by.is_at(direction, offset),
            Self::WebSocket(websocket) => {
                (websocket.by.as_ref()).is_some_and(|by| by.is_at(direction, offset))
            }
            Self::Detect(_) | Self::Ignored(_) => false,
        }
    }
}
